-- one row per grain, period, stream, log_type and log_version
{{ config(grains=['hour', 'day', 'week', 'month', 'all'], order_by='stream, log_type, log_version') }}

with types as (
    {{ by_grain('int_type_counts') }}
),

minutes as (
    select grain, period, stream, log_type, log_version, sum(minutes_present)::bigint as minutes_present
    from ({{ by_grain('int_type_minutes') }})
    group by all
),

counted as (
    select
        grain, period, stream, log_type, log_version,
        sum(lines)::bigint as lines, sum(bytes)::bigint as bytes,
        {{ pct('sum(bytes)', 'sum(lines)') }} / 100 as avg_bytes,
        count(distinct host) as hosts, count(distinct process) as processes,
        min(first_time) as first_time, max(last_time) as last_time,
        {{ pct('sum(error)', 'sum(normal) + sum(error)') }} as error_pct
    from types
    where lines > 0
    group by all
)

select
    grain, period, stream, log_type, log_version, lines, bytes, avg_bytes, hosts, processes, first_time, last_time,
    error_pct,
    {{ pct('lines', 'sum(lines) over (partition by grain, period)') }} as share_pct,
    minutes.minutes_present
from counted
left join minutes using (grain, period, stream, log_type, log_version)
