{# A local timestamp without a zone in a named time zone ('Europe/London') as a UTC timestamp. #}
{% macro local_to_utc(expression, time_zone) -%}
    {{ return(adapter.dispatch('local_to_utc', 'cdi')(expression, time_zone)) }}
{%- endmacro %}

{% macro default__local_to_utc(expression, time_zone) -%}
    ({{ expression }} at time zone '{{ time_zone }}' at time zone 'UTC')
{%- endmacro %}

{% macro redshift__local_to_utc(expression, time_zone) -%}
    convert_timezone('{{ time_zone }}', 'UTC', {{ expression }})
{%- endmacro %}

{% macro snowflake__local_to_utc(expression, time_zone) -%}
    convert_timezone('{{ time_zone }}', 'UTC', {{ expression }})
{%- endmacro %}

{% macro bigquery__local_to_utc(expression, time_zone) -%}
    timestamp(datetime({{ expression }}, 'UTC'), '{{ time_zone }}')
{%- endmacro %}

{% macro spark__local_to_utc(expression, time_zone) -%}
    to_utc_timestamp({{ expression }}, '{{ time_zone }}')
{%- endmacro %}
