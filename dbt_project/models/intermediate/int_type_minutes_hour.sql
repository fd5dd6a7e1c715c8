-- one row per hour, stream, log_type and log_version: how many of the hour's minutes have a record
{{ config(table='int_type_minutes', grains=['hour'], order_by='stream, log_type, log_version') }}

with logs as (
    select * from {{ ref('stg_logs') }}
)

select
    'hour' as grain, period, stream, log_type, log_version,
    count(distinct minute) as minutes_present
from logs
where period in {{ wanted('hour') }}
group by all
