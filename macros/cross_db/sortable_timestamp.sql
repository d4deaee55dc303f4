{# A timestamp as 20 digits (YYYYMMDDHHMMSSffffff) that sort as text in the order of time. #}
{% macro sortable_timestamp(expression) -%}
    {{ return(adapter.dispatch('sortable_timestamp', 'cdi')(expression)) }}
{%- endmacro %}

{% macro default__sortable_timestamp(expression) -%} strftime({{ expression }}, '%Y%m%d%H%M%S%f') {%- endmacro %}
{% macro postgres__sortable_timestamp(expression) -%} to_char({{ expression }}, 'YYYYMMDDHH24MISSUS') {%- endmacro %}
{% macro snowflake__sortable_timestamp(expression) -%} to_char({{ expression }}, 'YYYYMMDDHH24MISSFF6') {%- endmacro %}

{% macro bigquery__sortable_timestamp(expression) -%}
    replace(format_timestamp('%Y%m%d%H%M%E6S', {{ expression }}), '.', '')
{%- endmacro %}

{% macro spark__sortable_timestamp(expression) -%}
    date_format({{ expression }}, 'yyyyMMddHHmmssSSSSSS')
{%- endmacro %}
