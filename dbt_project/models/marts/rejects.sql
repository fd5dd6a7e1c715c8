-- one row per record that did not parse
{{ config(grains=['hour'], order_by='stream, event_time, source, source_partition, source_start') }}

with logs as (
    select * from {{ ref('stg_logs') }}
    where reject_reason is not null and period in {{ wanted('hour') }}
)

select
    'hour' as grain, period, stream, event_time, reject_reason as reason, message,
    source, source_partition, source_start, source_end
from logs
