{{ config(enabled=var('households')) }}
-- One row per profile and what may tie it to a household: its payment cards, and of the postal addresses in its events
-- the one that most of them carry (others are presents and former homes). Built anew each run, since profiles merge.

with

told as (

    select
        graph.profile_id,
        evidence.household_key,
        {{ cdi.identifier_type('evidence.household_key') }} as household_key_type,
        min(evidence.first_arrival) as first_arrival,
        cast(sum(evidence.count_events) as {{ dbt.type_int() }}) as count_events,
        min(evidence.first_event_at) as first_seen_at,
        max(evidence.last_event_at) as last_seen_at
    from {{ ref('household_evidence') }} as evidence
    inner join {{ ref('identity_graph') }} as graph on evidence.identifier = graph.identifier
    group by 1, 2, 3

),

ranked as (

    select
        *,
        row_number() over (
            partition by profile_id, household_key_type
            order by count_events desc, last_seen_at desc, household_key asc
        ) as place
    from told

)

select
    profile_id,
    household_key,
    household_key_type,
    cast(count(*) over (partition by household_key) as {{ dbt.type_int() }}) as count_profiles,
    count_events,
    first_seen_at,
    last_seen_at,
    -- What the graph takes. The address or card comes first: unlike a profile's id it never changes, so neither does
    -- the id of the household that it is the first of.
    household_key || {{ cdi.identifier_separator() }} || 'profile:' || profile_id as identifiers,
    substr(first_arrival, 41) as event_id,
    {{ cdi.timestamp_from_sortable('substr(first_arrival, 21, 20)') }} as event_at,
    {{ cdi.timestamp_from_sortable('substr(first_arrival, 1, 20)') }} as loaded_at
from ranked
where place = 1 or household_key_type = 'card'
