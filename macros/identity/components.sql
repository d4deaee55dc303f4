{#
  The statements of the materialization connected_components, each as text, so that
  analyses/identity_graph_steps.sql compiles them for every warehouse. This file: what is new, and the components that
  it makes without limits.

  Numbers: sets are numbered in the order of arrival, the same in every run; `seq` numbers the identifiers in them, set by
  set, strongest first, and is what the graph calls arrival. A vertex is what may become one: an identifier that is new
  (the seq of its first appearance) or a profile that was there before (the arrival of its first identifier, which comes
  before all that is new). So the smallest vertex of a component is its oldest.
#}
{% macro per_set() -%} 10000 {%- endmacro %}

{# The number of the set that a seq is of, the seq of its strongest identifier, and the place in it: 1 is the strongest. #}
{% macro set_of(seq) -%} cast(floor({{ seq }} / {{ cdi.per_set() }}) as {{ dbt.type_bigint() }}) {%- endmacro %}

{% macro hub_of(seq) -%} {{ cdi.set_of(seq) }} * {{ cdi.per_set() }} + 1 {%- endmacro %}

{% macro position_of(seq) -%} mod({{ seq }}, {{ cdi.per_set() }}) {%- endmacro %}

{# The empty graph. #}
{% macro component_table(graph) %}
    create table {{ graph }} (
        identifier {{ dbt.type_string() }},
        identifier_type {{ dbt.type_string() }},
        profile_id {{ dbt.type_string() }},
        first_profile_id {{ dbt.type_string() }},
        arrival {{ dbt.type_bigint() }},
        event_at {{ dbt.type_timestamp() }},
        loaded_at {{ dbt.type_timestamp() }}
    )
{% endmacro %}

{# The empty table of decisions. #}
{% macro component_decision_table(decisions) %}
    create table {{ decisions }} (
        identifier {{ dbt.type_string() }},
        hub {{ dbt.type_string() }},
        decision {{ dbt.type_string() }},
        arrival {{ dbt.type_bigint() }},
        event_id {{ dbt.type_string() }},
        event_at {{ dbt.type_timestamp() }},
        loaded_at {{ dbt.type_timestamp() }}
    )
{% endmacro %}

{#
  The events of the sets that arrived after `newest` (a timestamp or none for all), numbered on in the order of arrival.
  Without the identifiers: sorting is several times slower with them.
#}
{% macro component_sets(sql, newest, count_before) %}
    select
        event_id,
        event_at,
        loaded_at,
        {{ count_before }} + row_number() over (order by loaded_at, event_at, event_id) as set_number
    from (
        {{ sql }}
    ) as all_sets
    {% if newest is not none %}
    where loaded_at > cast('{{ newest }}' as {{ dbt.type_timestamp() }})
    {% endif %}
{% endmacro %}

{# One row per identifier of a set. #}
{% macro component_slots(sql, sets) %}
    {%- set numbered -%}
        (
            select
                sets.set_number,
                all_sets.identifiers
            from (
                {{ sql }}
            ) as all_sets
            inner join {{ sets }} as sets
                on all_sets.event_id = sets.event_id
                and all_sets.event_at = sets.event_at
                and all_sets.loaded_at = sets.loaded_at
        )
    {%- endset -%}
    select
        set_number * {{ cdi.per_set() }} + position as seq,
        part as identifier
    from (
        {{ cdi.unnest_text(numbered, 'identifiers', cdi.identifier_separator(), ['set_number']) }}
    ) as parts
    -- No honest event carries more; they would be taken for those of the next set.
    where position < {{ cdi.per_set() }}
{% endmacro %}

{# One row per identifier: where it first appears among the new sets, and the profile it has already. #}
{% macro component_found(slots, graph) %}
    select
        appearances.identifier,
        appearances.first_seq,
        known.identifier is not null as is_known,
        known.profile_id,
        coalesce(known.first_profile_id, known.profile_id) as first_profile_id
    from (
        select
            identifier,
            min(seq) as first_seq
        from {{ slots }}
        group by identifier
    ) as appearances
    left join {{ graph }} as known on appearances.identifier = known.identifier
{% endmacro %}

{# One row per profile that new sets touch, with the arrival of its first identifier. #}
{% macro component_touched(found, graph) %}
    select
        profile_id,
        min(arrival) as vertex
    from {{ graph }}
    where profile_id in (select found.profile_id from {{ found }} as found where found.is_known)
    group by profile_id
{% endmacro %}

{# The slots with their vertices. #}
{% macro component_placed(slots, found, touched) %}
    select
        slots.seq,
        found.first_seq,
        found.is_known or found.first_seq < {{ cdi.hub_of('slots.seq') }} as is_old,
        coalesce(touched.vertex, found.first_seq) as vertex
    from {{ slots }} as slots
    inner join {{ found }} as found on slots.identifier = found.identifier
    left join {{ touched }} as touched on found.profile_id = touched.profile_id
{% endmacro %}

{# The links between different vertices, smaller end first; of parallel ones the earliest. #}
{% macro component_links(placed) %}
    select
        least(slots.vertex, hubs.vertex) as low,
        greatest(slots.vertex, hubs.vertex) as high,
        min(slots.seq) as seq
    from {{ placed }} as slots
    inner join {{ placed }} as hubs on {{ cdi.hub_of('slots.seq') }} = hubs.seq
    where
        {{ cdi.position_of('slots.seq') }} > 1
        and {{ cdi.position_of('hubs.seq') }} = 1
        and slots.vertex <> hubs.vertex
    group by 1, 2
{% endmacro %}

{# Every vertex is its own root before the first round. #}
{% macro component_alone(found, touched) %}
    select
        first_seq as vertex,
        first_seq as root
    from {{ found }}
    where not is_known
    union all
    select
        vertex,
        vertex as root
    from {{ touched }}
{% endmacro %}

{# Every vertex with a link points at its smallest neighbour, or at itself where it is smaller than all. #}
{% macro component_pointers(edges) %}
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

{# The pointers that do not point at a root yet, each replaced by that of the vertex it points at. #}
{% macro component_jump(moving, arrived) %}
    select
        moving.vertex,
        coalesce(parents.parent, arrived.parent) as parent,
        moving.parent as parent_before
    from {{ moving }} as moving
    left join {{ moving }} as parents on moving.parent = parents.vertex
    left join {{ arrived }} as arrived on moving.parent = arrived.vertex
{% endmacro %}

{# The pointers that did not move, or did: those that did not point at a root. #}
{% macro component_moved(jumped, has_moved) %}
    select
        vertex,
        parent
    from {{ jumped }}
    where parent {{ '<>' if has_moved else '=' }} parent_before
{% endmacro %}

{# The root of every vertex after a round. #}
{% macro component_roots(roots, pointers) %}
    select
        roots.vertex,
        coalesce(pointers.parent, roots.root) as root
    from {{ roots }} as roots
    left join {{ pointers }} as pointers on roots.root = pointers.vertex
{% endmacro %}

{# The links between the roots that are still different; of parallel ones the earliest where there is an order. #}
{% macro component_contracted(edges, pointers, with_order=true) %}
    select
        least(ends.one, ends.other) as low,
        greatest(ends.one, ends.other) as high
        {%- if with_order %},
        min(ends.seq) as seq
        {%- endif %}
    from (
        select
            {%- if with_order %}
            edges.seq,
            {%- endif %}
            coalesce(lows.parent, edges.low) as one,
            coalesce(highs.parent, edges.high) as other
        from {{ edges }} as edges
        left join {{ pointers }} as lows on edges.low = lows.vertex
        left join {{ pointers }} as highs on edges.high = highs.vertex
    ) as ends
    where ends.one <> ends.other
    group by 1, 2
{% endmacro %}
