-- int_type_counts of a month, merged from those of its days
{{ config(table='int_type_counts', grains=['month'], order_by='stream, log_type, log_version, datacenter, host, process') }}

{{ merge_type_counts(ref('int_type_counts_day'), 'month') }}
