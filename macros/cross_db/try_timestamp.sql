{#
  Text as a UTC timestamp without a zone: ISO 8601, an offset is honoured, none means UTC. Null where the text is no
  time, or lies outside the years 1970 to 2100, which only broken clocks and typing errors give.
#}
{% macro try_timestamp(expression) -%}
    {{ return(adapter.dispatch('try_timestamp', 'cdi')(expression)) }}
{%- endmacro %}

{# Whether a text ends in an offset from UTC other than Z. #}
{% macro _has_offset(expression) -%}
    {{ cdi.regexp_like(expression, '[0-9]{2}:[0-9]{2}.*[+-][0-9]{2}(:?[0-9]{2})?$') }}
{%- endmacro %}

{% macro default__try_timestamp(expression) -%}
    case
        when substr({{ expression }}, 1, 4) not between '1970' and '2100' then null
        -- A cast to timestamp takes Z for UTC, but passes over every other offset.
        when {{ cdi._has_offset(expression) }} then try_cast({{ expression }} as timestamptz) at time zone 'UTC'
        else try_cast({{ expression }} as timestamp)
    end
{%- endmacro %}

{% macro postgres__try_timestamp(expression) -%}
    case
        when substr({{ expression }}, 1, 4) between '1970' and '2100'
            then {{ var('raw_schema') }}.try_timestamp({{ expression }})
    end
{%- endmacro %}

{% macro redshift__try_timestamp(expression) -%}
    case
        when substr({{ expression }}, 1, 4) between '1970' and '2100'
            then cast(try_cast({{ expression }} as timestamptz) at time zone 'UTC' as timestamp)
    end
{%- endmacro %}

{% macro snowflake__try_timestamp(expression) -%}
    case
        when substr({{ expression }}, 1, 4) not between '1970' and '2100' then null
        when {{ cdi._has_offset(expression) }}
            then cast(convert_timezone('UTC', try_to_timestamp_tz({{ expression }})) as timestamp_ntz)
        else try_to_timestamp_ntz({{ expression }})
    end
{%- endmacro %}

{% macro bigquery__try_timestamp(expression) -%}
    case
        when substr({{ expression }}, 1, 4) between '1970' and '2100' then safe_cast({{ expression }} as timestamp)
    end
{%- endmacro %}

{% macro spark__try_timestamp(expression) -%}
    case
        when substr({{ expression }}, 1, 4) between '1970' and '2100' then try_cast({{ expression }} as timestamp)
    end
{%- endmacro %}
