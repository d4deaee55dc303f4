{# A JSON value as it is written in JSON: a string has its quotes, and control characters are escaped. #}
{% macro json_as_text(expression) -%} {{ return(adapter.dispatch('json_as_text', 'cdi')(expression)) }} {%- endmacro %}

{% macro default__json_as_text(expression) -%} cast({{ expression }} as varchar) {%- endmacro %}
{% macro postgres__json_as_text(expression) -%} cast({{ expression }} as text) {%- endmacro %}
{% macro redshift__json_as_text(expression) -%} json_serialize({{ expression }}) {%- endmacro %}
{% macro snowflake__json_as_text(expression) -%} to_json({{ expression }}) {%- endmacro %}
{% macro bigquery__json_as_text(expression) -%} to_json_string({{ expression }}) {%- endmacro %}
{% macro spark__json_as_text(expression) -%} {{ expression }} {%- endmacro %}
