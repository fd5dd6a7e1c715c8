-- one row per hour, stream, log_type, log_version, key and value, over the records that parsed
select * from {{ source('lake', 'value_counts') }}
