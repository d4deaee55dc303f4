{# A timestamp with a zone as a UTC timestamp without one. #}
{% macro zoned_to_utc(expression) -%}
    {{ return(adapter.dispatch('zoned_to_utc', 'cdi')(expression)) }}
{%- endmacro %}

{% macro default__zoned_to_utc(expression) -%} ({{ expression }} at time zone 'UTC') {%- endmacro %}

{% macro snowflake__zoned_to_utc(expression) -%}
    cast(convert_timezone('UTC', {{ expression }}) as timestamp_ntz)
{%- endmacro %}

{% macro bigquery__zoned_to_utc(expression) -%} {{ expression }} {%- endmacro %}
{% macro spark__zoned_to_utc(expression) -%} {{ expression }} {%- endmacro %}
