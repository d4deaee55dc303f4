{{ config(materialized='by_profile', inputs={'events': ['identifier_activity']}) }}
-- One row per profile: when and where it was seen, over all its devices and channels.

with

activity as (

    select
        graph.profile_id,
        activity.*
    from {{ ref('identifier_activity') }} as activity
    inner join {{ ref('identity_graph') }} as graph on activity.identifier = graph.identifier
    where {{ cdi.is_due('graph.profile_id') }}

)

select
    profile_id,
    min(first_event_at) as first_seen_at,
    max(last_event_at) as last_seen_at,
    max(case when channel in ('web', 'mobile') then last_event_at end) as last_online_at,
    max(case when channel = 'store' then last_event_at end) as last_in_store_at,
    cast(sum(count_events) as {{ dbt.type_int() }}) as count_events,
    cast(count(distinct active_on) as {{ dbt.type_int() }}) as count_active_days,
    cast(count(distinct channel) as {{ dbt.type_int() }}) as count_channels
from activity
group by 1
