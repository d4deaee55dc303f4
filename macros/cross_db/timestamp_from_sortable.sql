{# The timestamp that sortable_timestamp made 20 digits of. #}
{% macro timestamp_from_sortable(expression) -%}
    {{ return(adapter.dispatch('timestamp_from_sortable', 'cdi')(expression)) }}
{%- endmacro %}

{% macro default__timestamp_from_sortable(expression) -%} strptime({{ expression }}, '%Y%m%d%H%M%S%f') {%- endmacro %}

{% macro postgres__timestamp_from_sortable(expression) -%}
    cast(to_timestamp({{ expression }}, 'YYYYMMDDHH24MISSUS') as timestamp)
{%- endmacro %}

{% macro snowflake__timestamp_from_sortable(expression) -%}
    to_timestamp_ntz({{ expression }}, 'YYYYMMDDHH24MISSFF6')
{%- endmacro %}

{% macro bigquery__timestamp_from_sortable(expression) -%}
    parse_timestamp(
        '%Y%m%d%H%M%E6S', concat(substr({{ expression }}, 1, 14), '.', substr({{ expression }}, 15, 6))
    )
{%- endmacro %}

{% macro spark__timestamp_from_sortable(expression) -%}
    to_timestamp({{ expression }}, 'yyyyMMddHHmmssSSSSSS')
{%- endmacro %}
