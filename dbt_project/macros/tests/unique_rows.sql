{# No two rows are equal in these columns (nulls are equal here: a host may be unknown). #}
{% test unique_rows(model, columns) %}
select {{ columns | join(', ') }}, count(*) as rows_found
from {{ model }}
group by all
having count(*) > 1
{% endtest %}
