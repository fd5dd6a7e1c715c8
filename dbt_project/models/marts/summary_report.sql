-- one row per grain, period and datacenter
{{ config(grains=['hour', 'day', 'week', 'month', 'all'], order_by='datacenter') }}

with types as (
    {{ by_grain('int_type_counts') }}
)

select
    grain, period, datacenter,
    count(distinct host) filter (lines > 0) as hosts_reporting,
    count(distinct log_type) filter (lines > 0) as log_types,
    sum(lines)::bigint as lines, sum(bytes)::bigint as bytes,
    sum(normal)::bigint as normal, sum(error)::bigint as error, sum(watchdog)::bigint as watchdog,
    sum(normal_spill)::bigint as normal_spill, sum(error_spill)::bigint as error_spill,
    sum(watchdog_spill)::bigint as watchdog_spill,
    {{ pct('sum(error)', 'sum(normal) + sum(error)') }} as error_pct,
    {{ pct('sum(normal_spill) + sum(error_spill) + sum(watchdog_spill)', 'sum(lines)') }} as spill_pct,
    {{ pct('sum(late_lines)', 'sum(lines)') }} as late_pct,
    sum(duplicates)::bigint as duplicates
from types
group by all
