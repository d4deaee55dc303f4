{#
  A lateral join, to be put behind the relation in a from clause, that gives one row per item of a JSON array;
  `json_array_item()` is the item (JSON) in the select list. What is no array gives no rows.
#}
{% macro unnest_json_array(column) -%}
    {{ return(adapter.dispatch('unnest_json_array', 'cdi')(column)) }}
{%- endmacro %}

{% macro default__unnest_json_array(column) -%}
    cross join unnest(
        case when json_type({{ column }}) = 'ARRAY' then from_json({{ column }}, '["JSON"]') end
    ) as items(item)
{%- endmacro %}

{% macro postgres__unnest_json_array(column) -%}
    cross join lateral jsonb_array_elements(
        case when jsonb_typeof({{ column }}) = 'array' then {{ column }} end
    ) as items(item)
{%- endmacro %}

{% macro snowflake__unnest_json_array(column) -%}
    cross join lateral flatten(input => iff(is_array({{ column }}), {{ column }}, null)) as items
{%- endmacro %}

{% macro bigquery__unnest_json_array(column) -%}
    cross join unnest(json_query_array({{ column }})) as item
{%- endmacro %}

{% macro redshift__unnest_json_array(column) -%}
    , {{ column }} as item
{%- endmacro %}

{% macro spark__unnest_json_array(column) -%}
    lateral view explode(from_json({{ column }}, 'array<string>')) items as item
{%- endmacro %}

{% macro json_array_item() -%}
    {{ return(adapter.dispatch('json_array_item', 'cdi')()) }}
{%- endmacro %}

{% macro default__json_array_item() -%} item {%- endmacro %}
{% macro snowflake__json_array_item() -%} items.value {%- endmacro %}
