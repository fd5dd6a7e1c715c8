-- int_value_counts of a day, merged from those of its hours
{{ config(table='int_value_counts', grains=['day'], order_by='stream, log_type, log_version, key, count desc, value') }}

{{ merge_value_counts(ref('int_value_counts_hour'), 'day', ref('int_key_counts_day')) }}
