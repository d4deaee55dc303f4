{#
  Many fields of one JSON column as a select list, parsed once where the warehouse allows it.

  texts: {alias: path} gives text, objects: {alias: path} gives JSON; a path is 'a.b.c'.
#}
{% macro json_columns(column, texts={}, objects={}) -%}
    {{ return(adapter.dispatch('json_columns', 'cdi')(column, texts, objects)) }}
{%- endmacro %}

{% macro default__json_columns(column, texts, objects) %}
    {%- set columns = [] -%}
    {%- for alias, path in texts.items() -%}
        {%- do columns.append(cdi.json_text(column, path) ~ ' as ' ~ alias) -%}
    {%- endfor -%}
    {%- for alias, path in objects.items() -%}
        {%- do columns.append(cdi.json_object_at(column, path) ~ ' as ' ~ alias) -%}
    {%- endfor -%}
    {{- columns | join(',\n        ') -}}
{% endmacro %}

{% macro duckdb__json_columns(column, texts, objects) %}
    {#- The same call with a list of paths in every column is evaluated once: DuckDB parses the document a
        single time for all texts and a single time for all objects. -#}
    {%- set columns = [] -%}
    {%- for function, fields in [('json_extract_string', texts), ('json_extract', objects)] -%}
        {%- set paths = [] -%}
        {%- for path in fields.values() -%}{%- do paths.append("'" ~ cdi.json_path(path) ~ "'") -%}{%- endfor -%}
        {%- for alias in fields -%}
            {%- do columns.append(
                function ~ '(' ~ column ~ ', [' ~ paths | join(', ') ~ '])[' ~ loop.index ~ '] as ' ~ alias
            ) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{- columns | join(',\n        ') -}}
{% endmacro %}
