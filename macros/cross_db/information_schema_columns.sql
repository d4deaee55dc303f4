{# The relation that lists table_schema, table_name and column_name of a schema's tables. #}
{% macro information_schema_columns(schema) -%}
    {{ return(adapter.dispatch('information_schema_columns', 'cdi')(schema)) }}
{%- endmacro %}

{% macro default__information_schema_columns(schema) -%} information_schema.columns {%- endmacro %}

{% macro bigquery__information_schema_columns(schema) -%}
    `{{ target.project }}`.`{{ schema }}`.information_schema.columns
{%- endmacro %}

{% macro redshift__information_schema_columns(schema) -%} svv_columns {%- endmacro %}
