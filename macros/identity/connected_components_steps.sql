{#-
  The statements of the materialization connected_components, each as text, so that analyses/identity_graph_steps.sql
  compiles them for every warehouse.
-#}

{# The empty graph. #}
{% macro identity_graph_table(graph) %}
    create table {{ graph }} (
        identifier {{ dbt.type_string() }},
        identifier_type {{ dbt.type_string() }},
        identifier_value {{ dbt.type_string() }},
        identifier_id {{ dbt.type_string() }},
        profile_id {{ dbt.type_string() }},
        arrival {{ dbt.type_string() }},
        loaded_at {{ dbt.type_timestamp() }}
    )
{% endmacro %}

{# The links that arrived after `newest` (a timestamp or none for all). #}
{% macro identity_new_links(sql, newest) %}
    select *
    from (
        {{ sql }}
    ) as all_links
    {% if newest is not none %}
    where loaded_at > cast('{{ newest }}' as {{ dbt.type_timestamp() }})
    {% endif %}
{% endmacro %}

{# One row per identifier of the links, with the profile it has (is_known) or would have alone. #}
{% macro identity_found(links, graph) %}
    select
        new_identifiers.*,
        known.identifier is not null as is_known,
        coalesce(known.profile_id, {{ dbt.hash('new_identifiers.identifier') }}) as profile_id
    from (
        select
            identifier,
            min(identifier_type) as identifier_type,
            min(identifier_value) as identifier_value,
            min(arrival) as arrival,
            min(loaded_at) as loaded_at
        from {{ links }}
        group by identifier
    ) as new_identifiers
    left join {{ graph }} as known on new_identifiers.identifier = known.identifier
{% endmacro %}

{# One row per profile among them, numbered in the order in which their first identifiers arrived. #}
{% macro identity_vertices(found, graph) %}
    select
        profile_id,
        is_known as is_profile,
        row_number() over (order by arrival, profile_id) as vertex
    from (
        select
            touched.profile_id,
            touched.is_known,
            coalesce(first_identifiers.arrival, touched.arrival) as arrival
        from (
            select
                profile_id,
                is_known,
                min(arrival) as arrival
            from {{ found }}
            group by profile_id, is_known
        ) as touched
        left join {{ graph }} as first_identifiers on touched.profile_id = first_identifiers.identifier_id
    ) as arrived
{% endmacro %}

{# The links between different vertices, smaller end first, each once. #}
{% macro identity_edges(links, found, vertices) %}
    select distinct
        least(left_vertices.vertex, right_vertices.vertex) as low,
        greatest(left_vertices.vertex, right_vertices.vertex) as high
    from {{ links }} as links
    inner join {{ found }} as left_found on links.identifier = left_found.identifier
    inner join {{ found }} as right_found on links.hub = right_found.identifier
    inner join {{ vertices }} as left_vertices on left_found.profile_id = left_vertices.profile_id
    inner join {{ vertices }} as right_vertices on right_found.profile_id = right_vertices.profile_id
    where links.identifier <> links.hub and left_vertices.vertex <> right_vertices.vertex
{% endmacro %}

{# Every vertex with a link points at its smallest neighbour, or at itself where it is smaller than all. #}
{% macro identity_pointers(edges) %}
    select
        vertex,
        least(vertex, min(neighbour)) as parent
    from (
        select low as vertex, high as neighbour from {{ edges }}
        union all
        select high as vertex, low as neighbour from {{ edges }}
    ) as both_directions
    group by vertex
{% endmacro %}

{# Every pointer replaced by that of the vertex it points at. #}
{% macro identity_jump(pointers) %}
    select
        pointers.vertex,
        parents.parent,
        pointers.parent as parent_before
    from {{ pointers }} as pointers
    inner join {{ pointers }} as parents on pointers.parent = parents.vertex
{% endmacro %}

{# The root of every vertex after a round. #}
{% macro identity_roots(roots, pointers) %}
    select
        roots.vertex,
        coalesce(pointers.parent, roots.root) as root
    from {{ roots }} as roots
    left join {{ pointers }} as pointers on roots.root = pointers.vertex
{% endmacro %}

{# The links between the roots that are still different. #}
{% macro identity_contracted(edges, pointers) %}
    select distinct
        least(lows.parent, highs.parent) as low,
        greatest(lows.parent, highs.parent) as high
    from {{ edges }} as edges
    inner join {{ pointers }} as lows on edges.low = lows.vertex
    inner join {{ pointers }} as highs on edges.high = highs.vertex
    where lows.parent <> highs.parent
{% endmacro %}

{# One row per vertex, with the profile it is part of now. #}
{% macro identity_joined(vertices, roots) %}
    select
        vertices.profile_id,
        vertices.is_profile,
        survivors.profile_id as joined_profile_id
    from {{ vertices }} as vertices
    inner join {{ roots }} as roots on vertices.vertex = roots.vertex
    inner join {{ vertices }} as survivors on roots.root = survivors.vertex
{% endmacro %}

{# The identifiers of profiles that were absorbed move to the profile that survives. #}
{% macro identity_merge(graph, joined) -%}
    {{ return(adapter.dispatch('identity_merge', 'cdi')(graph, joined)) }}
{%- endmacro %}

{% macro default__identity_merge(graph, joined) %}
    update {{ graph }}
    set profile_id = absorbed.joined_profile_id
    from {{ joined }} as absorbed
    where
        {{ graph }}.profile_id = absorbed.profile_id
        and absorbed.is_profile
        and absorbed.profile_id <> absorbed.joined_profile_id
{% endmacro %}

{% macro spark__identity_merge(graph, joined) %}
    merge into {{ graph }} as graph
    using (
        select * from {{ joined }} where is_profile and profile_id <> joined_profile_id
    ) as absorbed
    on graph.profile_id = absorbed.profile_id
    when matched then update set profile_id = absorbed.joined_profile_id
{% endmacro %}

{# The identifiers that were not there, with their profile. #}
{% macro identity_insert(graph, found, joined) %}
    insert into {{ graph }} (
        identifier, identifier_type, identifier_value, identifier_id, profile_id, arrival, loaded_at
    )
    select
        found.identifier,
        found.identifier_type,
        found.identifier_value,
        {{ dbt.hash('found.identifier') }} as identifier_id,
        joined.joined_profile_id as profile_id,
        found.arrival,
        found.loaded_at
    from {{ found }} as found
    inner join {{ joined }} as joined on found.profile_id = joined.profile_id
    where not found.is_known
{% endmacro %}

{# Keeps one row per run of the graph beside it, for summaries and for seeing it slow down. #}
{% macro log_identity_run(graph, is_full, count_new_identifiers, count_merged_profiles, count_rounds) %}
    {%- set runs = graph.incorporate(path={'identifier': graph.identifier ~ '_runs'}) -%}
    {% call statement('create_runs') %}
        create table if not exists {{ runs }} (
            invocation_id {{ dbt.type_string() }},
            run_at {{ dbt.type_timestamp() }},
            is_full_refresh {{ dbt.type_boolean() }},
            count_new_identifiers {{ dbt.type_bigint() }},
            count_merged_profiles {{ dbt.type_bigint() }},
            count_rounds {{ dbt.type_bigint() }}
        )
    {% endcall %}
    {% call statement('log_run') %}
        insert into {{ runs }}
        values (
            '{{ invocation_id }}',
            cast('{{ run_started_at.strftime("%Y-%m-%d %H:%M:%S") }}' as {{ dbt.type_timestamp() }}),
            {{ 'true' if is_full else 'false' }},
            {{ count_new_identifiers }},
            {{ count_merged_profiles }},
            {{ count_rounds }}
        )
    {% endcall %}
{% endmacro %}
