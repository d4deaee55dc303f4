{{ config(enabled=var('households')) }}
-- One row per profile and postal address or payment card that events of the profile carried, with how many profiles have
-- it in all. Built anew each run, since profiles merge.

with

links as (

    select
        graph.profile_id,
        evidence.household_key,
        min(evidence.first_arrival) as first_arrival,
        cast(sum(evidence.count_events) as {{ dbt.type_int() }}) as count_events,
        min(evidence.first_event_at) as first_seen_at,
        max(evidence.last_event_at) as last_seen_at
    from {{ ref('household_evidence') }} as evidence
    inner join {{ ref('identity_graph') }} as graph on evidence.identifier = graph.identifier
    group by 1, 2

)

select
    profile_id,
    household_key,
    {{ cdi.identifier_type('household_key') }} as household_key_type,
    cast(count(*) over (partition by household_key) as {{ dbt.type_int() }}) as count_profiles,
    count_events,
    first_seen_at,
    last_seen_at,
    -- What the graph takes. The address or card comes first: unlike a profile's id it never changes, so neither does the
    -- id of the household that it is the first of.
    household_key || {{ cdi.identifier_separator() }} || 'profile:' || profile_id as identifiers,
    first_arrival,
    {{ cdi.timestamp_from_sortable('substr(first_arrival, 1, 20)') }} as loaded_at
from links
