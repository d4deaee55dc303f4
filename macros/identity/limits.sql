{#
  The statements of connected_components that keep limits. A limit key is a type, or for a limit per day, week, month
  or year a type and that time; what counts is when an identifier first appeared.
#}

{# One row per vertex and limit key, with how many identifiers of it the vertex holds. #}
{% macro component_counts(found, sets, touched, graph, limits, has_windows, is_full) %}
    {%- set branches = [] -%}
    {%- set new_identifiers -%}
        select
            found.first_seq as vertex,
            {{ cdi.identifier_type('found.identifier') }} as identifier_type
            {%- if has_windows %},
            sets.first_arrival as arrival
            {%- endif %}
        from {{ found }} as found
        {%- if has_windows %}
        inner join {{ sets }} as sets
            on sets.set_number = {{ cdi.set_of('found.first_seq') }}
        {%- endif %}
        where not found.is_known
    {%- endset -%}
    {%- do branches.append(new_identifiers) -%}
    {%- if not is_full -%}
        {%- set old_identifiers -%}
        select
            touched.vertex,
            known.identifier_type
            {%- if has_windows %},
            known.arrival
            {%- endif %}
        from {{ graph }} as known
        inner join {{ touched }} as touched on known.profile_id = touched.profile_id
        {%- endset -%}
        {%- do branches.append(old_identifiers) -%}
    {%- endif %}
    select
        held.vertex,
        {{ cdi.limit_key('held.identifier_type', 'limits.limit_window', 'held.arrival') if has_windows
            else 'held.identifier_type' }} as limit_key,
        limits.limit_count,
        count(*) as held_count
    from (
        {{ branches | join('\n        union all\n        ') }}
    ) as held
    inner join {{ limits }} as limits on held.identifier_type = limits.identifier_type
    where limits.limit_count is not null
    group by 1, 2, 3
{% endmacro %}

{# The number of the set that a seq is of. #}
{% macro set_of(seq) -%} cast(floor({{ seq }} / {{ cdi.per_set() }}) as {{ dbt.type_bigint() }}) {%- endmacro %}

{#
  What a limit counts by: the type, and for a window the day, week (its Monday), month or year of the event in which
  the identifier first appeared (characters 21 to 28 of the arrival).
#}
{% macro limit_key(type, window, arrival) -%}
    {{ type }} || case {{ window }}
        when 'day' then ' ' || substr({{ arrival }}, 21, 8)
        when 'week' then ' ' || cast(cast({{ dbt.date_trunc('week', "cast(substr(" ~ arrival ~ ", 21, 4) || '-' || substr("
            ~ arrival ~ ", 25, 2) || '-' || substr(" ~ arrival ~ ", 27, 2) as date)") }} as date) as {{ dbt.type_string() }})
        when 'month' then ' ' || substr({{ arrival }}, 21, 6)
        when 'year' then ' ' || substr({{ arrival }}, 21, 4)
        else ''
    end
{%- endmacro %}

{# The limit keys that a component holds too many of. #}
{% macro component_broken(counts, roots) %}
    select
        roots.root,
        counts.limit_key
    from {{ counts }} as counts
    inner join {{ roots }} as roots on counts.vertex = roots.vertex
    group by 1, 2
    having sum(counts.held_count) > min(counts.limit_count)
{% endmacro %}

{# The vertices of those components, each alone again. #}
{% macro component_reopened(roots, broken) %}
    select
        roots.vertex,
        roots.vertex as root,
        roots.root as component
    from {{ roots }} as roots
    where roots.root in (select broken.root from {{ broken }} as broken)
{% endmacro %}

{# Their links. #}
{% macro component_open_links(links, reopened) %}
    select links.*
    from {{ links }} as links
    inner join {{ reopened }} as reopened on links.low = reopened.vertex
{% endmacro %}

{# Their counts. #}
{% macro component_split_counts(counts, reopened) %}
    select
        counts.*,
        reopened.component
    from {{ counts }} as counts
    inner join {{ reopened }} as reopened on counts.vertex = reopened.vertex
{% endmacro %}

{# Of them those of the limit keys that matter in the component. (In one statement a planner may join by key first.) #}
{% macro component_relevant_counts(split_counts, broken) %}
    select
        counts.vertex,
        counts.limit_key,
        counts.limit_count,
        counts.held_count
    from {{ split_counts }} as counts
    inner join {{ broken }} as broken on counts.component = broken.root and counts.limit_key = broken.limit_key
{% endmacro %}

{# The links whose two sides would hold too many together. #}
{% macro component_refused(links, counts) %}
    select distinct seq
    from (
        select
            sides.seq,
            counts.limit_key
        from (
            select low as vertex, seq from {{ links }}
            union all
            select high as vertex, seq from {{ links }}
        ) as sides
        inner join {{ counts }} as counts on sides.vertex = counts.vertex
        group by 1, 2
        having count(*) = 2 and sum(counts.held_count) > min(counts.limit_count)
    ) as broken
{% endmacro %}

{# The links that are left. #}
{% macro component_remaining(links, refused) %}
    select links.*
    from {{ links }} as links
    left join {{ refused }} as refused on links.seq = refused.seq
    where refused.seq is null
{% endmacro %}

{# The earliest link of every vertex, and whether the vertex holds nothing that matters. #}
{% macro component_earliest(links, counts) %}
    select
        earliest.vertex,
        earliest.seq,
        relevant.vertex is null as is_free
    from (
        select
            vertex,
            min(seq) as seq
        from (
            select low as vertex, seq from {{ links }}
            union all
            select high as vertex, seq from {{ links }}
        ) as both_ends
        group by vertex
    ) as earliest
    left join (select distinct vertex from {{ counts }}) as relevant on earliest.vertex = relevant.vertex
{% endmacro %}

{#
  Pointers along the links that may be accepted now: those that are the earliest of both their sides, or of a side that
  holds nothing that matters. That side points at the other; of two equal sides the younger at the older.
#}
{% macro component_accepted(links, earliest) %}
    select
        case when highs.seq = links.seq and (lows.seq = links.seq or highs.is_free) then links.high else links.low end
            as vertex,
        case when highs.seq = links.seq and (lows.seq = links.seq or highs.is_free) then links.low else links.high end
            as parent
    from {{ links }} as links
    inner join {{ earliest }} as lows on links.low = lows.vertex
    inner join {{ earliest }} as highs on links.high = highs.vertex
    where
        (lows.seq = links.seq and highs.seq = links.seq)
        or (lows.seq = links.seq and lows.is_free)
        or (highs.seq = links.seq and highs.is_free)
{% endmacro %}

{# The same with what is pointed at pointing at itself, for following pointers. #}
{% macro component_grounded(accepted) %}
    select vertex, parent from {{ accepted }}
    union all
    select distinct
        parents.parent as vertex,
        parents.parent
    from {{ accepted }} as parents
    left join {{ accepted }} as moving on parents.parent = moving.vertex
    where moving.vertex is null
{% endmacro %}

{# The counts after a round. #}
{% macro component_summed(counts, pointers) %}
    select
        coalesce(pointers.parent, counts.vertex) as vertex,
        counts.limit_key,
        counts.limit_count,
        sum(counts.held_count) as held_count
    from {{ counts }} as counts
    left join {{ pointers }} as pointers on counts.vertex = pointers.vertex
    group by 1, 2, 3
{% endmacro %}

{# The vertices of components that limits split, each with the oldest of its part as root. #}
{% macro component_parts(split) %}
    select
        split.vertex,
        oldest.vertex as root
    from {{ split }} as split
    inner join (
        select
            root,
            min(vertex) as vertex
        from {{ split }}
        group by root
    ) as oldest on split.root = oldest.root
{% endmacro %}

{# The root of every vertex, limits kept. #}
{% macro component_final(roots, parts) %}
    select
        roots.vertex,
        coalesce(parts.root, roots.root) as root
    from {{ roots }} as roots
    left join {{ parts }} as parts on roots.vertex = parts.vertex
{% endmacro %}
