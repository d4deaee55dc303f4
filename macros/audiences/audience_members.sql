{#
  Who meets conditions, without anything being built: profile_id. For `cdi audience preview` and `diff`.

  conditions: as in config.meta.audience; file: where they are written, for errors. as_of: SQL of a moment; none: now.
  At another moment computed traits are counted anew from the events up to then; traits that models compute by hand, and
  other audiences, are as they are now.
#}
{% macro audience_members(conditions, file, as_of=none) -%}
    {%- if not execute -%}{{ return('select 1 as profile_id') }}{%- endif -%}
    {%- set checked = cdi.checked_conditions([{'file': file, 'conditions': conditions}]) -%}
    {%- set moment = as_of or cdi.as_of() -%}
    {%- set events = cdi.event_conditions(checked, ['profile_id'], moment, by_ref=false) -%}
    {%- set columns, known = dict(events.conditions), cdi.profile_columns() -%}
    {%- set steps, computed = [events.steps] if events.steps else [], {} -%}
    {%- if as_of -%}
        {%- for model_name in cdi.computed_trait_models() -%}
            {%- set traits = cdi.declared_traits(cdi.node_of(model_name)) -%}
            {%- set asked = [] -%}
            {%- for condition in checked if condition.get('trait') in traits | map(attribute='name') | list -%}
                {%- do asked.append(condition.trait) -%}
            {%- endfor -%}
            {%- if asked -%}
                {%- do steps.append(cdi.step(
                    model_name ~ '_then', 'select * from (\n' ~ cdi.traits_sql(traits, none, 'profile_id', as_of) ~ '\n) as traits'
                )) -%}
                {%- for trait in traits if trait.name in asked -%}
                    {%- do computed.update({
                        trait.name: (model_name ~ '_then', cdi.node_of(model_name))
                    }) -%}
                {%- endfor -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {%- set needed = checked | selectattr('trait', 'defined') | map(attribute='trait') | unique | list -%}
    {%- for condition in checked if condition.condition == 'trait' -%}
        {%- do columns.update({condition.name: cdi.trait_condition_sql(condition, known, moment, [], 'people')}) -%}
    {%- endfor %}
with

{% for step in steps %}{{ step }},

{% endfor -%}
people as (

    select
        profiles.profile_id
        {%- for name in needed %},
        {% if name in computed -%}
            {{- cdi.joined_trait(computed[name][0], computed[name][1].columns[name], computed[name][1]) }}
        {%- else -%}
            profiles.{{ name }}
        {%- endif -%}
        {%- endfor %}
    from {{ cdi.relation_of('profiles') }} as profiles
    {%- for relation in computed.values() | map('first') | unique %}
    left join {{ relation }} on profiles.profile_id = {{ relation }}.profile_id
    {%- endfor %}

)

select people.profile_id
from people
{%- for relation in events.joins %}
left join {{ relation }} on people.profile_id = {{ relation }}.profile_id
{%- endfor %}
{%- for name in cdi.audiences_named(conditions) %}
left join (select distinct profile_id from {{ cdi.relation_of(name) }}) as in_{{ name }}
    on people.profile_id = in_{{ name }}.profile_id
{%- endfor %}
where
{{ cdi.conditions_sql(conditions, 'and', columns) | indent(4, first=true) }}
{%- endmacro %}

{# The models whose traits are declared in YAML and are part of `profiles`. #}
{% macro computed_trait_models() %}
    {%- set names = [] -%}
    {%- for node in graph.nodes.values() | sort(attribute='name') if node.resource_type == 'model' and 'profile_id' in node.columns -%}
        {%- set traits = [] -%}
        {%- for column in node.columns.values() if cdi.column_meta(column).get('trait') is not none -%}
            {%- do traits.append(column.name) -%}
        {%- endfor -%}
        {%- if traits -%}{%- do names.append(node.name) -%}{%- endif -%}
    {%- endfor -%}
    {{ return(names) }}
{% endmacro %}
