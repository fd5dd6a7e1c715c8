-- one row per hour, stream, log_type, log_version, datacenter, host and process
{{ config(table='int_type_counts', grains=['hour'],
          order_by='stream, log_type, log_version, datacenter, host, process') }}

with logs as (
    select * from {{ ref('stg_logs') }}
),

duplicates as (
    select * from {{ ref('stg_duplicates') }}
),

counted as (
    select
        period, stream, log_type, log_version, datacenter, host, process,
        count(*) as lines, sum(size_bytes)::bigint as bytes,
        count(*) filter (reject_reason is null) as parsed,
        count(*) filter (series = 'normal') as normal,
        count(*) filter (series = 'error') as error,
        count(*) filter (series = 'watchdog') as watchdog,
        count(*) filter (series = 'normal' and spilled) as normal_spill,
        count(*) filter (series = 'error' and spilled) as error_spill,
        count(*) filter (series = 'watchdog' and spilled) as watchdog_spill,
        count(*) filter (late) as late_lines,
        0::bigint as duplicates,
        min(event_time) as first_time, max(event_time) as last_time
    from logs
    group by all
  union all by name
    select
        period, stream, log_type, log_version, datacenter, host, process,
        0::bigint as lines, 0::bigint as bytes, 0::bigint as parsed, 0::bigint as normal, 0::bigint as error,
        0::bigint as watchdog, 0::bigint as normal_spill, 0::bigint as error_spill, 0::bigint as watchdog_spill,
        0::bigint as late_lines, count(*) as duplicates, null::timestamp as first_time, null::timestamp as last_time
    from duplicates
    group by all
)

select
    'hour' as grain, period, stream, log_type, log_version, datacenter, host, process,
    {% for name in ['lines', 'bytes', 'parsed', 'normal', 'error', 'watchdog', 'normal_spill', 'error_spill',
                    'watchdog_spill', 'late_lines', 'duplicates'] -%}
    coalesce(sum({{ name }}), 0)::bigint as {{ name }},
    {% endfor -%}
    min(first_time) as first_time, max(last_time) as last_time
from counted
where period in {{ wanted('hour') }}
group by all
