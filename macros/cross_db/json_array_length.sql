{# How many items a JSON array has; null for what is no array. #}
{% macro json_array_length(expression) -%}
    {{ return(adapter.dispatch('json_array_length', 'cdi')(expression)) }}
{%- endmacro %}

{% macro default__json_array_length(expression) -%}
    case when {{ cdi.json_is_type(expression, 'array') }} then json_array_length({{ expression }}) end
{%- endmacro %}

{% macro postgres__json_array_length(expression) -%}
    case when {{ cdi.json_is_type(expression, 'array') }} then jsonb_array_length({{ expression }}) end
{%- endmacro %}

{% macro snowflake__json_array_length(expression) -%} array_size(as_array({{ expression }})) {%- endmacro %}
{% macro bigquery__json_array_length(expression) -%} array_length(json_query_array({{ expression }})) {%- endmacro %}
{% macro redshift__json_array_length(expression) -%} get_array_length({{ expression }}) {%- endmacro %}
