{#
  Fields of a JSON column where each row has paths of its own: `json_found` is a column that holds them, to be selected
  one step before `json_found_at` reads the field at a path from it.

  groups: {number: {column: JSON column, paths: [path, ...]}}; number_column says which group a row is of.
#}
{% macro json_found(number_column, groups) -%}
    {{ return(adapter.dispatch('json_found', 'cdi')(number_column, groups)) }}
{%- endmacro %}

{% macro default__json_found(number_column, groups) -%} {{ cdi.null_text() }} {%- endmacro %}

{% macro duckdb__json_found(number_column, groups) -%}
    {#- One call per row with the list of its paths: the document is parsed once. -#}
    case {{ number_column }}
        {%- for number, group in groups.items() if group.paths %}
        when {{ number }} then json_extract({{ group.column }}, [
            {%- for path in group.paths %}'{{ cdi.json_path(path) | replace("'", "''") }}'{{ ', ' if not loop.last }}
            {%- endfor -%}
        ])
        {%- endfor %}
        else cast(null as json[])
    end
{%- endmacro %}

{# The field (JSON) at a path of the group's column. #}
{% macro json_found_at(group, path, found='found') -%}
    {{ return(adapter.dispatch('json_found_at', 'cdi')(group, path, found)) }}
{%- endmacro %}

{% macro default__json_found_at(group, path, found) -%} {{ cdi.json_object_at(group.column, path) }} {%- endmacro %}

{% macro duckdb__json_found_at(group, path, found) -%} {{ found }}[{{ group.paths.index(path) + 1 }}] {%- endmacro %}
