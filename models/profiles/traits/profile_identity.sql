{{ config(materialized='by_profile', inputs={'events': ['identified']}) }}
-- One row per profile that ever told its name or address: the newest value of each identity trait wins.

with

told as (

    select
        graph.profile_id,
        identified.*
    from {{ ref('identified') }} as identified
    inner join {{ ref('identity_graph') }} as graph on identified.identifier = graph.identifier
    where {{ cdi.is_due('graph.profile_id') }}

)

select
    profile_id,
    lower(trim({{ cdi.latest_value('email', 'event_at') }})) as email,
    {{ cdi.latest_value('phone', 'event_at') }} as phone,
    {{ cdi.latest_value('name', 'event_at') }} as name,
    {{ cdi.latest_value('first_name', 'event_at') }} as first_name,
    {{ cdi.latest_value('last_name', 'event_at') }} as last_name,
    {{ cdi.latest_value('city', 'event_at') }} as city,
    {{ cdi.latest_value('postal_code', 'event_at') }} as postal_code,
    {{ cdi.latest_value('country', 'event_at') }} as country,
    {{ cdi.latest_value('birthday', 'event_at') }} as birthday
from told
group by 1
