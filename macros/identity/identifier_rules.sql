{#
  The rules of identity in force, from the model identifier_rules, for SQL that is written from them:
  {types: [{type, normalisation, sources: [{path, conditions: [{path, value}]}], exact: [values], patterns: [...]}],
  strongest first; match_threshold: text or none}.

  A model that is compiled without a connection, or before identifier_rules was ever built, gets three types as an
  example. One that is run needs identifier_rules.
#}
{% macro identifier_rules() %}
    {%- set relation = ref('identifier_rules') -%}
    {%- if not execute or not flags.INTROSPECT -%}
        {{ return(cdi.example_identifier_rules()) }}
    {%- endif -%}
    {%- if load_relation(relation) is none -%}
        {%- if flags.WHICH in ['run', 'build', 'test'] -%}
            {{ exceptions.raise_compiler_error(
                model.name ~ ' needs identifier_rules, which is not built yet: select it too, as in `dbt build --select +'
                ~ model.name ~ '`.'
            ) }}
        {%- endif -%}
        {{ return(cdi.example_identifier_rules()) }}
    {%- endif -%}
    {%- set found = run_query(
        'select rule, identifier_type, normalisation, path, conditions, match, value from ' ~ relation
        ~ ' order by priority, rule, identifier_type, path, conditions, match, value'
    ).rows -%}
    {%- set rules = {'types': [], 'match_threshold': none} -%}
    {%- set by_type = {} -%}
    {%- for row in found if row[0] == 'type' -%}
        {%- set type = {'type': row[1], 'normalisation': row[2], 'sources': [], 'exact': [], 'patterns': []} -%}
        {%- do by_type.update({row[1]: type}) -%}
        {%- do rules.types.append(type) -%}
    {%- endfor -%}
    {%- for row in found if row[0] == 'source' -%}
        {%- do by_type[row[1]].sources.append({'path': row[3], 'conditions': cdi.source_conditions(row[4])}) -%}
    {%- endfor -%}
    {%- for row in found if row[0] == 'blocked' and row[5] in ['exact', 'pattern'] -%}
        {%- for type in rules.types if row[1] is none or row[1] == type.type -%}
            {%- do type['exact' if row[5] == 'exact' else 'patterns'].append(row[6]) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- for row in found if row[0] == 'match_threshold' -%}
        {%- do rules.update({'match_threshold': row[6]}) -%}
    {%- endfor -%}
    {{ return(rules) }}
{% endmacro %}

{# 'a.b=c;d=e' as [{path: 'a.b', value: 'c'}, {path: 'd', value: 'e'}]. #}
{% macro source_conditions(text) %}
    {%- set conditions = [] -%}
    {%- for condition in (text or '').split(';') if condition -%}
        {%- if '=' not in condition -%}
            {{ exceptions.raise_compiler_error(
                "seeds/identifier_sources.csv: the condition '" ~ condition ~ "' is not of the form path=value"
            ) }}
        {%- endif -%}
        {%- do conditions.append({
            'path': condition.split('=')[0] | trim, 'value': condition.split('=')[1:] | join('=') | trim
        }) -%}
    {%- endfor -%}
    {{ return(conditions) }}
{% endmacro %}

{# What models are compiled with where nobody can be asked. #}
{% macro example_identifier_rules() %}
    {{ return({
        'types': [
            {'type': 'user_id', 'normalisation': 'exact', 'exact': ['-1'], 'patterns': ['^[0-]*$'],
                'sources': [{'path': 'user_id', 'conditions': []}]},
            {'type': 'phone', 'normalisation': 'phone', 'exact': [], 'patterns': ['^[0-]*$'],
                'sources': [{'path': 'traits.phone', 'conditions': []}, {'path': 'properties.phone', 'conditions': []}]},
            {'type': 'android.id', 'normalisation': 'lower_case', 'exact': ['-1'], 'patterns': [],
                'sources': [{'path': 'context.device.id',
                    'conditions': [{'path': 'context.device.type', 'value': 'android'}]}]},
        ],
        'match_threshold': '0.99',
    }) }}
{% endmacro %}

{# The columns of identifier_rules ({name: data type}) as a select list; those not given (names, or {name: SQL}) are null. #}
{% macro rule_columns(columns, given) -%}
    {%- set expressions = [] -%}
    {%- for name, data_type in columns.items() -%}
        {%- set value = (given[name] if given is mapping else name) if name in given else 'null' -%}
        {%- do expressions.append('cast(' ~ value ~ ' as ' ~ data_type ~ ') as ' ~ name) -%}
    {%- endfor -%}
    {{- expressions | join(',\n        ') -}}
{%- endmacro %}
