{# Seconds since 1970, as text or number, as a UTC timestamp; null where they are no number of 1970 to 2100. #}
{% macro epoch_to_timestamp(expression) -%}
    {{ return(adapter.dispatch('epoch_to_timestamp', 'cdi')(expression)) }}
{%- endmacro %}

{% macro _epoch(expression) -%}
    case
        when {{ cdi.try_numeric(expression, 18, 0) }} between 0 and 4133980799 then {{ cdi.try_numeric(expression, 18, 0) }}
    end
{%- endmacro %}

{% macro default__epoch_to_timestamp(expression) -%}
    make_timestamp(cast({{ cdi._epoch(expression) }} as bigint) * 1000000)
{%- endmacro %}

{% macro postgres__epoch_to_timestamp(expression) -%}
    (to_timestamp(cast({{ cdi._epoch(expression) }} as double precision)) at time zone 'UTC')
{%- endmacro %}

{% macro redshift__epoch_to_timestamp(expression) -%}
    dateadd(second, cast({{ cdi._epoch(expression) }} as integer), cast('1970-01-01' as timestamp))
{%- endmacro %}

{% macro snowflake__epoch_to_timestamp(expression) -%}
    to_timestamp_ntz({{ cdi._epoch(expression) }})
{%- endmacro %}

{% macro bigquery__epoch_to_timestamp(expression) -%}
    timestamp_seconds(cast({{ cdi._epoch(expression) }} as int64))
{%- endmacro %}

{% macro spark__epoch_to_timestamp(expression) -%}
    timestamp_seconds({{ cdi._epoch(expression) }})
{%- endmacro %}
