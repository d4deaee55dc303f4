-- One row per link that made one profile of two: the profiles that its two identifiers were first seen in, and the
-- event that carried both.

select
    decided.identifier,
    decided.hub,
    own.profile_id,
    case when own_first.arrival < hub_first.arrival then own.first_profile_id else hubs.first_profile_id end
        as older_profile_id,
    case when own_first.arrival < hub_first.arrival then hubs.first_profile_id else own.first_profile_id end
        as younger_profile_id,
    substr(decided.arrival, 41, length(decided.arrival) - 44) as event_id,
    {{ cdi.timestamp_from_sortable('substr(decided.arrival, 21, 20)') }} as event_at,
    decided.arrival,
    decided.loaded_at
from {{ cdi.decisions_of(ref('identity_graph')) }} as decided
inner join {{ ref('identity_graph') }} as own on decided.identifier = own.identifier
inner join {{ ref('identity_graph') }} as hubs on decided.hub = hubs.identifier
inner join {{ ref('identity_graph') }} as own_first on own.first_profile_id = own_first.identifier_id
inner join {{ ref('identity_graph') }} as hub_first on hubs.first_profile_id = hub_first.identifier_id
where decided.decision = 'merged'
