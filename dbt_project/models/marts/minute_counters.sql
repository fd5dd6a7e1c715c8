-- one row per stream, minute, datacenter, host, process, log_type, series and spilled
{{ config(grains=['hour'],
          order_by='stream, minute, datacenter, host, process, log_type, series, spilled') }}

with logs as (
    select * from {{ ref('stg_logs') }}
),

duplicates as (
    select * from {{ ref('stg_duplicates') }}
),

counted as (
    select
        period, stream, minute, datacenter, host, process, log_type, series, spilled,
        count(*) as lines, sum(size_bytes)::bigint as bytes, min(event_time) as first_time, max(event_time) as last_time,
        count(*) filter (late) as late_lines, 0::bigint as duplicates
    from logs
    group by all
  union all by name
    select
        period, stream, minute, datacenter, host, process, log_type, series, spilled,
        0::bigint as lines, 0::bigint as bytes, null::timestamp as first_time, null::timestamp as last_time,
        0::bigint as late_lines, count(*) as duplicates
    from duplicates
    group by all
)

select
    'hour' as grain, period, stream, minute, datacenter, host, process, log_type, series, spilled,
    sum(lines)::bigint as lines, coalesce(sum(bytes), 0)::bigint as bytes,
    min(first_time) as first_time, max(last_time) as last_time,
    sum(late_lines)::bigint as late_lines, sum(duplicates)::bigint as duplicates
from counted
where period in {{ wanted('hour') }}
group by all
