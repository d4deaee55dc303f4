{# A JSON value as text: a string without its quotes, everything else as it is written in JSON. #}
{% macro json_value_text(expression) -%}
    {{ return(adapter.dispatch('json_value_text', 'cdi')(expression)) }}
{%- endmacro %}

{% macro default__json_value_text(expression) -%} json_extract_string({{ expression }}, '$') {%- endmacro %}
{% macro postgres__json_value_text(expression) -%} ({{ expression }} #>> '{}') {%- endmacro %}
{% macro snowflake__json_value_text(expression) -%} cast({{ expression }} as varchar) {%- endmacro %}

{% macro bigquery__json_value_text(expression) -%}
    coalesce(json_value({{ expression }}), nullif(to_json_string({{ expression }}), 'null'))
{%- endmacro %}

{% macro redshift__json_value_text(expression) -%}
    case
        when json_typeof({{ expression }}) = 'string' then cast({{ expression }} as varchar)
        else json_serialize({{ expression }})
    end
{%- endmacro %}

{% macro spark__json_value_text(expression) -%} {{ expression }} {%- endmacro %}
