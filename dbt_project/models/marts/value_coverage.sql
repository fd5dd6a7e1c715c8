-- one row per grain, period, stream, log_type, log_version and key
{{ config(grains=['hour', 'day', 'week', 'month', 'all'], order_by='stream, log_type, log_version, key') }}
{%- set of_key = 'grain, period, stream, log_type, log_version, key' %}

with keys as (
    select
        {{ of_key }},
        sum(present - nulls - blanks)::bigint as filled,
        list_distinct(flatten(list(types))) as types,
        min(len_min) as len_min, max(len_max) as len_max, sum(len_sum)::bigint as len_sum,
        min(number_min) as number_min, max(number_max) as number_max,
        sum(number_sum order by host, number_sum) as number_sum, sum(numbers)::bigint as numbers,
        min(text_min) as text_min, max(text_max) as text_max,
        max(other_keys) as other_keys
    from ({{ key_counts_by_grain() }})
    group by all
),

wide as (
    -- in a longer period a key may have been among the other keys of an hour, and its values with it
    select distinct grain, period, stream, log_type, log_version, grain <> 'hour' as lacks_values
    from keys
    where other_keys is not null
),

merged as (
    -- week and all are not stored: their values are merged here, from days and from months
    {% for grain, part in [('hour', 'hour'), ('day', 'day'), ('week', 'day'), ('month', 'month'), ('all', 'month')] %}
    select * exclude (first_time) from ({{ merge_value_counts(ref('int_value_counts_' ~ part), grain) }})
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

placed as (
    select
        *,
        case when sample_limit is null then 1.0
             when place <= {{ var('top_values') }} then 1.0
             else 9223372036854775807.0 / sample_limit end as weight,
        sample_limit is null or (md5_number_upper(value) >> 1)::bigint < sample_limit as in_sample
    from (
        select *, 0 as place from merged where sample_limit is null
        union all
        select *, row_number() over (partition by {{ of_key }} order by count desc, value) as place
        from merged where sample_limit is not null
    )
),

-- many values have the same count: what is summed in a fixed order is then little
counts as (
    select
        {{ of_key }}, sample_limit, weight, count, count(*) as many, count(*) filter (in_sample) as sampled
    from placed
    group by all
),

value_stats as (
    select
        {{ of_key }},
        bool_and(sample_limit is null) as all_kept,
        sum(count * many)::bigint as counted,
        sum(sampled)::bigint as sampled,
        min(sample_limit) as sample_limit,
        sum(many * weight * count * log2(count) order by count, weight, many) as count_logs
    from counts
    group by all
),

numbers as (
    select {{ of_key }}, value, try_cast(value as double) as number, count
    from placed
    semi join (select * from keys where numbers > 0
        and list_has_all(['int32', 'int64', 'float64', 'integer', 'number'], types)) using ({{ of_key }})
    where in_sample
),

ranked as (
    select
        *,
        sum(count) over (partition by {{ of_key }} order by number, value rows unbounded preceding) as up_to_here,
        sum(count) over (partition by {{ of_key }}) as total
    from numbers
    where number is not null
),

number_stats as (
    select
        {{ of_key }},
        min(number) filter (up_to_here >= 0.5 * total) as p50,
        min(number) filter (up_to_here >= 0.95 * total) as p95,
        first(value order by number, value) as smallest,
        last(value order by number, value) as largest
    from ranked
    group by all
)

select
    {{ of_key }}, filled,
    case when other_keys is null then coalesce(case when all_kept then sampled
        else round(sampled * (9223372036854775807.0 / sample_limit)) end, 0)::bigint end as distinct_values,
    other_keys is null and coalesce(all_kept, true) and not coalesce(lacks_values, false) as distinct_is_exact,
    {{ pct('distinct_values', 'filled') }} as unique_pct,
    -- H = log2 N - (sum of n log2 n) / N, the same as -(sum of p log2 p)
    case when coalesce(filled, 0) = 0 or other_keys is not null then null
        when all_kept then greatest(log2(counted) - count_logs / counted, 0)
        else greatest(log2(filled) - count_logs / filled, 0) end as entropy_bits,
    case when smallest is null then text_min when all_kept then smallest
        when number_min = trunc(number_min) then number_min::hugeint::varchar else number_min::varchar end as min,
    case when largest is null then text_max when all_kept then largest
        when number_max = trunc(number_max) then number_max::hugeint::varchar else number_max::varchar end as max,
    case when smallest is not null then number_sum / numbers end as mean,
    p50, p95, len_min, case when other_keys is null then len_sum / nullif(filled, 0) end as len_avg, len_max,
    other_keys
from keys
left join wide using (grain, period, stream, log_type, log_version)
left join value_stats using ({{ of_key }})
left join number_stats using ({{ of_key }})
