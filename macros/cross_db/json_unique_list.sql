{#
  An aggregate: the different values (SQL: text, numbers or booleans) of a group as a JSON list in the order of the
  alphabet; null where there are none. condition: SQL; rows where it does not hold are left out.
#}
{% macro json_unique_list(value, condition='true') -%}
    {{ return(adapter.dispatch('json_unique_list', 'cdi')(value, condition)) }}
{%- endmacro %}

{% macro default__json_unique_list(value, condition) -%}
    to_json(list_sort(list(distinct {{ value }}) filter (where {{ condition }} and {{ value }} is not null)))
{%- endmacro %}

{% macro postgres__json_unique_list(value, condition) -%}
    to_jsonb(
        array_agg(distinct {{ value }} order by {{ value }})
        filter (where {{ condition }} and {{ value }} is not null)
    )
{%- endmacro %}

{% macro redshift__json_unique_list(value, condition) -%}
    json_parse(
        '["'
        || nullif(
            listagg(distinct case when {{ condition }} then replace({{ value }}, '"', '\\"') end, '","')
            within group (order by case when {{ condition }} then replace({{ value }}, '"', '\\"') end), ''
        )
        || '"]'
    )
{%- endmacro %}

{% macro snowflake__json_unique_list(value, condition) -%}
    cast(
        nullif(
            array_agg(distinct case when {{ condition }} then {{ value }} end)
            within group (order by case when {{ condition }} then {{ value }} end), array_construct()
        ) as variant
    )
{%- endmacro %}

{% macro bigquery__json_unique_list(value, condition) -%}
    to_json(
        array_agg(
            distinct case when {{ condition }} then {{ value }} end
            ignore nulls
            order by case when {{ condition }} then {{ value }} end
        )
    )
{%- endmacro %}

{% macro spark__json_unique_list(value, condition) -%}
    to_json(nullif(array_sort(collect_set(case when {{ condition }} then {{ value }} end)), array()))
{%- endmacro %}
