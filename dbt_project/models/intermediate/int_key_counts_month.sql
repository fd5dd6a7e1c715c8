-- int_key_counts of a month, merged from those of its days
{{ config(table='int_key_counts', grains=['month'], order_by='stream, log_type, log_version, key, host') }}

{{ merge_key_counts(ref('int_key_counts_day'), 'month') }}
