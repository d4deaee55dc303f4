{# Makes a view, in place of what has its name; readers never find it missing. #}
{% macro replace_view(relation, sql) -%}
    {{ return(adapter.dispatch('replace_view', 'cdi')(relation, sql)) }}
{%- endmacro %}

{% macro default__replace_view(relation, sql) %}
    {%- set existing = load_cached_relation(relation) -%}
    {%- set intermediate = make_intermediate_relation(relation) -%}
    {% do drop_relation_if_exists(load_cached_relation(intermediate)) %}
    {% call statement('main') %}create view {{ intermediate }} as {{ sql }}{% endcall %}
    {% do cdi.take_place(intermediate, relation, existing) %}
{% endmacro %}

{#- In place where the columns are the same: dropping a view takes those that read it with it. -#}
{% macro postgres__replace_view(relation, sql) %}
    {%- set existing = load_cached_relation(relation) -%}
    {% if existing is none or not existing.is_view %}
        {{ return(cdi.default__replace_view(relation, sql)) }}
    {% endif %}
    {% call statement('main') %}
        do $cdi$ begin
            create or replace view {{ relation }} as {{ sql }}
            ;
        exception when invalid_table_definition then
            drop view {{ relation }} cascade;
            create view {{ relation }} as {{ sql }}
            ;
        end $cdi$
    {% endcall %}
{% endmacro %}

{% macro redshift__replace_view(relation, sql) %}
    {{ return(cdi.default__replace_view(relation, sql)) }}
{% endmacro %}

{% macro duckdb__replace_view(relation, sql) %}
    {%- set existing = load_cached_relation(relation) -%}
    {% if existing is not none and not existing.is_view %}{% do drop_relation_if_exists(existing) %}{% endif %}
    {{ cdi.replace_view_at_once(relation, sql) }}
{% endmacro %}

{% macro snowflake__replace_view(relation, sql) %}{{ cdi.replace_view_at_once(relation, sql) }}{% endmacro %}

{% macro bigquery__replace_view(relation, sql) %}{{ cdi.replace_view_at_once(relation, sql) }}{% endmacro %}

{% macro spark__replace_view(relation, sql) %}{{ cdi.replace_view_at_once(relation, sql) }}{% endmacro %}

{# Where a view may take the place of one with other columns. #}
{% macro replace_view_at_once(relation, sql) %}
    {% call statement('main') %}create or replace view {{ relation }} as {{ sql }}{% endcall %}
{% endmacro %}
