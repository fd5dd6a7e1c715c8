-- one row per grain, period, stream, log_type, log_version and key
{{ config(grains=['hour', 'day', 'week', 'month', 'all'], order_by='stream, log_type, log_version, key') }}

with keys as (
    {{ key_counts_by_grain() }}
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
        min(first_time) as first_time, max(last_time) as last_time,
        max(other_keys) as other_keys
    from keys
    where present > 0
    group by all
),

wide as (
    select distinct grain, period, stream, log_type, log_version, true as is_wide
    from counted
    where other_keys is not null
)

select
    grain, period, stream, log_type, log_version, key, records.records, present, nulls, blanks, filled,
    -- of the row of the other keys the sums are over keys and records: no share of the records
    case when other_keys is null then {{ pct('present', 'records.records') }} end as presence_pct,
    case when other_keys is null then {{ pct('filled', 'records.records') }} end as coverage_pct,
    types, hosts_with_key, first_time, last_time, other_keys,
    grain = 'hour' or is_wide is null as counts_are_exact
from counted
left join records using (grain, period, stream, log_type, log_version)
left join wide using (grain, period, stream, log_type, log_version)
