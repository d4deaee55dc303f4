{#
  The newest loaded_at of this incremental model, as a literal, so that a warehouse can skip what is older when it
  reads; 'null' where the model is built in full. Everything with a later loaded_at is new.
#}
{% macro newest_load() -%}
    {%- if is_incremental() and execute -%}
        {%- if flags.INTROSPECT -%}
            {%- set newest = run_query('select max(loaded_at) from ' ~ this).columns[0].values()[0] -%}
            {{- "cast('" ~ newest ~ "' as " ~ dbt.type_timestamp() ~ ")" if newest is not none else 'null' -}}
        {%- else -%}
            (select max(loaded_at) from {{ this }})
        {%- endif -%}
    {%- else -%}
        null
    {%- endif -%}
{%- endmacro %}

{# A where clause that keeps what arrived since the last run; nothing where the model is built in full. #}
{% macro where_loaded_since_last_run(prefix='where') -%}
    {%- set newest = cdi.newest_load() -%}
    {%- if newest != 'null' %}{{ prefix }} loaded_at > {{ newest }}{% endif -%}
{%- endmacro %}
