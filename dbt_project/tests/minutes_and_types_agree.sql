-- minute_counters and summary_report count the same records of an hour.
with minutes as (
    select period, sum(lines) as lines, sum(bytes) as bytes, sum(duplicates) as duplicates
    from {{ ref('minute_counters') }}
    group by all
),

summary as (
    select period, sum(lines) as lines, sum(bytes) as bytes, sum(duplicates) as duplicates
    from {{ ref('summary_report') }}
    where grain = 'hour'
    group by all
)

select *
from minutes
full join summary using (period)
where minutes.lines is distinct from summary.lines
    or minutes.bytes is distinct from summary.bytes
    or minutes.duplicates is distinct from summary.duplicates
