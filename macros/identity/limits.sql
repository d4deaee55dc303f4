{#
  The statements of connected_components that keep limits. A limit key is a number: that of the limit, and for a limit
  per day, week, month or year that time. What counts is when the event that first carried an identifier happened.
#}

{# One row per limit. #}
{% macro component_limits(limits) %}
    select
        row_number() over (order by identifier_type) as limit_number,
        identifier_type,
        limit_count,
        limit_window
    from {{ limits }}
    where limit_count is not null
{% endmacro %}

{# One row per vertex and limit key, with how many identifiers of it the vertex holds. #}
{% macro component_counts(found, sets, touched, graph, limits, has_windows, is_full) %}
    {%- set key = cdi.limit_key('limits.limit_number', 'limits.limit_window', 'held.event_at') if has_windows
        else 'limits.limit_number' -%}
    select
        held.first_seq as vertex,
        {{ key }} as limit_key,
        limits.limit_count,
        1 as held_count
    from (
        select
            found.first_seq,
            {{ cdi.identifier_type('found.identifier') }} as identifier_type
            {%- if has_windows %},
            sets.event_at
            {%- endif %}
        from {{ found }} as found
        {%- if has_windows %}
        inner join {{ sets }} as sets on sets.set_number = {{ cdi.set_of('found.first_seq') }}
        {%- endif %}
        where not found.is_known
    ) as held
    inner join {{ limits }} as limits on held.identifier_type = limits.identifier_type
    {%- if not is_full %}
    union all
    select
        touched.vertex,
        {{ key }} as limit_key,
        limits.limit_count,
        count(*) as held_count
    from {{ graph }} as held
    inner join {{ touched }} as touched on held.profile_id = touched.profile_id
    inner join {{ limits }} as limits on held.identifier_type = limits.identifier_type
    group by 1, 2, 3
    {%- endif %}
{% endmacro %}

{#
  What a limit counts by, as a number: that of the limit, and for a window the first day of the day, week (from Monday),
  month or year, as YYYYMMDD.
#}
{% macro limit_key(number, window, event_at) -%}
    {{ number }} * 100000000 + case {{ window }}
        when 'day' then {{ cdi.day_number(event_at) }}
        when 'week' then {{ cdi.day_number(cdi.monday(event_at)) }}
        when 'month' then {{ cdi.day_number(dbt.date_trunc('month', event_at)) }}
        when 'year' then {{ cdi.day_number(dbt.date_trunc('year', event_at)) }}
        else 0
    end
{%- endmacro %}

{# A day as YYYYMMDD. #}
{% macro day_number(expression) -%}
    cast(
        extract(year from {{ expression }}) * 10000 + extract(month from {{ expression }}) * 100
        + extract(day from {{ expression }}) as {{ dbt.type_bigint() }}
    )
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
