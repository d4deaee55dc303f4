{# The field at a path ('a.b.c') of a JSON column as text; null where it is missing or JSON null. #}
{% macro json_text(column, path) -%}
    {{ return(adapter.dispatch('json_text', 'cdi')(column, path)) }}
{%- endmacro %}

{% macro default__json_text(column, path) -%}
    json_extract_string({{ column }}, '{{ cdi.json_path(path) }}')
{%- endmacro %}

{% macro postgres__json_text(column, path) -%}
    ({{ column }} #>> '{{ '{' ~ path.split('.') | join(',') ~ '}' }}')
{%- endmacro %}

{% macro snowflake__json_text(column, path) -%}
    cast(get_path({{ column }}, '{{ cdi.quoted_path(path) }}') as varchar)
{%- endmacro %}

{% macro bigquery__json_text(column, path) -%}
    coalesce(
        json_value({{ column }}, '{{ cdi.json_path(path) }}'),
        nullif(to_json_string(json_query({{ column }}, '{{ cdi.json_path(path) }}')), 'null')
    )
{%- endmacro %}

{% macro redshift__json_text(column, path) -%}
    cast({{ cdi.json_object_at(column, path) }} as varchar)
{%- endmacro %}

{% macro spark__json_text(column, path) -%}
    get_json_object({{ column }}, "$['{{ path.split('.') | join("']['") }}']")
{%- endmacro %}

{# 'a.b c' as a path for Snowflake's get_path: "a"."b c" #}
{% macro quoted_path(path) -%} "{{ path.split('.') | join('"."') }}" {%- endmacro %}

{# 'a.b.c' as a quoted JSON path: $."a"."b"."c" #}
{% macro json_path(path) -%}
    $.{% for key in path.split('.') %}"{{ key }}"{{ '.' if not loop.last }}{% endfor %}
{%- endmacro %}
