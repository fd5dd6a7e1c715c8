-- int_type_minutes of a month, merged from those of its days
{{ config(table='int_type_minutes', grains=['month'], order_by='stream, log_type, log_version') }}

{{ merge_type_minutes(ref('int_type_minutes_day'), 'month') }}
