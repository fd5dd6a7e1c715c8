-- one row per hour, stream, log_type, log_version, host and key, over the records that parsed
select * from {{ source('lake', 'key_counts') }}
