{# No JSON at all, in the type of a JSON column. #}
{% macro json_null() -%} cast(null as {{ cdi.type_json() }}) {%- endmacro %}
