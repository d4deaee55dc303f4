{# A JSON object made of columns: fields is {key: SQL expression}. #}
{% macro json_object(fields) -%}
    {{ return(adapter.dispatch('json_object', 'cdi')(fields)) }}
{%- endmacro %}

{% macro _json_object_arguments(fields) -%}
    {% for key, expression in fields.items() %}'{{ key }}', {{ expression }}{{ ', ' if not loop.last }}{% endfor %}
{%- endmacro %}

{% macro default__json_object(fields) -%} json_object({{ cdi._json_object_arguments(fields) }}) {%- endmacro %}

{% macro postgres__json_object(fields) -%}
    jsonb_build_object({{ cdi._json_object_arguments(fields) }})
{%- endmacro %}

{% macro redshift__json_object(fields) -%} object({{ cdi._json_object_arguments(fields) }}) {%- endmacro %}

{% macro snowflake__json_object(fields) -%}
    cast(object_construct_keep_null({{ cdi._json_object_arguments(fields) }}) as variant)
{%- endmacro %}

{% macro spark__json_object(fields) -%}
    to_json(named_struct({{ cdi._json_object_arguments(fields) }}))
{%- endmacro %}
