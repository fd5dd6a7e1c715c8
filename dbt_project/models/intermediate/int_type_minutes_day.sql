-- int_type_minutes of a day, merged from those of its hours
{{ config(table='int_type_minutes', grains=['day'], order_by='stream, log_type, log_version') }}

{{ merge_type_minutes(ref('int_type_minutes_hour'), 'day') }}
