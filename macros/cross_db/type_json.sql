{# The type that holds JSON. #}
{% macro type_json() %}{{ return(adapter.dispatch('type_json', 'cdi')()) }}{% endmacro %}

{% macro default__type_json() %}json{% endmacro %}
{% macro postgres__type_json() %}jsonb{% endmacro %}
{% macro redshift__type_json() %}super{% endmacro %}
{% macro snowflake__type_json() %}variant{% endmacro %}
{% macro spark__type_json() %}string{% endmacro %}
