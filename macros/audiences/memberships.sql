{#
  Who is in which audience since when and why, in audiences.audience_membership_history: who is in one and was not enters,
  who was and is not leaves, with the reason.

  - Audiences that ask for nothing but what audience_conditions evaluates, and for such audiences, are written down
    together, by a hook of audience_conditions, in the transaction that makes its rows; only profiles whose rows are new
    are looked at. All others (SQL by hand, and what asks for that), and one whose definition changed alone, have a hook
    of their own.
  - A member whose profile joined another one does not leave: the membership goes on under the profile that is there now,
    since the earlier of the two entries where both were members.
  - The reason names the conditions that changed for the profile since the audience was last looked at, and whether a
    merge of profiles was part of it.
  The history is never built anew: a full refresh adds to it what has changed.
#}

{# The hook of audience_conditions. #}
{% macro record_evaluated_memberships() %}
    {%- if not execute or flags.WHICH not in ['run', 'build'] or model.resource_type != 'model' -%}{{ return('') }}{%- endif -%}
    {%- if not cdi.is_partial() -%}
        {% call statement('forget_changes') %}delete from {{ cdi.changed_conditions() }}{% endcall %}
    {%- endif -%}
    {%- set names = cdi.evaluated_audiences() | list -%}
    {%- if names -%}
        {% do cdi.write_memberships(names, cdi.read_membership_states(), this) %}
    {%- endif -%}
    {{ return('') }}
{% endmacro %}

{# The hook of every audience, models/audiences/<name>.sql. #}
{% macro record_memberships() %}
    {%- if model.resource_type != 'model' or model.fqn | length != 3 -%}{{ return('') }}{%- endif -%}
    {%- do [ref('merged_profiles'), ref('profile_traits')] -%}
    {%- if not execute or flags.WHICH not in ['run', 'build'] -%}{{ return('') }}{%- endif -%}
    {%- if model.name not in cdi.evaluated_audiences() -%}
        {% do cdi.write_memberships([model.name], cdi.read_membership_states()) %}
    {%- else -%}
        {#- These come after audience_conditions: all find the same. -#}
        {%- set states = cdi.once('membership states', cdi.read_membership_states, of_graph=true) -%}
        {%- if states.get(model.name, {}).definition != cdi.audience_definition(model) -%}
            {% do cdi.write_memberships([model.name], states) %}
        {%- endif -%}
    {%- endif -%}
    {{ return('') }}
{% endmacro %}

{#
  Writes down who enters and who leaves some audiences.

  evaluated: the relation of audience_conditions where they are read from there; else the audience is the model that was
  just built.
#}
{% macro write_memberships(names, states, evaluated=none) %}
    {%- set history, merged = cdi.membership_history(), cdi.relation_of('merged_profiles') -%}
    {%- set conditions = cdi.relation_of('audience_conditions') -%}
    {%- set definitions, audiences = {}, [] -%}
    {%- for name in names -%}
        {%- set node = cdi.node_of(name) -%}
        {%- do definitions.update({name: cdi.audience_definition(node)}) -%}
        {%- do audiences.append(cdi.reason_rules(node, states.get(name), definitions[name])) -%}
    {%- endfor -%}
    {#- What all of them were evaluated at, where nothing but rows can have changed since. -#}
    {%- set since = audiences | map(attribute='revision') | min
        if evaluated and cdi.is_partial() and not audiences | selectattr('reason') | list else none -%}
    {%- set newest = run_query(
        'select (select max(loaded_at) from ' ~ merged ~ '), (select max(revision) from '
        ~ cdi.by_profile_inputs_relation() ~ " where model = '" ~ cdi.by_profile_name(conditions) ~ "'), "
        ~ '(select count(*) from ' ~ history ~ ' where ' ~ cdi.open_memberships(names) ~ ' and profile_id in'
        ~ ' (select profile_id from ' ~ merged ~ ' where joined_profile_id is not null))'
    ).rows[0] -%}

    {#- Members that joined another profile: mostly there are none. -#}
    {%- if newest[2] > 0 -%}
        {% do cdi.join_memberships(names, history, merged) %}
    {%- endif -%}
    {%- set changes = 'cdi_' ~ model.alias ~ '_membership_changes' -%}
    {%- set members -%}
        {%- if evaluated -%}
            {{ cdi.evaluated_members(names, evaluated, since) }}
        {%- else -%}
            select distinct '{{ names[0] }}' as audience, profile_id from {{ this }} where profile_id is not null
        {%- endif -%}
    {%- endset -%}
    {% do cdi.create_work_table(changes, cdi.membership_changes(names, members, history, conditions, since)) %}
    {%- if cdi.single_value('select count(*) from ' ~ changes) > 0 -%}
        {% do cdi.write_changes(changes, audiences, history, merged) %}
    {%- endif -%}
    {% do cdi.drop_work_table(changes) %}
    {%- set models = {} -%}
    {%- for name, definition in definitions.items() -%}
        {%- do models.update({cdi.by_profile_name(cdi.relation_of(name)): definition}) -%}
    {%- endfor -%}
    {% do cdi.write_by_profile_state(models, newest[1] | int, {
        'merged_profiles': ("cast('" ~ newest[0] ~ "' as " ~ dbt.type_timestamp() ~ ")") if newest[0] is not none else none,
    }) %}
{% endmacro %}

{# The table of memberships; `audience_memberships` and `audience_events` read it. #}
{% macro membership_history() %}
    {{ return(api.Relation.create(
        database=target.database, schema=var('schema_prefix') ~ 'audiences', identifier='audience_membership_history'
    )) }}
{% endmacro %}

{# The table of conditions that changed for a profile since audience_conditions was built in full. #}
{% macro changed_conditions() %}
    {{ return(api.Relation.create(database=target.database, schema='cdi', identifier='changed_conditions')) }}
{% endmacro %}

{#
  {audience: {conditions, node}} of those that can be told from a row of audience_conditions alone, each after those that it
  asks for.
#}
{% macro evaluated_audiences() %}{{ return(cdi.once('evaluated audiences', cdi.read_evaluated_audiences, of_graph=true)) }}{% endmacro %}

{% macro read_evaluated_audiences() %}
    {%- set found, all = {}, cdi.audiences() -%}
    {%- for round in all -%}
        {%- set known = found | length -%}
        {%- for audience in all if audience.name not in found and audience.is_recorded
            and not cdi.audiences_named(audience.conditions) | reject('in', found) | list -%}
            {%- do found.update({audience.name: audience}) -%}
        {%- endfor -%}
        {%- if found | length == known -%}{% break %}{%- endif -%}
    {%- endfor -%}
    {{ return(found) }}
{% endmacro %}

{# A hash of what an audience is: who enters because it changed is told so. #}
{% macro audience_definition(node) %}
    {{ return(local_md5(tojson((node.config.get('meta') or {}).get('audience') or node.raw_code, sort_keys=true))) }}
{% endmacro %}

{# {audience: {definition, revision (of audience_conditions), merged (SQL of a loaded_at)}} as they were last looked at. #}
{% macro read_membership_states() %}
    {%- set states = {} -%}
    {%- set schema = cdi.membership_history().schema ~ '.' -%}
    {%- for name, definition, revision, merged in run_query(
        "select model, definition, revision, newest_load from " ~ cdi.by_profile_inputs_relation()
        ~ " where input = 'merged_profiles' and model like '" ~ schema ~ "%'"
    ).rows -%}
        {%- do states.update({name[schema | length:]: {
            'definition': definition,
            'revision': revision | int,
            'merged': ("cast('" ~ merged ~ "' as " ~ dbt.type_timestamp() ~ ')') if merged is not none else none,
        }}) -%}
    {%- endfor -%}
    {{ return(states) }}
{% endmacro %}

{#
  What the reasons of an audience are made of: {name, reason (where it is the same for all), otherwise (where no
  condition changed), revision, merged, leaves}.
#}
{% macro reason_rules(node, state, definition) %}
    {%- set tree = (node.config.get('meta') or {}).get('audience') -%}
    {%- set reason = none -%}
    {%- if not state -%}
        {%- set reason = 'the audience was built for the first time' -%}
    {%- elif state.definition != definition -%}
        {%- set reason = 'the definition of the audience changed' -%}
    {%- endif -%}
    {{ return({
        'name': node.name,
        'reason': reason,
        'otherwise': 'its conditions were evaluated anew' if tree else 'what its SQL finds changed',
        'revision': (state or {}).get('revision', 0),
        'merged': (state or {}).get('merged'),
        'leaves': cdi.leaves_of(tree.conditions) | unique(attribute='name') | list if tree else [],
    }) }}
{% endmacro %}

{# The condition that a row of the history is a membership of some audiences that goes on. #}
{% macro open_memberships(names, alias='') -%}
    {{ alias }}audience in ('{{ names | join("', '") }}') and {{ alias }}exited_at is null
{%- endmacro %}

{# Who is in audiences by their row of audience_conditions; since: of rows that were made after that revision. #}
{% macro evaluated_members(names, conditions, since) %}
    {%- set columns, known = {}, cdi.evaluated_audiences() -%}
    {%- for name, audience in known.items() -%}
        {%- for leaf in cdi.leaves_of(audience.conditions) -%}
            {%- set sql = '(' ~ columns[leaf.audience] ~ ')' if 'audience' in leaf else 'conditions.' ~ leaf.name -%}
            {%- do columns.update({
                leaf.name: 'not ' ~ sql if leaf.condition == 'not_in_audience' else sql
            }) -%}
        {%- endfor -%}
        {%- do columns.update({name: cdi.conditions_sql(audience.conditions, 'and', columns)}) -%}
    {%- endfor -%}
    {%- for name in names %}
    select '{{ name }}' as audience, conditions.profile_id
    from {{ conditions }} as conditions
    where
        ({{ columns[name] | indent(8) }})
        {%- if since is not none %}
        and conditions.revision > {{ since }}
        {%- endif %}
    {{ 'union all' if not loop.last }}
    {%- endfor -%}
{% endmacro %}

{# Who enters and who leaves: audience, profile_id, is_entering. #}
{% macro membership_changes(names, members, history, conditions, since) %}
    with

    members as (

        {{ members }}

    ),

    memberships as (

        select
            audience,
            profile_id
        from {{ history }}
        where {{ cdi.open_memberships(names) }}
        {%- if since is not none %}
            and profile_id in (
                select profile_id
                from {{ conditions }}
                where revision > {{ since }}
                union all
                select profile_id
                from {{ cdi.by_profile_removed_relation() }}
                where model = '{{ cdi.by_profile_name(conditions) }}' and revision > {{ since }}
            )
        {%- endif %}

    )

    select
        coalesce(members.audience, memberships.audience) as audience,
        coalesce(members.profile_id, memberships.profile_id) as profile_id,
        members.profile_id is not null as is_entering
    from members
    full join memberships
        on members.audience = memberships.audience and members.profile_id = memberships.profile_id
    where members.profile_id is null or memberships.profile_id is null
{% endmacro %}

{# Closes the memberships of who leaves, and opens those of who enters. #}
{% macro write_changes(changes, audiences, history, merged) %}
    {%- set recorded = changes ~ '_recorded' -%}
    {% do cdi.create_work_table(recorded, cdi.changes_with_reasons(changes, audiences, history, merged)) %}
    {% call statement('close_memberships') %}
        {{ cdi.update_from(
            history, {'exited_at': 'greatest(' ~ cdi.as_of() ~ ', entered_at)', 'exit_reason': 'changes.reason'},
            'select audience, profile_id, reason from ' ~ recorded ~ ' where not is_entering',
            'target.audience = changes.audience and target.profile_id = changes.profile_id and target.exited_at is null'
        ) }}
    {% endcall %}
    {% call statement('open_memberships') %}
        insert into {{ history }} (
            membership_id, audience, profile_id, membership_number, entered_at, entry_reason, is_carried
        )
        select
            {{ cdi.membership_id('audience', 'profile_id', 'membership_number') }},
            audience,
            profile_id,
            membership_number,
            {{ cdi.as_of() }},
            reason,
            false
        from {{ recorded }}
        where is_entering
    {% endcall %}
    {% do cdi.drop_work_table(recorded) %}
{% endmacro %}

{% macro membership_id(audience, profile_id, number) -%}
    {{ dbt.hash(dbt.concat([audience, "'|'", profile_id, "'|'", 'cast(' ~ number ~ ' as ' ~ dbt.type_string() ~ ')'])) }}
{%- endmacro %}

{# Changes with the number that a new membership has, and the reason. #}
{% macro changes_with_reasons(changes, audiences, history, merged) %}
    {%- set known = audiences | selectattr('reason') | list -%}
    {%- set asking = audiences | rejectattr('reason') | list %}
    with

    before as (

        select
            audience,
            profile_id,
            max(membership_number) as membership_number
        from {{ history }}
        where audience in ('{{ audiences | map(attribute='name') | join("', '") }}')
            and profile_id in (select profile_id from {{ changes }})
        group by 1, 2

    )
    {%- if asking %},

    {{ cdi.reason_steps(changes, asking, history, merged) | trim }}
    {%- endif %}

    select
        changes.audience,
        changes.profile_id,
        changes.is_entering,
        coalesce(before.membership_number, 0) + 1 as membership_number,
        case
            when not changes.is_entering and people.profile_id is null then 'the profile is gone'
            {%- for audience in known %}
            when changes.audience = '{{ audience.name }}' then '{{ audience.reason }}'
            {%- endfor %}
            {%- if asking %}
            when reasons.reason is not null then reasons.reason
            {%- endif %}
            {%- for otherwise, several in asking | groupby('otherwise') %}
            when changes.audience in ('{{ several | map(attribute='name') | join("', '") }}') then '{{ otherwise }}'
            {%- endfor %}
        end as reason
    from {{ changes }} as changes
    left join {{ cdi.relation_of('profile_traits') }} as people on changes.profile_id = people.profile_id
    left join before on changes.audience = before.audience and changes.profile_id = before.profile_id
    {%- if asking %}
    left join reasons on changes.audience = reasons.audience and changes.profile_id = reasons.profile_id
    {%- endif %}
{% endmacro %}

{# The steps, without `with`, up to `reasons`: per audience and profile what changed since the audience was looked at. #}
{% macro reason_steps(changes, audiences, history, merged) %}
    {%- set sentences, asked, merges = [], {}, {} -%}
    {%- for audience in audiences -%}
        {%- do merges.setdefault(audience.merged or '', []).append(audience.name) -%}
        {%- for leaf in audience.leaves -%}
            {%- if 'audience' in leaf -%}{%- do asked.update({leaf.name: leaf}) -%}{%- endif -%}
            {%- do sentences.append(
                "select '" ~ audience.name ~ "' as audience, " ~ loop.index ~ " as place, '" ~ leaf.name
                ~ "' as condition_name, " ~ (-1 if 'audience' in leaf else audience.revision) ~ " as revision, '"
                ~ dbt.escape_single_quotes(leaf.sentence) ~ "' as sentence"
            ) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- if sentences %}
    sentences as (

        {{ sentences | join('\n        union all\n        ') }}

    ),

    changed as (

        select
            condition_name,
            profile_id,
            revision,
            holds
        from {{ cdi.changed_conditions() }}
        {%- for leaf in asked.values() %}
        union all
        {{ cdi.changed_members(leaf, changes, audiences | map(attribute='name') | list, history) | trim }}
        {%- endfor %}

    ),
    {% endif %}
    found as (

        {% for loaded_at, names in merges.items() -%}
        select distinct
            changes.audience,
            changes.profile_id,
            0 as place,
            'profiles merged' as sentence
        from {{ changes }} as changes
        inner join {{ merged }} as merged on changes.profile_id = merged.profile_id
        where changes.audience in ('{{ names | join("', '") }}')
            {%- if loaded_at %}
            and merged.loaded_at > {{ loaded_at }}
            {%- endif %}
        {{ 'union all' if not loop.last or sentences }}
        {% endfor -%}
        {%- if sentences -%}
        select
            changes.audience,
            changes.profile_id,
            sentences.place,
            case when changed.holds then '' else 'no longer: ' end || sentences.sentence as sentence
        from {{ changes }} as changes
        inner join sentences on changes.audience = sentences.audience
        inner join changed
            on sentences.condition_name = changed.condition_name
            and changes.profile_id = changed.profile_id
            and changed.revision > sentences.revision
        {%- endif %}

    ),

    reasons as (

        select
            audience,
            profile_id,
            {{ dbt.listagg('sentence', "'; '", 'order by place') }} as reason
        from found
        group by 1, 2

    )
{% endmacro %}

{# For whom a condition that asks for an audience changed: by changes that are being written down, or have been in this run. #}
{% macro changed_members(leaf, changes, names, history) -%}
    {%- set wanted = 1 if leaf.condition == 'in_audience' else 0 -%}
    {%- if leaf.audience in names -%}
        select
            '{{ leaf.name }}',
            profile_id,
            0,
            {{ 'is_entering' if wanted else 'not is_entering' }}
        from {{ changes }}
        where audience = '{{ leaf.audience }}'
    {%- else -%}
        select
            '{{ leaf.name }}',
            profile_id,
            0,
            max(case when exited_at is null then 1 else 0 end) = {{ wanted }}
        from {{ history }}
        where audience = '{{ leaf.audience }}' and (entered_at = {{ cdi.as_of() }} or exited_at = {{ cdi.as_of() }})
        group by profile_id
    {%- endif -%}
{%- endmacro %}

{# Carries on the memberships of profiles that joined others under those that are there now. #}
{% macro join_memberships(names, history, merged) %}
    {% call statement('carry_memberships') %}
        insert into {{ history }} (
            membership_id, audience, profile_id, membership_number, entered_at, entry_reason, is_carried
        )
        {{ cdi.carried_memberships(names, history, merged) }}
    {% endcall %}
    {% call statement('join_memberships') %}
        {{ cdi.update_from(
            history, {'entered_at': 'changes.entered_at'}, cdi.earlier_memberships(names, history, merged),
            'target.audience = changes.audience and target.profile_id = changes.profile_id and target.exited_at is null'
            ~ ' and target.entered_at > changes.entered_at'
        ) }}
    {% endcall %}
    {% call statement('close_merged_memberships') %}
        {{ cdi.update_from(
            history,
            {
                'exited_at': 'greatest(' ~ cdi.as_of() ~ ', entered_at)', 'exit_reason': "'merged'",
                'joined_profile_id': 'changes.joined_profile_id',
            },
            cdi.latest_merges(merged),
            'target.profile_id = changes.profile_id and ' ~ cdi.open_memberships(names, 'target.')
        ) }}
    {% endcall %}
{% endmacro %}

{# The profile that each profile that was ever joined is part of now. #}
{% macro latest_merges(merged) %}
    select
        profile_id,
        joined_profile_id
    from (
        select
            profile_id,
            joined_profile_id,
            row_number() over (partition by profile_id order by loaded_at desc, joined_profile_id) as place
        from {{ merged }}
        where joined_profile_id is not null
    ) as numbered
    where place = 1
{% endmacro %}

{#
  Memberships of profiles that joined one that is no member: one row for each profile that they are part of now, so that
  the membership goes on.
#}
{% macro carried_memberships(names, history, merged) %}
    select
        {{ cdi.membership_id('moved.audience', 'moved.profile_id', 'moved.membership_number') }},
        moved.audience,
        moved.profile_id,
        moved.membership_number,
        moved.entered_at,
        moved.entry_reason,
        true
    from (
        select
            moved.audience,
            moved.profile_id,
            moved.entered_at,
            moved.entry_reason,
            coalesce(max(own.membership_number), 0) + 1 as membership_number,
            count(case when own.profile_id is not null and own.exited_at is null then 1 end) as count_open
        from (
            {{ cdi.earlier_memberships(names, history, merged) }}
        ) as moved
        left join {{ history }} as own on moved.profile_id = own.profile_id and moved.audience = own.audience
        group by 1, 2, 3, 4
    ) as moved
    where moved.count_open = 0
{% endmacro %}

{# Since when profiles that joined others were members: one row per audience and profile that they are part of now. #}
{% macro earlier_memberships(names, history, merged) %}
    select
        memberships.audience,
        merges.joined_profile_id as profile_id,
        min(memberships.entered_at) as entered_at,
        min(memberships.entry_reason) as entry_reason
    from {{ history }} as memberships
    inner join (
        {{ cdi.latest_merges(merged) }}
    ) as merges on memberships.profile_id = merges.profile_id
    where {{ cdi.open_memberships(names, 'memberships.') }}
    group by 1, 2
{% endmacro %}

{# At the end of a run: memberships of audiences that are no more are closed. #}
{% macro close_removed_audiences() %}
    {%- if not execute or flags.WHICH not in ['run', 'build'] -%}{{ return('') }}{%- endif -%}
    {%- set names = [] -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' and node.fqn[1] == 'audiences' -%}
        {%- do names.append("'" ~ node.name ~ "'") -%}
    {%- endfor -%}
    update {{ cdi.membership_history() }}
    set exited_at = {{ cdi.as_of() }}, exit_reason = 'the audience was removed'
    where exited_at is null and audience not in ({{ names | join(', ') or "''" }})
{% endmacro %}
