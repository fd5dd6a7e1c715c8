-- one row per grain, period, stream, log_type, log_version and key
{{ config(grains=['hour', 'day', 'week', 'month', 'all'], order_by='stream, log_type, log_version, key') }}

with keys as (
    {{ by_grain('int_key_counts') }}
),

records as (
    select grain, period, stream, log_type, log_version, sum(parsed)::bigint as records
    from ({{ by_grain('int_type_counts') }})
    group by all
),

counted as (
    select
        grain, period, stream, log_type, log_version, key,
        sum(present)::bigint as present, sum(nulls)::bigint as nulls, sum(blanks)::bigint as blanks,
        sum(present - nulls - blanks)::bigint as filled,
        coalesce(list_sort(list_distinct(flatten(list(types)))), []) as types,
        count(distinct host) as hosts_with_key,
        min(first_time) as first_time, max(last_time) as last_time
    from keys
    where present > 0
    group by all
)

select
    grain, period, stream, log_type, log_version, key, records.records, present, nulls, blanks, filled,
    {{ pct('present', 'records.records') }} as presence_pct,
    {{ pct('filled', 'records.records') }} as coverage_pct,
    types, hosts_with_key, first_time, last_time
from counted
left join records using (grain, period, stream, log_type, log_version)
