{# Schemas carry the names of the models' folders, so that `audiences.abandoned_cart` is where its file says. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ var('schema_prefix') }}{{ (custom_schema_name or target.schema) | trim }}
{%- endmacro %}
