{# The start of the week, a Monday, that a timestamp lies in. #}
{% macro monday(expression) -%} {{ return(adapter.dispatch('monday', 'cdi')(expression)) }} {%- endmacro %}

{% macro default__monday(expression) -%} {{ dbt.date_trunc('week', expression) }} {%- endmacro %}

{% macro snowflake__monday(expression) -%}
    dateadd('day', 1 - dayofweekiso({{ expression }}), {{ dbt.date_trunc('day', expression) }})
{%- endmacro %}

{% macro bigquery__monday(expression) -%} timestamp_trunc({{ expression }}, isoweek) {%- endmacro %}
