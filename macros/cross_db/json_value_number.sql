{# A JSON number for comparisons; null where the value is no number, or too large for one. #}
{% macro json_value_number(expression) -%}
    {{ return(adapter.dispatch('json_value_number', 'cdi')(expression)) }}
{%- endmacro %}

{% macro default__json_value_number(expression) -%}
    try_cast(cast({{ expression }} as varchar) as double)
{%- endmacro %}

{% macro postgres__json_value_number(expression) -%}
    case when jsonb_typeof({{ expression }}) = 'number' then cast({{ expression }} as numeric) end
{%- endmacro %}

{% macro snowflake__json_value_number(expression) -%}
    case when {{ cdi.json_is_type(expression, 'number') }} then cast({{ expression }} as double) end
{%- endmacro %}

{% macro bigquery__json_value_number(expression) -%}
    case
        when {{ cdi.json_is_type(expression, 'number') }} then safe_cast(json_value({{ expression }}) as float64)
    end
{%- endmacro %}

{% macro redshift__json_value_number(expression) -%}
    case
        when {{ cdi.json_is_type(expression, 'number') }} then cast({{ expression }} as double precision)
    end
{%- endmacro %}

{% macro spark__json_value_number(expression) -%} try_cast({{ expression }} as double) {%- endmacro %}
