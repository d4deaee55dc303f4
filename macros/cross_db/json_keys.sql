{#
  The keys of a JSON object, except those named, with a separator between them; null where there are none, or where the
  column is null or no object. Redshift has no way to do this inside a row: there it is always null.
#}
{% macro json_other_keys(column, known, separator) -%}
    {{ return(adapter.dispatch('json_other_keys', 'cdi')(column, known, separator)) }}
{%- endmacro %}

{% macro _text_list(values) -%}
    {%- for value in values -%}
        '{{ dbt.escape_single_quotes(value) }}'{{ ', ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}

{% macro default__json_other_keys(column, known, separator) -%}
    nullif(array_to_string(
        list_filter(json_keys({{ column }}), lambda key: not list_contains([{{ cdi._text_list(known) }}], key)),
        {{ separator }}
    ), '')
{%- endmacro %}

{% macro postgres__json_other_keys(column, known, separator) -%}
    case
        when jsonb_typeof({{ column }}) = 'object'
            then (
                select string_agg(key, {{ separator }} order by key)
                from jsonb_object_keys({{ column }} - cast(array[{{ cdi._text_list(known) }}] as text[])) as keys (key)
            )
    end
{%- endmacro %}

{% macro snowflake__json_other_keys(column, known, separator) -%}
    nullif(array_to_string(
        array_except(object_keys(as_object({{ column }})), array_construct({{ cdi._text_list(known) }})), {{ separator }}
    ), '')
{%- endmacro %}

{% macro bigquery__json_other_keys(column, known, separator) -%}
    (
        select string_agg(key, {{ separator }} order by key)
        from unnest(json_keys({{ column }}, 1)) as key
        where key not in unnest(cast([{{ cdi._text_list(known) }}] as array<string>))
    )
{%- endmacro %}

{% macro redshift__json_other_keys(column, known, separator) -%} cast(null as varchar) {%- endmacro %}

{% macro spark__json_other_keys(column, known, separator) -%}
    nullif(array_join(
        array_except(json_object_keys({{ column }}), cast(array({{ cdi._text_list(known) }}) as array<string>)),
        {{ separator }}
    ), '')
{%- endmacro %}

{# A JSON object without the keys of a text, which has a separator between them. #}
{% macro json_without_keys(column, keys, separator) -%}
    {{ return(adapter.dispatch('json_without_keys', 'cdi')(column, keys, separator)) }}
{%- endmacro %}

{% macro default__json_without_keys(column, keys, separator) -%}
    {#- A merge patch takes away what it says is null. Source: RFC 7396. -#}
    json_merge_patch(
        {{ column }},
        '{' || array_to_string(
            list_transform(string_split({{ keys }}, {{ separator }}), lambda key: to_json(key) || ':null'), ','
        ) || '}'
    )
{%- endmacro %}

{% macro postgres__json_without_keys(column, keys, separator) -%}
    ({{ column }} - string_to_array({{ keys }}, {{ separator }}))
{%- endmacro %}

{% macro snowflake__json_without_keys(column, keys, separator) -%}
    cast(
        reduce(
            split({{ keys }}, {{ separator }}), as_object({{ column }}), (rest, key) -> object_delete(rest, key)
        ) as variant
    )
{%- endmacro %}

{% macro bigquery__json_without_keys(column, keys, separator) -%}
    (
        select
            parse_json('{' || string_agg(to_json_string(key) || ':' || to_json_string({{ column }}[key]), ',') || '}')
        from unnest(json_keys({{ column }}, 1)) as key
        where key not in unnest(split({{ keys }}, {{ separator }}))
    )
{%- endmacro %}

{# Redshift has no way to take a key away inside a row: the whole object goes; raw keeps what came. #}
{% macro redshift__json_without_keys(column, keys, separator) -%} json_parse('{}') {%- endmacro %}

{% macro spark__json_without_keys(column, keys, separator) -%}
    to_json(
        map_filter(
            from_json({{ column }}, 'map<string,variant>'),
            (key, value) -> not array_contains(split({{ keys }}, {{ separator }}), key)
        )
    )
{%- endmacro %}
