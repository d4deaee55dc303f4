{# Functions that the models need and the warehouse lacks. #}
{% macro create_functions() -%}
    {{ return(adapter.dispatch('create_functions', 'cdi')()) }}
{%- endmacro %}

{% macro default__create_functions() %}{% endmacro %}

{% macro postgres__create_functions() %}
    {#- PostgreSQL 15 has no cast that gives null instead of an error. Catching one is a subtransaction, which no
        parallel worker may start. -#}
    {% if execute and flags.INTROSPECT and not cdi.function_exists(var('raw_schema'), 'try_timestamp') %}
        create schema if not exists {{ var('raw_schema') }};
        create or replace function {{ var('raw_schema') }}.try_timestamp(value text) returns timestamp
        language plpgsql immutable parallel unsafe as $$
        begin
            -- A text without an offset is UTC, whatever the session's time zone is.
            if value ~ '([zZ]|[+-][0-9]{2}(:?[0-9]{2})?)$' and value ~ '[0-9]{2}:[0-9]{2}' then
                return cast(value as timestamptz) at time zone 'UTC';
            end if;
            return cast(value as timestamp);
        exception when others then
            return null;
        end $$;
        create or replace function {{ var('raw_schema') }}.try_jsonb(value text) returns jsonb
        language plpgsql immutable parallel unsafe as $$
        begin
            return cast(value as jsonb);
        exception when others then
            return null;
        end $$;
    {% endif %}
{% endmacro %}

{% macro redshift__create_functions() %}{% endmacro %}

{# Whether a function exists in a schema of the target's database. #}
{% macro function_exists(schema, name) %}
    {% set found = run_query(
        "select 1 from information_schema.routines where routine_schema = '" ~ schema
        ~ "' and routine_name = '" ~ name ~ "'"
    ) %}
    {{ return(found.rows | length > 0) }}
{% endmacro %}
