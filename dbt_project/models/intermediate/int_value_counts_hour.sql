-- one row per hour, stream, log_type, log_version, key and value that is kept (see merge_value_counts)
{{ config(table='int_value_counts', grains=['hour'],
          order_by='stream, log_type, log_version, key, count desc, value') }}

with counts as (
    select 'hour' as grain, *, null::bigint as sample_limit from {{ ref('stg_value_counts') }}
)

select * from ({{ merge_value_counts('counts', 'hour') }})
