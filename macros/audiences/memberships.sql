{#
  What a hook of every audience (models/audiences/<name>.sql) does when its table has been built, in the same transaction:
  who is in it and was not enters, who was and is not leaves, with the reason, in audiences.audience_membership_history.

  - A member whose profile joined another one does not leave: the membership goes on under the profile that is there now,
    since the earlier of the two entries where both were members.
  - The reason names the conditions that changed for the profile since the audience was last built, and whether a merge
    of profiles was part of it.
  The history is never built anew: a full refresh adds to it what has changed.
#}
{% macro record_memberships() %}
    {%- if model.resource_type != 'model' or model.fqn | length != 3 -%}{{ return('') }}{%- endif -%}
    {%- set merged = ref('merged_profiles') -%}
    {%- set people = ref('profile_traits') -%}
    {%- set tree = (model.config.get('meta') or {}).get('audience') -%}
    {%- if not execute or flags.WHICH not in ['run', 'build'] -%}{{ return('') }}{%- endif -%}
    {%- set history = cdi.membership_history() -%}
    {%- set name = model.name -%}
    {%- set state = cdi.by_profile_state() -%}
    {%- set conditions = cdi.relation_of('audience_conditions') if tree else none -%}
    {%- set newest = run_query(
        'select (select max(loaded_at) from ' ~ merged ~ '), '
        ~ ('(select max(revision) from ' ~ conditions ~ ')' if conditions else '0')
        ~ ', (select count(*) from ' ~ history ~ " where audience = '" ~ name ~ "' and exited_at is null and profile_id in"
        ~ ' (select profile_id from ' ~ merged ~ ' where joined_profile_id is not null))'
    ).rows[0] -%}
    {%- set definition = local_md5(tojson(tree or model.raw_code, sort_keys=true)) -%}

    {%- set open = "target.audience = '" ~ name ~ "' and target.exited_at is null" -%}
    {#- Members that joined another profile: mostly there are none. -#}
    {%- if newest[2] > 0 -%}
        {% call statement('carry_memberships') %}
            insert into {{ history }} (
                membership_id, audience, profile_id, membership_number, entered_at, entry_reason, is_carried
            )
            {{ cdi.carried_memberships(name, history, merged) }}
        {% endcall %}
        {% call statement('join_memberships') %}
            {{ cdi.update_from(
                history, {'entered_at': 'changes.entered_at'}, cdi.earlier_memberships(name, history, merged),
                'target.profile_id = changes.profile_id and target.entered_at > changes.entered_at and ' ~ open
            ) }}
        {% endcall %}
        {% call statement('close_merged_memberships') %}
            {{ cdi.update_from(
                history,
                {'exited_at': 'greatest(' ~ cdi.as_of() ~ ', entered_at)', 'exit_reason': "'merged'", 'joined_profile_id': 'changes.joined_profile_id'},
                cdi.latest_merges(merged), 'target.profile_id = changes.profile_id and ' ~ open
            ) }}
        {% endcall %}
    {%- endif -%}
    {%- set leaving %}
            select
                left_it.profile_id,
                case
                    when people.profile_id is null then 'the profile is gone'
                    else {{ cdi.change_reason(tree, state, definition) }}
                end as reason
            from {{ history }} as left_it
            left join {{ this }} as members on left_it.profile_id = members.profile_id
            left join {{ people }} as people on left_it.profile_id = people.profile_id
            {{ cdi.reason_joins('left_it', tree, state, definition, conditions, merged) }}
            where left_it.audience = '{{ name }}' and left_it.exited_at is null and members.profile_id is null
    {% endset -%}
    {% call statement('close_memberships') %}
        {{ cdi.update_from(
            history, {'exited_at': 'greatest(' ~ cdi.as_of() ~ ', entered_at)', 'exit_reason': 'changes.reason'}, leaving,
            'target.profile_id = changes.profile_id and ' ~ open
        ) }}
    {% endcall %}
    {% call statement('open_memberships') %}
        insert into {{ history }} (
            membership_id, audience, profile_id, membership_number, entered_at, entry_reason, is_carried
        )
        select
            {{ cdi.membership_id("'" ~ name ~ "'", 'entered.profile_id', 'entered.membership_number') }},
            '{{ name }}',
            entered.profile_id,
            entered.membership_number,
            {{ cdi.as_of() }},
            {{ cdi.change_reason(tree, state, definition) }},
            false
        from (
            select
                members.profile_id,
                coalesce(max(before.membership_number), 0) + 1 as membership_number
            from (select distinct profile_id from {{ this }} where profile_id is not null) as members
            left join {{ history }} as before
                on members.profile_id = before.profile_id and before.audience = '{{ name }}'
            group by 1
            having count(case when before.profile_id is not null and before.exited_at is null then 1 end) = 0
        ) as entered
        {{ cdi.reason_joins('entered', tree, state, definition, conditions, merged) }}
    {% endcall %}
    {% do cdi.write_by_profile_state(state.revision + 1, {
        'merged_profiles': ("cast('" ~ newest[0] ~ "' as " ~ dbt.type_timestamp() ~ ")") if newest[0] is not none else none,
        'audience_conditions': newest[1] | int if newest[1] is not none else none,
    }, definition) %}
    {{ return('') }}
{% endmacro %}

{# The table of memberships; `audience_memberships` and `audience_events` read it. #}
{% macro membership_history() %}
    {{ return(api.Relation.create(
        database=target.database, schema=var('schema_prefix') ~ 'audiences', identifier='audience_membership_history'
    )) }}
{% endmacro %}

{% macro membership_id(audience, profile_id, number) -%}
    {{ dbt.hash(dbt.concat([audience, "'|'", profile_id, "'|'", 'cast(' ~ number ~ ' as ' ~ dbt.type_string() ~ ')'])) }}
{%- endmacro %}

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
{% macro carried_memberships(name, history, merged) %}
    select
        {{ cdi.membership_id("'" ~ name ~ "'", 'moved.profile_id', 'moved.membership_number') }},
        '{{ name }}',
        moved.profile_id,
        moved.membership_number,
        moved.entered_at,
        moved.entry_reason,
        true
    from (
        select
            moved.profile_id,
            moved.entered_at,
            moved.entry_reason,
            coalesce(max(own.membership_number), 0) + 1 as membership_number,
            count(case when own.profile_id is not null and own.exited_at is null then 1 end) as count_open
        from (
            {{ cdi.earlier_memberships(name, history, merged) }}
        ) as moved
        left join {{ history }} as own on moved.profile_id = own.profile_id and own.audience = '{{ name }}'
        group by 1, 2, 3
    ) as moved
    where moved.count_open = 0
{% endmacro %}

{# Since when profiles that joined others were members: one row per profile that they are part of now. #}
{% macro earlier_memberships(name, history, merged) %}
    select
        merges.joined_profile_id as profile_id,
        min(memberships.entered_at) as entered_at,
        min(memberships.entry_reason) as entry_reason
    from {{ history }} as memberships
    inner join (
        {{ cdi.latest_merges(merged) }}
    ) as merges on memberships.profile_id = merges.profile_id
    where memberships.audience = '{{ name }}' and memberships.exited_at is null
    group by 1
{% endmacro %}

{#
  Why a profile enters or leaves, as SQL over the relations of reason_joins: the sentences of the conditions that changed
  since the audience was last built.
#}
{% macro change_reason(tree, state, definition) -%}
    {%- if state.definition is none -%}
        'the audience was built for the first time'
    {%- elif state.definition != definition -%}
        'the definition of the audience changed'
    {%- elif tree is none -%}
        case when merges.profile_id is not null then 'profiles merged' else 'what its SQL finds changed' end
    {%- else -%}
        {%- set parts = ["case when merges.profile_id is not null then '; profiles merged' else '' end"] -%}
        {%- for leaf in cdi.leaves_of(tree.conditions) | unique(attribute='name') -%}
            {%- set sentence = dbt.escape_single_quotes(leaf.sentence) -%}
            {%- if 'audience' in leaf -%}
                {%- set holds = ' = ' ~ (1 if leaf.condition == 'in_audience' else 0) -%}
                {%- do parts.append(
                    "case when changed_" ~ leaf.audience ~ ".is_member" ~ holds ~ " then '; " ~ sentence
                    ~ "' when changed_" ~ leaf.audience ~ ".is_member is not null then '; no longer: " ~ sentence
                    ~ "' else '' end"
                ) -%}
            {%- else -%}
                {%- do parts.append(
                    'case when conditions.' ~ leaf.name ~ '_flipped > ' ~ state.newest.get('audience_conditions', 0)
                    ~ ' then case when conditions.' ~ leaf.name ~ " then '; " ~ sentence ~ "' else '; no longer: "
                    ~ sentence ~ "' end else '' end"
                ) -%}
            {%- endif -%}
        {%- endfor -%}
        coalesce(nullif(substr({{ dbt.concat(parts) }}, 3), ''), 'its conditions were evaluated anew')
    {%- endif -%}
{%- endmacro %}

{# The joins that change_reason needs behind a relation with a profile_id; none where the reason is the same for all. #}
{% macro reason_joins(relation, tree, state, definition, conditions, merged) %}
    {%- if state.definition != definition -%}{{ return('') }}{%- endif %}
    left join (
        select distinct profile_id
        from {{ merged }}
        {%- if 'merged_profiles' in state.newest %}
        where loaded_at > {{ state.newest['merged_profiles'] }}
        {%- endif %}
    ) as merges on {{ relation }}.profile_id = merges.profile_id
    {%- if tree %}
    left join {{ conditions }} as conditions on {{ relation }}.profile_id = conditions.profile_id
    {%- for audience in cdi.audiences_named(tree.conditions) %}
    left join (
        select
            profile_id,
            max(case when exited_at is null then 1 else 0 end) as is_member
        from {{ cdi.membership_history() }}
        where audience = '{{ audience }}' and (entered_at = {{ cdi.as_of() }} or exited_at = {{ cdi.as_of() }})
        group by 1
    ) as changed_{{ audience }} on {{ relation }}.profile_id = changed_{{ audience }}.profile_id
    {%- endfor %}
    {%- endif %}
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
