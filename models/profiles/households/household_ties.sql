{{ config(enabled=var('households'), materialized='view') }}
-- One row per profile and address or card that it shares with another profile of its household.

with

held as (

    select
        places.profile_id as household_id,
        links.profile_id,
        links.household_key,
        links.household_key_type,
        links.first_seen_at,
        links.last_seen_at,
        count(*) over (partition by links.household_key) as count_sharing
    from {{ ref('household_links') }} as links
    inner join {{ ref('household_graph') }} as places on links.household_key = places.identifier
    inner join {{ ref('household_graph') }} as people on people.identifier = 'profile:' || links.profile_id
    where places.profile_id = people.profile_id

)

select
    household_id,
    profile_id,
    household_key,
    household_key_type,
    first_seen_at,
    last_seen_at
from held
where count_sharing > 1
