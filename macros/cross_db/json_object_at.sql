{# The field at a path ('a.b.c') of a JSON column as JSON. #}
{% macro json_object_at(column, path) -%}
    {{ return(adapter.dispatch('json_object_at', 'cdi')(column, path)) }}
{%- endmacro %}

{% macro default__json_object_at(column, path) -%}
    json_extract({{ column }}, '{{ cdi.json_path(path) }}')
{%- endmacro %}

{% macro postgres__json_object_at(column, path) -%}
    ({{ column }} #> '{{ '{' ~ path.split('.') | join(',') ~ '}' }}')
{%- endmacro %}

{% macro snowflake__json_object_at(column, path) -%}
    get_path({{ column }}, '{{ cdi.quoted_path(path) }}')
{%- endmacro %}

{% macro bigquery__json_object_at(column, path) -%}
    json_query({{ column }}, '{{ cdi.json_path(path) }}')
{%- endmacro %}

{% macro redshift__json_object_at(column, path) -%}
    {{ column }}{% for key in path.split('.') %}."{{ key }}"{% endfor %}
{%- endmacro %}

{% macro spark__json_object_at(column, path) -%}
    get_json_object({{ column }}, "$['{{ path.split('.') | join("']['") }}']")
{%- endmacro %}
