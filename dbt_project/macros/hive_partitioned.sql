{#
  One Parquet file per period under a fixed name:
      reports/<table>/grain=<grain>/dt=<first day of the period>/<period>.parquet

  A model selects the columns `grain` and `period` and what the file holds. Every period that the build asks for gets its
  file, an empty one a file without rows. The rows are staged first; `nw_publish` (nw_platform/reports/plugin.py) then
  replaces file by file, atomically, and leaves a file alone whose rows are the same.

  Settings: table (default the model's name), grains (those the model may write), order_by (of the rows in a file),
  read_back (the model then stands for the files of all periods that longer ones are merged from, not just the new ones).
#}
{% materialization hive_partitioned, adapter='duckdb' %}
  {%- set target = this.incorporate(type='table') -%}
  {%- set table = config.get('table', model['name']) -%}
  {%- set grains = config.require('grains') -%}
  {%- set order_by = config.require('order_by') -%}

  {{ run_hooks(pre_hooks, inside_transaction=False) }}
  {{ run_hooks(pre_hooks, inside_transaction=True) }}

  {% call statement('main') -%}
    create or replace table {{ target }} as (
      {{ compiled_code }}
    )
  {%- endcall %}

  {%- set folder = run_query("select nw_staging('" ~ model['name'] ~ "')").columns[0].values()[0] -%}
  {% do run_query("copy (select ['" ~ grains | join("', '") ~ "'] as grains) to '" ~ folder
      ~ "/_grains.json' (format json)") %}
  {% do run_query("copy (select * exclude (grain) from " ~ target ~ " limit 0) to '" ~ folder
      ~ "/_empty.parquet' (format parquet, compression zstd)") %}
  {% do run_query("copy (select *, case grain when 'all' then 'all' else left(period, 10) end as dt, period as file"
      ~ " from " ~ target ~ " order by grain, dt, file, " ~ order_by ~ ") to '" ~ folder
      ~ "' (format parquet, compression zstd, partition_by (grain, dt, file), write_partition_columns false,"
      ~ " overwrite_or_ignore true)") %}
  {% do run_query("select nw_publish('" ~ table ~ "', '" ~ model['name'] ~ "')") %}

  {%- if config.get('read_back', false) -%}
    {%- set files = run_query("select nw_files('" ~ table ~ "', '" ~ grains[0] ~ "')").columns[0].values()[0] -%}
    {%- set files = files.split('\n') if files else [] -%}
    {%- if files -%}
      {% do run_query("drop table " ~ target) %}
      {% call statement('read_back') -%}
        create or replace view {{ target.incorporate(type='view') }} as (
          select '{{ grains[0] }}' as grain, * from read_parquet([
            {%- for file in files %}'{{ file | replace("'", "''") }}'{{ ', ' if not loop.last }}{% endfor -%}
          ], hive_partitioning = false, union_by_name = true)
        )
      {%- endcall %}
    {%- endif -%}
  {%- endif -%}

  {{ run_hooks(post_hooks, inside_transaction=True) }}
  {{ adapter.commit() }}
  {{ run_hooks(post_hooks, inside_transaction=False) }}
  {{ return({'relations': [target]}) }}
{% endmaterialization %}
