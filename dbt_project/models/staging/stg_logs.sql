-- one row per record of `logs`, all streams, with what reports need of its envelope
with source as (
    select * from {{ source('lake', 'logs') }}
)

select
    period, stream, event_time, date_trunc('minute', event_time) as minute,
    datacenter, host, process, log_type, log_version, series, spilled, late, size_bytes,
    reject_reason, message, source, source_partition, source_start, source_end
from source
