{#
  An aggregate: one JSON array of the JSON expressions of a group, in the order of order_by (never null there).

  condition: SQL; rows where it does not hold are left out.
#}
{% macro json_array_agg(expression, order_by, condition='true') -%}
    {{ return(adapter.dispatch('json_array_agg', 'cdi')(expression, order_by, condition)) }}
{%- endmacro %}

{% macro default__json_array_agg(expression, order_by, condition) -%}
    coalesce(to_json(list({{ expression }} order by {{ order_by }}) filter (where {{ condition }})), cast('[]' as json))
{%- endmacro %}

{% macro postgres__json_array_agg(expression, order_by, condition) -%}
    coalesce(jsonb_agg({{ expression }} order by {{ order_by }}) filter (where {{ condition }}), cast('[]' as jsonb))
{%- endmacro %}

{% macro snowflake__json_array_agg(expression, order_by, condition) -%}
    cast(
        array_agg(case when {{ condition }} then {{ expression }} end) within group (order by {{ order_by }}) as variant
    )
{%- endmacro %}

{% macro bigquery__json_array_agg(expression, order_by, condition) -%}
    to_json(
        coalesce(
            array_agg(case when {{ condition }} then {{ expression }} end ignore nulls order by {{ order_by }}), []
        )
    )
{%- endmacro %}

{% macro redshift__json_array_agg(expression, order_by, condition) -%}
    json_parse(
        '['
        || coalesce(
            listagg(case when {{ condition }} then json_serialize({{ expression }}) end, ',')
            within group (order by {{ order_by }}), ''
        )
        || ']'
    )
{%- endmacro %}

{% macro spark__json_array_agg(expression, order_by, condition) -%}
    concat(
        '[',
        array_join(
            transform(
                array_sort(
                    collect_list(
                        case when {{ condition }} then struct({{ order_by }} as position, {{ expression }} as item) end
                    )
                ),
                element -> element.item
            ),
            ','
        ),
        ']'
    )
{%- endmacro %}
