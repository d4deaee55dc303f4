{# No text, typed, for the branches of a union that lack a column. #}
{% macro null_text() -%} cast(null as {{ dbt.type_string() }}) {%- endmacro %}
