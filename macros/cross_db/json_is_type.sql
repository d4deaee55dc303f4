{#
  Whether a JSON value is of one of some types: string, number, boolean, array, object, or null (which a missing value
  is too). Never null itself. Spark keeps JSON as text and cannot tell the text "12" from the number.
#}
{% macro json_is_type(expression, types, negated=false) -%}
    {{ return(adapter.dispatch('json_is_type', 'cdi')(expression, [types] if types is string else types, negated)) }}
{%- endmacro %}

{% macro _in_names(expression, names, types, negated) -%}
    {%- set found = [] -%}
    {%- for type in types -%}
        {%- for name in names[type] -%}{%- do found.append("'" ~ name ~ "'") -%}{%- endfor -%}
    {%- endfor -%}
    {{ expression }} {{ 'not in' if negated else 'in' }} ({{ found | join(', ') }})
{%- endmacro %}

{% macro _json_type_names() %}
    {{ return({
        'string': ['string'], 'number': ['number'], 'boolean': ['boolean'], 'array': ['array'], 'object': ['object'],
        'null': ['null'],
    }) }}
{% endmacro %}

{% macro default__json_is_type(expression, types, negated) -%}
    {#- The text of a JSON value begins as its type does: no need to parse it. DuckDB would make a join of a long `in`. -#}
    {%- set letters = {
        'string': '"', 'number': '-0123456789', 'boolean': 'tf', 'array': '[', 'object': '{', 'null': 'n',
    } -%}
    {{ 'not ' if negated }}contains('{% for type in types %}{{ letters[type] }}{% endfor %}', coalesce(left(cast({{ expression }} as varchar), 1), 'n'))
{%- endmacro %}

{% macro postgres__json_is_type(expression, types, negated) -%}
    {{ cdi._in_names("coalesce(jsonb_typeof(" ~ expression ~ "), 'null')", cdi._json_type_names(), types, negated) }}
{%- endmacro %}

{% macro redshift__json_is_type(expression, types, negated) -%}
    {{ cdi._in_names("coalesce(json_typeof(" ~ expression ~ "), 'null')", cdi._json_type_names(), types, negated) }}
{%- endmacro %}

{% macro bigquery__json_is_type(expression, types, negated) -%}
    {{ cdi._in_names("coalesce(json_type(" ~ expression ~ "), 'null')", cdi._json_type_names(), types, negated) }}
{%- endmacro %}

{% macro snowflake__json_is_type(expression, types, negated) -%}
    {{ cdi._in_names(
        "coalesce(typeof(" ~ expression ~ "), 'NULL_VALUE')",
        {
            'string': ['VARCHAR'], 'number': ['INTEGER', 'DECIMAL', 'DOUBLE'], 'boolean': ['BOOLEAN'],
            'array': ['ARRAY'], 'object': ['OBJECT'], 'null': ['NULL_VALUE'],
        },
        types, negated
    ) }}
{%- endmacro %}

{% macro spark__json_is_type(expression, types, negated) -%}
    {%- set conditions = {
        'null': expression ~ ' is null',
        'boolean': "coalesce(" ~ expression ~ ", '') in ('true', 'false')",
        'number': 'try_cast(' ~ expression ~ ' as double) is not null',
        'string': "coalesce(left(" ~ expression ~ ", 1), '[') not in ('[', '{')",
        'array': "coalesce(left(" ~ expression ~ ", 1), '') = '['",
        'object': "coalesce(left(" ~ expression ~ ", 1), '') = '{'",
    } -%}
    {{ 'not ' if negated }}({% for type in types %}{{ conditions[type] }}{{ ' or ' if not loop.last }}{% endfor %})
{%- endmacro %}
