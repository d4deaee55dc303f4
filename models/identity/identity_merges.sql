-- One row per link that made one profile of two: the profiles that its two identifiers were first seen in, and the
-- event that carried both.

with

merged as (

    select
        decided.*,
        own.profile_id,
        coalesce(own.first_profile_id, own.profile_id) as own_profile_id,
        coalesce(hubs.first_profile_id, hubs.profile_id) as hub_profile_id
    from {{ cdi.decisions_of(ref('identity_graph')) }} as decided
    inner join {{ ref('identity_graph') }} as own on decided.identifier = own.identifier
    inner join {{ ref('identity_graph') }} as hubs on decided.hub = hubs.identifier
    where decided.decision = 'merged'

),

involved as (

    select distinct profile_id from merged

),

-- A profile that has joined another is known by the identifiers that were first seen in it.
first_profiles as (

    select
        coalesce(graph.first_profile_id, graph.profile_id) as profile_id,
        min(graph.arrival) as arrival
    from {{ ref('identity_graph') }} as graph
    inner join involved on graph.profile_id = involved.profile_id
    group by 1

)

select
    merged.identifier,
    merged.hub,
    merged.profile_id,
    case when own.arrival < hubs.arrival then merged.own_profile_id else merged.hub_profile_id end
        as older_profile_id,
    case when own.arrival < hubs.arrival then merged.hub_profile_id else merged.own_profile_id end
        as younger_profile_id,
    merged.event_id,
    merged.event_at,
    merged.arrival,
    merged.loaded_at
from merged
inner join first_profiles as own on merged.own_profile_id = own.profile_id
inner join first_profiles as hubs on merged.hub_profile_id = hubs.profile_id
