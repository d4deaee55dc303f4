{#
  The statements of connected_components that say which links made one profile of two: of the links inside a profile
  that join identifiers first seen in different profiles, the minimum spanning forest by arrival (Boruvka's rounds).

  The profile an identifier was first seen in is that of the strongest identifier of its first event; a strongest
  identifier that is new is in the profile of the first one in the event that is not.
#}

{# Profiles in which it is not plain where an identifier was first seen: with such links, or older than this run. #}
{% macro component_mixed(placed, final) %}
    select distinct final.root
    from {{ placed }} as slots
    inner join {{ final }} as final on slots.vertex = final.vertex
    where slots.is_old and ({{ cdi.position_of('slots.seq') }} > 1 or slots.vertex <> slots.first_seq)
{% endmacro %}

{# Their slots, each with its hub. #}
{% macro component_mixed_slots(placed, final, mixed) %}
    select
        {{ cdi.set_of('slots.seq') }} as set_number,
        {{ cdi.position_of('slots.seq') }} as position,
        slots.seq,
        slots.first_seq,
        slots.is_old,
        slots.vertex,
        final.root,
        hubs.first_seq as hub_first_seq,
        hub_final.root as hub_root
    from {{ placed }} as slots
    inner join {{ final }} as final on slots.vertex = final.vertex
    inner join {{ mixed }} as mixed on final.root = mixed.root
    inner join {{ placed }} as hubs on {{ cdi.hub_of('slots.seq') }} = hubs.seq
    inner join {{ final }} as hub_final on hubs.vertex = hub_final.vertex
{% endmacro %}

{# Pointers from every identifier (its first_seq) to the one that it joined when it first appeared, or itself. #}
{% macro component_births(mixed_slots) %}
    select
        slots.first_seq as vertex,
        min(
            case
                when slots.is_old then slots.first_seq
                when slots.position > 1 and slots.root = slots.hub_root then slots.hub_first_seq
                when slots.position = 1 then coalesce(first_old.first_seq, slots.first_seq)
                else slots.first_seq
            end
        ) as parent
    from (
        select
            slots.*,
            row_number() over (partition by first_seq order by seq) as appearance
        from {{ mixed_slots }} as slots
    ) as slots
    left join (
        select
            set_number,
            root,
            first_seq,
            row_number() over (partition by set_number order by position) as place
        from {{ mixed_slots }}
        where is_old and position > 1 and root = hub_root
    ) as first_old on slots.set_number = first_old.set_number and first_old.place = 1
    where slots.appearance = 1
    group by 1
{% endmacro %}

{# The links between identifiers of one profile that were first seen in two: ends are vertices for the forest. #}
{% macro component_merge_links(mixed_slots, births, vertices) %}
    select
        least(one.vertex, other.vertex) as low,
        greatest(one.vertex, other.vertex) as high,
        min(slots.seq) as seq
    from {{ mixed_slots }} as slots
    inner join {{ births }} as births on slots.first_seq = births.vertex
    inner join {{ births }} as hub_births on slots.hub_first_seq = hub_births.vertex
    inner join {{ vertices }} as one on births.parent = one.first_seq
    inner join {{ vertices }} as other on hub_births.parent = other.first_seq
    where slots.position > 1 and slots.root = slots.hub_root and one.vertex <> other.vertex
    group by 1, 2
{% endmacro %}

{# The vertex of every identifier's first appearance. #}
{% macro component_vertices(mixed_slots) %}
    select distinct
        first_seq,
        vertex
    from {{ mixed_slots }}
{% endmacro %}

{# The earliest link of every vertex, as a pointer along it; where two point at each other the older stays. #}
{% macro component_picks(edges) %}
    with picks as (
        select
            vertex,
            min(seq) as seq
        from (
            select low as vertex, seq from {{ edges }}
            union all
            select high as vertex, seq from {{ edges }}
        ) as both_ends
        group by vertex
    )
    select
        picks.vertex,
        picks.seq,
        case
            when picks.vertex = edges.high then edges.low
            when highs.seq = picks.seq then picks.vertex
            else edges.high
        end as parent
    from picks
    inner join {{ edges }} as edges on picks.seq = edges.seq
    left join picks as highs on edges.high = highs.vertex
{% endmacro %}
