{#
  Sets columns of a table from a select with one row per key.

  assignments: {column: SQL over the select, named `changes`}; condition: SQL that ties the table, named by `target`, to
  `changes`.
#}
{% macro update_from(table, assignments, select, condition) -%}
    {{ return(adapter.dispatch('update_from', 'cdi')(table, assignments, select, condition)) }}
{%- endmacro %}

{% macro default__update_from(table, assignments, select, condition) %}
    update {{ table }}
    set
        {% for column, sql in assignments.items() -%}
        {{ column }} = {{ sql }}{{ ',' if not loop.last }}
        {% endfor -%}
    from (
        {{ select }}
    ) as changes
    where {{ condition | replace('target.', table | string ~ '.') }}
{% endmacro %}

{% macro spark__update_from(table, assignments, select, condition) %}
    merge into {{ table }} as target
    using (
        {{ select }}
    ) as changes
    on {{ condition }}
    when matched then update set
        {% for column, sql in assignments.items() -%}
        {{ column }} = {{ sql }}{{ ',' if not loop.last }}
        {% endfor -%}
{% endmacro %}
