{#
  Aggregates: the value of a group that is not null and has the smallest (first_by) or the greatest (last_by) number.
  The number is a whole one of at most 10 digits.
#}
{% macro first_by(value, number) -%} {{ return(adapter.dispatch('first_by', 'cdi')(value, number)) }} {%- endmacro %}

{% macro default__first_by(value, number) -%}
    min_by({{ value }}, case when {{ value }} is not null then {{ number }} end)
{%- endmacro %}

{#- PostgreSQL and Redshift have no min_by: the number goes before the text. -#}
{% macro postgres__first_by(value, number) -%}
    substr(min({{ cdi.numbered_text(value, number) }}), 11)
{%- endmacro %}

{% macro last_by(value, number) -%} {{ return(adapter.dispatch('last_by', 'cdi')(value, number)) }} {%- endmacro %}

{% macro default__last_by(value, number) -%}
    max_by({{ value }}, case when {{ value }} is not null then {{ number }} end)
{%- endmacro %}

{% macro postgres__last_by(value, number) -%}
    substr(max({{ cdi.numbered_text(value, number) }}), 11)
{%- endmacro %}

{# Text that sorts by the number before it, whatever the database's own order is; null where the value is. #}
{% macro numbered_text(value, number) -%}
    lpad(cast({{ number }} as {{ dbt.type_string() }}), 10, '0') || {{ value }}
{%- endmacro %}
