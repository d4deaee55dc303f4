{# Whether a pattern (a POSIX expression that all warehouses read alike, anchored where it should be) is found. #}
{% macro regexp_like(expression, pattern) -%}
    {{ return(adapter.dispatch('regexp_like', 'cdi')(expression, pattern)) }}
{%- endmacro %}

{% macro default__regexp_like(expression, pattern) -%}
    regexp_matches({{ expression }}, '{{ pattern }}')
{%- endmacro %}

{% macro postgres__regexp_like(expression, pattern) -%} {{ expression }} ~ '{{ pattern }}' {%- endmacro %}

{% macro snowflake__regexp_like(expression, pattern) -%}
    regexp_instr({{ expression }}, '{{ pattern | replace('\\', '\\\\') }}') > 0
{%- endmacro %}

{% macro bigquery__regexp_like(expression, pattern) -%}
    regexp_contains({{ expression }}, r'{{ pattern }}')
{%- endmacro %}

{% macro spark__regexp_like(expression, pattern) -%}
    regexp_like({{ expression }}, r'{{ pattern }}')
{%- endmacro %}
