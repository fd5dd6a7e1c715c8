-- int_key_counts of a day, merged from those of its hours
{{ config(table='int_key_counts', grains=['day'], order_by='stream, log_type, log_version, key, host') }}

{{ merge_key_counts(ref('int_key_counts_hour'), 'day') }}
