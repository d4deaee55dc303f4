{# The statements of connected_components that write what was found. #}

{# The profile id of every root: that of the profile that was there, or the hash of its first identifier. #}
{% macro component_profiles(final, found, touched) %}
    select
        roots.root,
        coalesce(touched.profile_id, {{ dbt.hash('found.identifier') }}) as profile_id
    from {{ final }} as roots
    left join {{ touched }} as touched on roots.root = touched.vertex
    left join {{ found }} as found on roots.root = found.first_seq and not found.is_known
    where roots.vertex = roots.root
{% endmacro %}

{# The links that were refused, by the seq where they first appeared: their ends are in different parts. #}
{% macro component_refused_seqs(placed, parts) %}
    select min(slots.seq) as seq
    from {{ placed }} as slots
    inner join {{ parts }} as own on slots.vertex = own.vertex
    inner join {{ placed }} as hubs on {{ cdi.hub_of('slots.seq') }} = hubs.seq
    inner join {{ parts }} as other on hubs.vertex = other.vertex
    where {{ cdi.position_of('slots.seq') }} > 1 and own.root <> other.root
    group by slots.first_seq, hubs.first_seq
{% endmacro %}

{# What was decided about links: those refused, and those that made one profile of two. #}
{% macro component_decisions(placed, found, sets, refused_seqs, merge_seqs) %}
    select
        own.identifier,
        other.identifier as hub,
        decided.decision,
        decided.seq as arrival,
        sets.event_id,
        sets.event_at,
        sets.loaded_at
    from (
        select seq, 'refused' as decision from {{ refused_seqs }}
        union all
        select seq, 'merged' as decision from {{ merge_seqs }}
    ) as decided
    inner join {{ placed }} as slots on decided.seq = slots.seq
    inner join {{ placed }} as hubs on {{ cdi.hub_of('slots.seq') }} = hubs.seq
    inner join {{ found }} as own on slots.first_seq = own.first_seq
    inner join {{ found }} as other on hubs.first_seq = other.first_seq
    inner join {{ sets }} as sets on {{ cdi.set_of('slots.seq') }} = sets.set_number
{% endmacro %}

{% macro component_insert_decisions(decisions, decided) %}
    insert into {{ decisions }} (identifier, hub, decision, arrival, event_id, event_at, loaded_at)
    select
        decided.identifier,
        decided.hub,
        decided.decision,
        decided.arrival,
        decided.event_id,
        decided.event_at,
        decided.loaded_at
    from {{ decided }} as decided
    left join {{ decisions }} as known
        on decided.identifier = known.identifier
        and decided.hub = known.hub
        and decided.decision = known.decision
    where known.identifier is null
{% endmacro %}

{# The profiles that were there and are now part of an older one. #}
{% macro component_absorbed(touched, final, profiles) %}
    select
        touched.profile_id,
        profiles.profile_id as joined_profile_id
    from {{ touched }} as touched
    inner join {{ final }} as final on touched.vertex = final.vertex
    inner join {{ profiles }} as profiles on final.root = profiles.root
    where touched.profile_id <> profiles.profile_id
{% endmacro %}

{# Their identifiers move. #}
{% macro component_merge(graph, absorbed) -%}
    {{ return(adapter.dispatch('component_merge', 'cdi')(graph, absorbed)) }}
{%- endmacro %}

{% macro default__component_merge(graph, absorbed) %}
    update {{ graph }}
    set
        first_profile_id = coalesce({{ graph }}.first_profile_id, {{ graph }}.profile_id),
        profile_id = absorbed.joined_profile_id
    from {{ absorbed }} as absorbed
    where {{ graph }}.profile_id = absorbed.profile_id
{% endmacro %}

{% macro spark__component_merge(graph, absorbed) %}
    merge into {{ graph }} as graph
    using {{ absorbed }} as absorbed
    on graph.profile_id = absorbed.profile_id
    when matched then update set
        first_profile_id = coalesce(graph.first_profile_id, graph.profile_id),
        profile_id = absorbed.joined_profile_id
{% endmacro %}

{# The identifiers that were not there. #}
{% macro component_insert(graph, found, sets, final, profiles, births) %}
    insert into {{ graph }} (
        identifier, identifier_type, profile_id, first_profile_id, arrival, event_at, loaded_at
    )
    select
        found.identifier,
        {{ cdi.identifier_type('found.identifier') }} as identifier_type,
        profiles.profile_id,
        nullif(births.first_profile_id, profiles.profile_id) as first_profile_id,
        found.first_seq as arrival,
        sets.event_at,
        sets.loaded_at
    from {{ found }} as found
    inner join {{ final }} as final on found.first_seq = final.vertex
    inner join {{ profiles }} as profiles on final.root = profiles.root
    inner join {{ sets }} as sets on sets.set_number = {{ cdi.set_of('found.first_seq') }}
    left join {{ births }} as births on found.first_seq = births.first_seq
    where not found.is_known
{% endmacro %}

{# The profile that identifiers were first seen in, where that is not plainly the profile they are in. #}
{% macro component_first_profiles(births, found) %}
    select
        births.vertex as first_seq,
        coalesce(first_identifiers.first_profile_id, {{ dbt.hash('first_identifiers.identifier') }}) as first_profile_id
    from {{ births }} as births
    inner join {{ found }} as first_identifiers on births.parent = first_identifiers.first_seq
{% endmacro %}

{# Keeps what happened beside the graph: one row per run, one per round. #}
{% macro component_log_tables(runs, rounds) %}
    {% call statement('create_runs') %}
        create table if not exists {{ runs }} (
            invocation_id {{ dbt.type_string() }},
            run_at {{ dbt.type_timestamp() }},
            is_full_refresh {{ dbt.type_boolean() }},
            count_new_identifiers {{ dbt.type_bigint() }},
            count_merged_profiles {{ dbt.type_bigint() }},
            count_merging_links {{ dbt.type_bigint() }},
            count_refused_links {{ dbt.type_bigint() }}
        )
    {% endcall %}
    {% call statement('create_rounds') %}
        create table if not exists {{ rounds }} (
            invocation_id {{ dbt.type_string() }},
            step {{ dbt.type_string() }},
            round {{ dbt.type_bigint() }},
            count_links {{ dbt.type_bigint() }}
        )
    {% endcall %}
{% endmacro %}

{# The table of decisions beside a graph. #}
{% macro decisions_of(graph) -%}
    {{ graph.incorporate(path={'identifier': graph.identifier ~ '_decisions'}) }}
{%- endmacro %}

{# The table of runs beside a graph. #}
{% macro runs_of(graph) -%}
    {{ graph.incorporate(path={'identifier': graph.identifier ~ '_runs'}) }}
{%- endmacro %}
