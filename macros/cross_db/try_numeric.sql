{# Text as numeric(18, 4) (money) or another numeric type; null where it is no plain number that fits. #}
{% macro try_numeric(expression, precision=18, scale=4) -%}
    {{ return(adapter.dispatch('try_numeric', 'cdi')(expression, precision, scale)) }}
{%- endmacro %}

{% macro default__try_numeric(expression, precision, scale) -%}
    try_cast({{ expression }} as numeric({{ precision }}, {{ scale }}))
{%- endmacro %}

{% macro postgres__try_numeric(expression, precision, scale) -%}
    {#- PostgreSQL has no safe cast: only what is sure to fit is cast. -#}
    case
        when {{ expression }} ~ '^\s*[+-]?[0-9]{1,{{ precision - scale }}}(\.[0-9]{0,30})?\s*$'
            and abs(cast({{ expression }} as numeric)) < 1e{{ precision - scale }} - 1
            then cast({{ expression }} as numeric({{ precision }}, {{ scale }}))
    end
{%- endmacro %}

{% macro bigquery__try_numeric(expression, precision, scale) -%}
    round(safe_cast({{ expression }} as numeric), {{ scale }})
{%- endmacro %}

{% macro snowflake__try_numeric(expression, precision, scale) -%}
    try_to_decimal({{ expression }}, {{ precision }}, {{ scale }})
{%- endmacro %}
