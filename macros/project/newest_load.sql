{#
  The newest loaded_at of this incremental model, as a literal, so that a warehouse can skip what is older when it
  reads; 'null' where the model is built in full. Everything with a later loaded_at is new.

  Compiled without a connection (dbt compile --no-introspect) it is that of a full build, or with
  --vars 'compile_incremental: true' a subquery.
#}
{% macro newest_load() -%}
    {%- if not execute -%}
        null
    {%- elif not flags.INTROSPECT -%}
        {{- '(select max(loaded_at) from ' ~ this ~ ')' if var('compile_incremental', false) else 'null' -}}
    {%- elif is_incremental() -%}
        {%- set newest = cdi.single_value('select max(loaded_at) from ' ~ this) -%}
        {{- "cast('" ~ newest ~ "' as " ~ dbt.type_timestamp() ~ ")" if newest is not none else 'null' -}}
    {%- else -%}
        null
    {%- endif -%}
{%- endmacro %}

{# The condition that a row arrived since this incremental model's last run; true where it is built in full. #}
{% macro is_new() -%}
    {%- set newest = cdi.newest_load() -%}
    {{ 'loaded_at > ' ~ newest if newest != 'null' else 'true' }}
{%- endmacro %}
