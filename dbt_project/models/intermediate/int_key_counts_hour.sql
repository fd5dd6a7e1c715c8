-- one row per hour, stream, log_type, log_version, key and host: what the records say of the key
{{ config(table='int_key_counts', grains=['hour'], order_by='stream, log_type, log_version, key, host') }}

{{ merge_key_counts(ref('stg_key_counts'), 'hour') }}
