-- one row per grain, period, stream, log_type, log_version, key and rank: the 20 most frequent values
{{ config(grains=['hour', 'day', 'week', 'month', 'all'], order_by='stream, log_type, log_version, key, rank') }}
{%- set of_key = 'grain, period, stream, log_type, log_version, key' %}

with keys as (
    select {{ of_key }}, sum(present - nulls - blanks)::bigint as filled
    from ({{ key_counts_by_grain() }})
    group by all
),

counted as (
    select {{ of_key }}, value, sum(count)::bigint as count, min(first_time) as first_time
    from ({{ by_grain('int_value_counts') }})
    group by all
),

ranked as (
    select *, row_number() over (partition by {{ of_key }} order by count desc, value) as rank
    from counted
    qualify rank <= 20
)

select {{ of_key }}, rank, value, count, {{ pct('count', 'filled') }} as pct, first_time
from ranked
join keys using ({{ of_key }})
