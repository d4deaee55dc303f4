{# A table that only the running materialization sees, made from a select and named without a schema. #}
{% macro create_work_table(name, sql) -%}
    {% do adapter.dispatch('create_work_table', 'cdi')(name, sql) %}
{%- endmacro %}

{% macro default__create_work_table(name, sql) %}
    {% call statement('drop_work_table') %}drop table if exists {{ name }}{% endcall %}
    {% call statement('create_work_table') %}create temporary table {{ name }} as {{ sql }}{% endcall %}
{% endmacro %}

{% macro duckdb__create_work_table(name, sql) %}
    {% call statement('create_work_table') %}create or replace temporary table {{ name }} as {{ sql }}{% endcall %}
{% endmacro %}

{% macro postgres__create_work_table(name, sql) %}
    {% call statement('drop_work_table') %}drop table if exists {{ name }}{% endcall %}
    {% call statement('create_work_table') %}create temporary table {{ name }} as {{ sql }}{% endcall %}
    {#- Autovacuum does not see temporary tables: without this the planner guesses. -#}
    {% call statement('analyze_work_table') %}analyze {{ name }}{% endcall %}
{% endmacro %}

{# Spark has no temporary tables, BigQuery's need a session: there it is an ordinary table of the default schema. #}
{% macro spark__create_work_table(name, sql) %}
    {% call statement('drop_work_table') %}drop table if exists {{ name }}{% endcall %}
    {% call statement('create_work_table') %}create table {{ name }} as {{ sql }}{% endcall %}
{% endmacro %}

{% macro drop_work_table(name) %}
    {% call statement('drop_work_table') %}drop table if exists {{ name }}{% endcall %}
{% endmacro %}

{#
  Gives back what dropped work tables took: until the transaction ends a warehouse keeps it for a rollback. Nothing but work
  tables may have been written before.
#}
{% macro release_work_tables() %}
    {% do adapter.commit() %}
{% endmacro %}

{# The first value of the first row of a query. #}
{% macro single_value(sql) %}
    {{ return(run_query(sql).rows[0][0]) }}
{% endmacro %}

{# A work table made anew from a select that reads it. #}
{% macro replace_work_table(name, sql) %}
    {% do cdi.create_work_table(name ~ '_next', sql) %}
    {% do cdi.drop_work_table(name) %}
    {% call statement('rename_work_table') %}alter table {{ name }}_next rename to {{ name }}{% endcall %}
{% endmacro %}
