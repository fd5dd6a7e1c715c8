{# Sums of an intermediate table over the shorter periods of `relation`. Only what adds up is summed. #}

{% macro merge_type_counts(relation, grain) %}
select
    '{{ grain }}' as grain, {{ period_of(grain) }} as period,
    stream, log_type, log_version, datacenter, host, process,
    {% for name in ['lines', 'bytes', 'parsed', 'normal', 'error', 'watchdog', 'normal_spill', 'error_spill',
                    'watchdog_spill', 'late_lines', 'duplicates'] -%}
    sum({{ name }})::bigint as {{ name }},
    {% endfor -%}
    min(first_time) as first_time, max(last_time) as last_time
from {{ relation }}
where {{ period_of(grain) }} in {{ wanted(grain) }}
group by all
{% endmacro %}

{# A minute lies in one hour, so minutes of different hours are different minutes and may be added. #}
{% macro merge_type_minutes(relation, grain) %}
select
    '{{ grain }}' as grain, {{ period_of(grain) }} as period, stream, log_type, log_version,
    sum(minutes_present)::bigint as minutes_present
from {{ relation }}
where {{ period_of(grain) }} in {{ wanted(grain) }}
group by all
{% endmacro %}

{% macro merge_key_counts(relation, grain) %}
select
    '{{ grain }}' as grain, {{ period_of(grain) }} as period, stream, log_type, log_version, host, key,
    coalesce(list_sort(list_distinct(flatten(list(types)))), []) as types,
    sum(present)::bigint as present, sum(nulls)::bigint as nulls, sum(blanks)::bigint as blanks,
    min(len_min) as len_min, max(len_max) as len_max, sum(len_sum)::bigint as len_sum,
    min(number_min) as number_min, max(number_max) as number_max,
    sum(number_sum order by period) as number_sum, sum(numbers)::bigint as numbers,
    min(text_min) as text_min, max(text_max) as text_max,
    min(first_time) as first_time, max(last_time) as last_time
from {{ relation }}
where {{ period_of(grain) }} in {{ wanted(grain) }}
group by all
{% endmacro %}

{#
  Value counts of a key are exact up to `max_values` distinct values. Beyond that a key keeps the `sample_values` values
  with the smallest hashes, each with its exact count, and the `top_values` most frequent. `sample_limit` is the hash below
  which every value is kept (null: all are kept). Such samples merge: below the smallest of the limits every value of the
  merged period is there with its exact count (distinct sampling: Gibbons, VLDB 2001; bottom-k: Cohen and Kaplan, 2007).
#}
{% macro merge_value_counts(relation, grain) %}
{%- set of_key = 'period, stream, log_type, log_version, key' %}
with shorter as (
    select {{ period_of(grain) }} as period, * exclude (grain, period)
    from {{ relation }}
    where {{ period_of(grain) }} in {{ wanted(grain) }}
),

counted as (
    select {{ of_key }}, value, sum(count)::bigint as count, min(first_time) as first_time
    from shorter
    group by all
),

limits as (
    select {{ of_key }}, min(sample_limit) as sample_limit
    from shorter
    group by all
    having min(sample_limit) is not null
),

long_keys as (
    select {{ of_key }}, limits.sample_limit
    from (select {{ of_key }}, count(*) as values_kept from counted group by all)
    left join limits using ({{ of_key }})
    where values_kept > {{ var('max_values') }} or limits.sample_limit is not null
),

exact as (
    select counted.*, null::bigint as sample_limit
    from counted
    anti join long_keys using ({{ of_key }})
),

hashed as (
    select counted.*, long_keys.sample_limit, (md5_number_upper(value) >> 1)::bigint as hash
    from counted
    join long_keys using ({{ of_key }})
),

new_limits as (
    -- One number a key: the list of hashes must not be joined to every value.
    select
        {{ of_key }},
        case when len(smallest) > {{ var('sample_values') }} then smallest[-1] else sample_limit end as sample_limit
    from (
        select
            {{ of_key }},
            min(sample_limit) as sample_limit,
            -- the smallest hashes that are known to be complete; one more than is kept
            min(hash, {{ var('sample_values') }} + 1) filter (hash < coalesce(sample_limit, 9223372036854775807)) as smallest
        from hashed
        group by all
    )
),

sampled as (
    select
        hashed.* exclude (sample_limit),
        new_limits.sample_limit,
        row_number() over (partition by {{ of_key }} order by count desc, value) as place
    from hashed
    join new_limits using ({{ of_key }})
)

select '{{ grain }}' as grain, {{ of_key }}, value, count, first_time, sample_limit
from exact
union all
select '{{ grain }}' as grain, {{ of_key }}, value, count, first_time, sample_limit
from sampled
where hash < sample_limit or place <= {{ var('top_values') }}
{% endmacro %}
