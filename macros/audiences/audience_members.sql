{#
  Who meets conditions, without anything being built: profile_id. For `cdi audience preview` and `diff`.

  conditions: as in config.meta.audience; file: where they are written, for errors. as_of: SQL of a moment; none: now.
  At another moment computed traits are counted anew from the events up to then; traits that models compute by hand, and
  other audiences, are as they are now. A computed trait that `profiles` does not have yet is counted too.
#}
{% macro audience_members(conditions, file, as_of=none) -%}
    {%- if not execute -%}{{ return('select 1 as profile_id') }}{%- endif -%}
    {%- set checked = cdi.checked_conditions([{'file': file, 'conditions': conditions}]) -%}
    {%- set moment = as_of or cdi.as_of() -%}
    {%- set events = cdi.event_conditions(checked, ['profile_id'], moment, by_ref=false) -%}
    {%- set columns, known = dict(events.conditions), cdi.profile_columns() -%}
    {%- set steps, computed = [events.steps] if events.steps else [], {} -%}
    {%- set needed = checked | selectattr('trait', 'defined') | map(attribute='trait') | unique | list -%}
    {%- set lacking = needed | reject('in', cdi.once('built profiles', cdi.read_built_profile_columns, of_graph=true)) | list -%}
    {%- for model_name in cdi.computed_trait_models() -%}
        {%- set traits = cdi.declared_traits(cdi.node_of(model_name)) -%}
        {%- set asked = traits | map(attribute='name') | select('in', needed if as_of else lacking) | list -%}
        {%- if asked -%}
            {%- do steps.append(cdi.step(
                model_name ~ '_then', 'select * from (\n' ~ cdi.traits_sql(traits, none, 'profile_id', moment) ~ '\n) as traits'
            )) -%}
            {%- for name in asked -%}
                {%- do computed.update({name: (model_name ~ '_then', cdi.node_of(model_name))}) -%}
            {%- endfor -%}
        {%- endif -%}
    {%- endfor -%}
    {%- for condition in checked if condition.get('trait') in lacking and condition.trait not in computed -%}
        {{ exceptions.raise_compiler_error(
            condition.place ~ ": '" ~ condition.trait ~ "' has not been built yet: dbt build --select profile_traits+"
        ) }}
    {%- endfor -%}
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

{# The columns that `profiles` has as it was last built; all that it should have where it never was. #}
{% macro read_built_profile_columns() %}
    {%- set profiles = cdi.relation_of('profiles') -%}
    {%- set built = adapter.get_relation(profiles.database, profiles.schema, profiles.identifier) -%}
    {%- if built is none -%}{{ return(cdi.profile_columns() | list) }}{%- endif -%}
    {{ return(adapter.get_columns_in_relation(built) | map(attribute='name') | map('lower') | list) }}
{% endmacro %}

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
