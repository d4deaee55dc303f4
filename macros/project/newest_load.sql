{#
  The newest loaded_at of this incremental model (of its rows that meet `condition`), as a literal, so that a warehouse
  can skip what is older when it reads; 'null' where the model is built in full. Everything with a later loaded_at is new.

  Compiled without a connection (dbt compile --no-introspect) it is that of a full build, or with
  --vars 'compile_incremental: true' a subquery.
#}
{% macro newest_load(condition=none) -%}
    {%- set query = 'select max(loaded_at) from ' ~ this ~ (' where ' ~ condition if condition else '') -%}
    {%- if not execute -%}
        null
    {%- elif not flags.INTROSPECT -%}
        {{- '(' ~ query ~ ')' if var('compile_incremental', false) else 'null' -}}
    {%- elif is_incremental() -%}
        {%- set newest = cdi.single_value(query) -%}
        {{- "cast('" ~ newest ~ "' as " ~ dbt.type_timestamp() ~ ")" if newest is not none else 'null' -}}
    {%- else -%}
        null
    {%- endif -%}
{%- endmacro %}

{# The condition that a row arrived after `newest`, which newest_load gave; true where the model is built in full. #}
{% macro is_later_than(newest, alias=none) -%}
    {{ (alias ~ '.' if alias else '') ~ 'loaded_at > ' ~ newest if newest != 'null' else 'true' }}
{%- endmacro %}

{# The condition that a row arrived since this incremental model's last run. #}
{% macro is_new() -%} {{ cdi.is_later_than(cdi.newest_load()) }} {%- endmacro %}

{# Whether a relation holds rows that meet `condition` and arrived after `newest`; yes where nobody can be asked. #}
{% macro has_later_rows(relation, newest, condition) %}
    {%- if not execute or not flags.INTROSPECT or load_relation(relation) is none -%}
        {{ return(true) }}
    {%- endif -%}
    {{ return(cdi.single_value(
        'select count(*) from ' ~ relation ~ ' where ' ~ cdi.is_later_than(newest) ~ ' and ' ~ condition
    ) > 0) }}
{% endmacro %}
