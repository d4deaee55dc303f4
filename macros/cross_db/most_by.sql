{#
  An aggregate: the value (text) with the greatest whole number of those for which a condition holds; of equal numbers the
  first of the alphabet. No sort, so that several of them share one aggregate.
#}
{% macro most_by(value, number, condition) -%}
    {{ return(adapter.dispatch('most_by', 'cdi')(value, number, condition)) }}
{%- endmacro %}

{#- The smallest of texts that begin with how small the number is. -#}
{% macro default__most_by(value, number, condition) -%}
    {%- set text = 'lpad(cast(500000000000000000 - ' ~ number ~ ' as ' ~ dbt.type_string() ~ "), 18, '0') || " ~ value -%}
    substr(min({{ cdi.alphabetical('case when ' ~ condition ~ ' then ' ~ text ~ ' end') }}), 19)
{%- endmacro %}

{#- Writing and comparing those texts takes twice as long as comparing a pair. -#}
{% macro duckdb__most_by(value, number, condition) -%}
    min({'less': -({{ number }}), 'value': {{ value }}}) filter (where {{ condition }})['value']
{%- endmacro %}
