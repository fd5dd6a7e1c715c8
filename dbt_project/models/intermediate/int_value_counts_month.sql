-- int_value_counts of a month, merged from those of its days
{{ config(table='int_value_counts', grains=['month'], order_by='stream, log_type, log_version, key, count desc, value') }}

{{ merge_value_counts(ref('int_value_counts_day'), 'month', ref('int_key_counts_month')) }}
