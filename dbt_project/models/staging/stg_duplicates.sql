-- one row per dropped duplicate, in the event hour it would have been in
with source as (
    select * from {{ source('lake', 'duplicates') }}
)

select
    period, stream, event_time, date_trunc('minute', event_time) as minute,
    datacenter, host, process, log_type, log_version, series, spilled
from source
