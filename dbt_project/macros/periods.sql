{# The longer period that a period (an hour, or a day as its first day) lies in. #}
{% macro period_of(grain, period='period') -%}
  {%- if grain == 'day' -%} left({{ period }}, 10)
  {%- elif grain == 'week' -%} strftime(date_trunc('week', left({{ period }}, 10)::date), '%Y-%m-%d')
  {%- elif grain == 'month' -%} left({{ period }}, 7) || '-01'
  {%- elif grain == 'all' -%} 'all'
  {%- else -%} {{ period }}
  {%- endif -%}
{%- endmacro %}

{# The periods of a grain that this build writes. #}
{% macro wanted(grain) -%}
  (select period from {{ source('lake', 'periods') }} where grain = '{{ grain }}')
{%- endmacro %}

{#
  The rows of an intermediate table at every grain that is to be written. Days come from hours, weeks and months from
  days, all from months: the tables exist at hour, day and month, so nothing longer ever reads the logs again.
#}
{% macro by_grain(table) -%}
  {%- for grain, part in [('hour', 'hour'), ('day', 'day'), ('week', 'day'), ('month', 'month'), ('all', 'month')] %}
  select '{{ grain }}' as grain, {{ period_of(grain) }} as period, * exclude (grain, period)
  from {{ ref(table ~ '_' ~ part) }}
  where {{ period_of(grain) }} in {{ wanted(grain) }}
  {%- if not loop.last %}
  union all
  {%- endif %}
  {%- endfor %}
{%- endmacro %}

{% macro pct(part, whole) -%}
  100.0::double * ({{ part }}) / nullif(({{ whole }}), 0)
{%- endmacro %}
