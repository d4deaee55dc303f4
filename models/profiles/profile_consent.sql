-- One row per profile and consent category that somebody of the profile ever chose about: the newest choice holds.

with

choices as (

    select
        graph.profile_id,
        observations.category,
        max(observations.choice) as choice
    from {{ ref('consent_observations') }} as observations
    inner join {{ ref('identity_graph') }} as graph on observations.identifier = graph.identifier
    group by 1, 2

)

select
    profile_id,
    category,
    substr(choice, 21, 1) = '0' as is_granted
from choices
