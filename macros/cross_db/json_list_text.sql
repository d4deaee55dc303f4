{#
  The texts that an expression gives for the items of a JSON array, one after the other without anything between; null
  where the column is null or no array, and from items that give null. In the expression `json_list_item()` is the item.

  Redshift has no way to do this inside a row: there it is always null.
#}
{% macro json_list_text(column, expression) -%}
    {{ return(adapter.dispatch('json_list_text', 'cdi')(column, expression)) }}
{%- endmacro %}

{% macro default__json_list_text(column, expression) -%}
    case
        when json_type({{ column }}) = 'ARRAY'
            then array_to_string(list_transform(cast({{ column }} as json[]), lambda item: {{ expression }}), '')
    end
{%- endmacro %}

{% macro postgres__json_list_text(column, expression) -%}
    case
        when jsonb_typeof({{ column }}) = 'array'
            then (
                select string_agg({{ expression }}, '' order by place)
                from jsonb_array_elements({{ column }}) with ordinality as items (item, place)
            )
    end
{%- endmacro %}

{% macro snowflake__json_list_text(column, expression) -%}
    array_to_string(transform(as_array({{ column }}), item -> {{ expression }}), '')
{%- endmacro %}

{% macro bigquery__json_list_text(column, expression) -%}
    (
        select string_agg({{ expression }}, '' order by place)
        from unnest(json_query_array({{ column }})) as item with offset as place
    )
{%- endmacro %}

{% macro redshift__json_list_text(column, expression) -%} cast(null as varchar) {%- endmacro %}

{% macro spark__json_list_text(column, expression) -%}
    array_join(transform(from_json({{ column }}, 'array<string>'), item -> {{ expression }}), '')
{%- endmacro %}

{% macro json_list_item() -%} item {%- endmacro %}
