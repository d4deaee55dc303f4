{{ config(materialized='by_profile', inputs={'tables': ['sessions']}) }}
-- One row per profile with sessions: when its newest one began. Apart from profile_sessions because it changes only
-- when somebody comes back; traits with `within: session` are computed anew when it does.

select
    profile_id,
    max(started_at) as started_at,
    cast(count(*) as {{ dbt.type_int() }}) as count_sessions
from {{ ref('sessions') }}
where {{ cdi.is_due('profile_id') }}
group by 1
