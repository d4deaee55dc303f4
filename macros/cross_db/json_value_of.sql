{# A text, number or boolean as a JSON value. #}
{% macro json_value_of(expression) -%}
    {{ return(adapter.dispatch('json_value_of', 'cdi')(expression)) }}
{%- endmacro %}

{% macro default__json_value_of(expression) -%} to_json({{ expression }}) {%- endmacro %}
{% macro postgres__json_value_of(expression) -%} to_jsonb({{ expression }}) {%- endmacro %}
{% macro redshift__json_value_of(expression) -%} cast({{ expression }} as super) {%- endmacro %}
{% macro snowflake__json_value_of(expression) -%} to_variant({{ expression }}) {%- endmacro %}

{% macro spark__json_value_of(expression) -%}
    substr(to_json(array({{ expression }})), 2, length(to_json(array({{ expression }}))) - 2)
{%- endmacro %}
