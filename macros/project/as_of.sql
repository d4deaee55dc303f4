{# The moment that windows are counted back from, as a UTC timestamp: var('as_of'), or the start of the run. #}
{% macro as_of() -%}
    cast('{{ var('as_of') or run_started_at.strftime('%Y-%m-%d %H:%M:%S') }}' as {{ dbt.type_timestamp() }})
{%- endmacro %}

{# as_of less a number of days or hours. #}
{% macro before_as_of(interval, datepart='day') -%}
    {{ dbt.dateadd(datepart, -1 * interval, cdi.as_of()) }}
{%- endmacro %}
