-- One row per link that made one profile of two: the profiles that its two identifiers were first seen in, and the
-- event that carried both.

select
    decided.identifier,
    decided.hub,
    own.profile_id,
    case when own_first.arrival < hub_first.arrival then own_first.identifier_id else hub_first.identifier_id end
        as older_profile_id,
    case when own_first.arrival < hub_first.arrival then hub_first.identifier_id else own_first.identifier_id end
        as younger_profile_id,
    decided.event_id,
    decided.event_at,
    decided.arrival,
    decided.loaded_at
from {{ cdi.decisions_of(ref('identity_graph')) }} as decided
inner join {{ ref('identity_graph') }} as own on decided.identifier = own.identifier
inner join {{ ref('identity_graph') }} as hubs on decided.hub = hubs.identifier
inner join {{ ref('identity_graph') }} as own_first
    on own_first.identifier_id = coalesce(own.first_profile_id, own.profile_id)
inner join {{ ref('identity_graph') }} as hub_first
    on hub_first.identifier_id = coalesce(hubs.first_profile_id, hubs.profile_id)
where decided.decision = 'merged'
