-- int_type_counts of a day, merged from those of its hours
{{ config(table='int_type_counts', grains=['day'], order_by='stream, log_type, log_version, datacenter, host, process') }}

{{ merge_type_counts(ref('int_type_counts_hour'), 'day') }}
