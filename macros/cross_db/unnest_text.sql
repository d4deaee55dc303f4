{#
  A select of the parts of a text column: the named columns, `position` (from 1) and `part`, one row per part.
  relation: a name or a query in parentheses; separator: SQL.
#}
{% macro unnest_text(relation, column, separator, columns) -%}
    {{ return(adapter.dispatch('unnest_text', 'cdi')(relation, column, separator, columns | join(', '))) }}
{%- endmacro %}

{% macro default__unnest_text(relation, column, separator, columns) -%}
    select
        {{ columns }},
        unnest(string_split({{ column }}, {{ separator }})) as part,
        generate_subscripts(string_split({{ column }}, {{ separator }}), 1) as position
    from {{ relation }} as whole
{%- endmacro %}

{% macro postgres__unnest_text(relation, column, separator, columns) -%}
    select
        {{ columns }},
        parts.part,
        parts.position
    from {{ relation }} as whole
    cross join lateral unnest(string_to_array({{ column }}, {{ separator }})) with ordinality as parts (part, position)
{%- endmacro %}

{% macro snowflake__unnest_text(relation, column, separator, columns) -%}
    select
        {{ columns }},
        parts.value as part,
        parts.index as position
    from {{ relation }} as whole,
        lateral split_to_table({{ column }}, {{ separator }}) as parts
{%- endmacro %}

{% macro bigquery__unnest_text(relation, column, separator, columns) -%}
    select
        {{ columns }},
        part,
        place + 1 as position
    from {{ relation }} as whole
    cross join unnest(split({{ column }}, {{ separator }})) as part with offset as place
{%- endmacro %}

{% macro redshift__unnest_text(relation, column, separator, columns) -%}
    select
        {{ columns }},
        cast(part as varchar(600)) as part,
        place + 1 as position
    from (
        select *, split_to_array({{ column }}, {{ separator }}) as all_parts from {{ relation }} as texts
    ) as whole, whole.all_parts as part at place
{%- endmacro %}

{% macro spark__unnest_text(relation, column, separator, columns) -%}
    select
        {{ columns }},
        part,
        place + 1 as position
    from {{ relation }} as whole
    lateral view posexplode(split({{ column }}, {{ separator }})) parts as place, part
{%- endmacro %}
