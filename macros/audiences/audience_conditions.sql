{#
  The conditions of all audiences, one boolean column each: see models/audiences/conditions/audience_conditions.sql.

  reads: the models of events that audiences may ask about; dbt has to know them before it reads other models.
#}
{% macro audience_conditions(reads) -%}
    {%- for name in reads + ['identity_graph', 'merged_profiles', 'profiles'] -%}{%- do ref(name) -%}{%- endfor -%}
    {%- if not execute -%}{{ return('select 1 as profile_id') }}{%- endif -%}
    {%- set conditions = cdi.conditions_of_audiences(reads) -%}
    {%- set is_partial = cdi.is_partial() -%}
    {%- set events = cdi.event_conditions(conditions, ['profile_id'], cdi.as_of(), is_partial) -%}
    {%- set traits = cdi.trait_conditions(conditions) -%}
{% if events.steps -%}
with

{{ events.steps }}

{% endif -%}
select
    profiles.profile_id
    {%- for condition in conditions if condition.name in events.conditions or condition.name in traits %},
    -- {{ condition.sentence }}
    {{ events.conditions.get(condition.name, traits.get(condition.name)) }} as {{ condition.name }}
    {%- endfor %}
from {{ ref('profiles') }} as profiles
{%- for relation in events.joins %}
left join {{ relation }} on profiles.profile_id = {{ relation }}.profile_id
{%- endfor %}
{%- if is_partial %}
where profiles.profile_id in (select profile_id from {{ cdi.due_relation() }})
{%- endif %}
{%- endmacro %}

{#
  Writes down which conditions changed for whom in a run that makes the profiles that are due, before their new rows
  (a work table) take the place of those that are there: by these changes people know why somebody entered or left.
#}
{% macro write_changed_conditions(rows, revision) %}
    {%- set differing, columns, changes = [], [], [] -%}
    {%- for condition in cdi.conditions_of_audiences() if condition.condition in ['did', 'did_not', 'sequence', 'trait'] -%}
        {%- set name = condition.name -%}
        {%- do columns.append('made.' ~ name ~ ', coalesce(before.' ~ name ~ ', false) as was_' ~ name) -%}
        {%- do changes.append(
            "select profile_id, '" ~ name ~ "' as condition_name, " ~ name ~ ' as holds from compared where ' ~ name ~ ' <> was_' ~ name
        ) -%}
    {%- endfor -%}
    {%- if changes -%}
        {%- set changed = rows ~ '_changed' -%}
        {% do cdi.create_work_table(
            changed,
            'with compared as (select made.profile_id, ' ~ columns | join(', ') ~ ' from ' ~ rows ~ ' as made left join '
            ~ this ~ ' as before on made.profile_id = before.profile_id) ' ~ changes | join(' union all ')
        ) %}
        {#- Of a condition that had changed before, the newest change counts. -#}
        {% call statement('forget_changes') %}
            delete from {{ cdi.changed_conditions() }} as known
            where exists (
                select 1
                from {{ changed }} as changed
                where changed.profile_id = known.profile_id and changed.condition_name = known.condition_name
            )
        {% endcall %}
        {% call statement('write_changes') %}
            insert into {{ cdi.changed_conditions() }} (profile_id, condition_name, holds, revision)
            select profile_id, condition_name, holds, {{ revision }} from {{ changed }}
        {% endcall %}
        {% do cdi.drop_work_table(changed) %}
    {%- endif -%}
{% endmacro %}

{# For the materialization by_profile: what makes a profile due. #}
{% macro condition_inputs() %}
    {%- set conditions = cdi.conditions_of_audiences() -%}
    {%- set events = {} -%}
    {%- for condition in conditions -%}
        {%- for counted in cdi.counted_of(condition) -%}
            {%- do events.setdefault(counted.event, {'windows': [0]}) -%}
        {%- endfor -%}
        {%- for event, window in cdi.windows_of_condition(condition) if window not in events[event].windows -%}
            {%- do events[event].windows.append(window) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return({'events': events, 'differing': cdi.differing_profiles(cdi.trait_conditions(conditions))}) }}
{% endmacro %}

{# And what its rows depend on besides: the conditions as they are written. #}
{% macro condition_definitions() %}
    {%- set definitions = {} -%}
    {%- for audience in cdi.audiences() -%}
        {%- for leaf in cdi.leaves_of(audience.conditions) -%}{%- do definitions.update({leaf.name: leaf}) -%}{%- endfor -%}
    {%- endfor -%}
    {{ return(definitions) }}
{% endmacro %}

{# The pairs (event, seconds before as_of) of moments whose passing may change a checked condition. #}
{% macro windows_of_condition(condition) %}
    {%- set windows = [] -%}
    {%- for event, window in [
        (condition.counted.event, condition.counted.window) if 'counted' in condition else none,
        (condition.checked_steps[0].counted.event, condition.window) if 'checked_steps' in condition else none,
    ] | reject('none') -%}
        {%- for end in window.values() if end is not none -%}{%- do windows.append((event, end)) -%}{%- endfor -%}
    {%- endfor -%}
    {#- What must not follow the last step: until its span is over. -#}
    {%- set steps = condition.get('checked_steps', []) -%}
    {%- for span in cdi.waits_of(steps) -%}
        {%- set last = steps | rejectattr('step', 'equalto', 'then_not') | list | last -%}
        {%- do windows.append((last.counted.event, span)) -%}
    {%- endfor -%}
    {{ return(windows) }}
{% endmacro %}

{# The profiles whose traits say something else than this table, that are new, or that are gone. #}
{% macro differing_profiles(traits) %}
    {%- set differs = ['profiles.profile_id is null', 'conditions.profile_id is null'] -%}
    {%- for name, sql in traits.items() -%}
        {%- do differs.append(sql ~ ' <> conditions.' ~ name) -%}
    {%- endfor -%}
    {{ return(
        'select coalesce(profiles.profile_id, conditions.profile_id) as profile_id from ' ~ ref('profiles')
        ~ ' as profiles full join ' ~ this ~ ' as conditions on profiles.profile_id = conditions.profile_id where '
        ~ differs | join(' or ')
    ) }}
{% endmacro %}

{# {name: SQL} of checked conditions about traits. #}
{% macro trait_conditions(conditions) %}
    {%- set found, traits = {}, cdi.profile_columns() -%}
    {%- for condition in conditions if condition.condition == 'trait' -%}
        {%- do found.update({condition.name: cdi.trait_condition_sql(condition, traits, cdi.as_of(), [])}) -%}
    {%- endfor -%}
    {{ return(found) }}
{% endmacro %}

{# The audiences of the graph that are made by cdi.audience, in the order of their names: {name, file, conditions, is_recorded}. #}
{% macro audiences() %}
    {%- set found = [] -%}
    {%- for node in graph.nodes.values() | sort(attribute='name') if node.resource_type == 'model' -%}
        {%- set tree = node.config.get('meta', {}).get('audience') -%}
        {%- if tree -%}
            {%- do found.append({
                'name': node.name, 'file': node.original_file_path, 'conditions': tree.conditions,
                'is_recorded': node.fqn | length == 3,
            }) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(found) }}
{% endmacro %}

{# The checked conditions of all audiences; see checked_conditions. #}
{% macro conditions_of_audiences(reads=none) %}
    {{ return(cdi.once(
        'conditions ' ~ reads, cdi.checked_conditions, [cdi.audiences(), reads, model.original_file_path]
    )) }}
{% endmacro %}
