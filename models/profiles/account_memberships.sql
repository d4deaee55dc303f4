-- One row per profile and account that it was seen with: a person may have many accounts, an account many people.

select
    graph.profile_id,
    seen.group_id as account_id,
    min(seen.first_event_at) as first_seen_at,
    max(seen.last_event_at) as last_seen_at,
    cast(sum(seen.count_events) as {{ dbt.type_int() }}) as count_events
from {{ ref('identifier_groups') }} as seen
inner join {{ ref('identity_graph') }} as graph on seen.identifier = graph.identifier
group by 1, 2
