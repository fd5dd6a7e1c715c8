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

{#
  Of a type with more than `max_keys` keys in the period those with the most records are kept (of equal ones the first by
  name). The rest shares one row a host, with key `(other keys)`: its sums are over keys and records, `other_keys` is how
  many keys the period, or the shorter one with the most, has in it. A key may be kept in one hour and among the rest in
  another: the sums over all rows of the type are exact, those of one key are at least what they say.
#}
{% macro merge_key_counts(relation, grain) %}
{%- set of_type = 'period, stream, log_type, log_version' %}
with shorter as (
    select {{ period_of(grain) }} as period, period as part, * exclude (period)
    from {{ relation }}
    where {{ period_of(grain) }} in {{ wanted(grain) }}
),

totals as (
    select {{ of_type }}, key, sum(present)::bigint as present
    from shorter
    where other_keys is null
    group by all
),

wide as (
    select {{ of_type }}, count(*) - {{ var('max_keys') }} as dropped
    from totals
    group by all
    having count(*) > {{ var('max_keys') }}
),

dropped_keys as (
    select {{ of_type }}, key, dropped
    from totals
    join wide using ({{ of_type }})
    qualify row_number() over (partition by {{ of_type }} order by present desc, key) > {{ var('max_keys') }}
),

named as (
    select
        shorter.* exclude (key, types, other_keys, len_min, len_max, len_sum, number_min, number_max, number_sum, numbers,
            text_min, text_max),
        case when dropped is null then key else '{{ var('other_keys') }}' end as key,
        case when dropped is null then types else [] end as types,
        case when dropped is null then other_keys else dropped end as other_keys,
        {% for name in ['len_min', 'len_max', 'number_min', 'number_max', 'number_sum', 'text_min', 'text_max'] -%}
        case when dropped is null then {{ name }} end as {{ name }},
        {% endfor -%}
        case when dropped is null then len_sum else 0 end as len_sum,
        case when dropped is null then numbers else 0 end as numbers
    from shorter
    left join dropped_keys using ({{ of_type }}, key)
)

select
    '{{ grain }}' as grain, {{ of_type }}, host, key,
    coalesce(list_sort(list_distinct(flatten(list(types)))), []) as types,
    sum(present)::bigint as present, sum(nulls)::bigint as nulls, sum(blanks)::bigint as blanks,
    min(len_min) as len_min, max(len_max) as len_max, sum(len_sum)::bigint as len_sum,
    min(number_min) as number_min, max(number_max) as number_max,
    sum(number_sum order by part) as number_sum, sum(numbers)::bigint as numbers,
    min(text_min) as text_min, max(text_max) as text_max,
    min(first_time) as first_time, max(last_time) as last_time, max(other_keys)::bigint as other_keys
from named
group by all
{% endmacro %}

{#
  The key counts of every grain that is to be written: weeks from days and `all` from months, as merge_key_counts merges.
#}
{% macro key_counts_by_grain() -%}
  {%- for grain, part in [('hour', 'hour'), ('day', 'day'), ('month', 'month')] %}
  select * from {{ ref('int_key_counts_' ~ part) }} where period in {{ wanted(grain) }}
  union all by name
  {%- endfor %}
  select * from ({{ merge_key_counts(ref('int_key_counts_day'), 'week') }})
  union all by name
  select * from ({{ merge_key_counts(ref('int_key_counts_month'), 'all') }})
{%- endmacro %}

{#
  Value counts of a key are exact up to `max_values` distinct values. Beyond that a key keeps the `sample_values` values
  with the smallest hashes, each with its exact count, and the `top_values` most frequent. `sample_limit` is the hash below
  which every value is kept (null: all are kept). Such samples merge: below the smallest of the limits every value of the
  merged period is there with its exact count (distinct sampling: Gibbons, VLDB 2001; bottom-k: Cohen and Kaplan, 2007).
  `keys`: the key counts of the merged periods; values of keys that are not in it are left out.
#}
{% macro merge_value_counts(relation, grain, keys=none) %}
{%- set of_key = 'period, stream, log_type, log_version, key' %}
with shorter as (
    select {{ period_of(grain) }} as period, * exclude (grain, period)
    from {{ relation }}
    where {{ period_of(grain) }} in {{ wanted(grain) }}
    {%- if keys %}
        and (select count(*) from {{ keys }} where other_keys is not null) = 0
        or {{ period_of(grain) }} in {{ wanted(grain) }}
        and ({{ period_of(grain) }}, stream, log_type, log_version, key)
        in (select (period, stream, log_type, log_version, key) from {{ keys }} where other_keys is null)
    {%- endif %}
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
