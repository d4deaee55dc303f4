{{ config(
    materialized='by_profile',
    inputs={'events': ['newsletter_subscribed', 'newsletter_unsubscribed']}
) }}
-- One row per profile that ever joined or left the newsletter: the newest of the two holds.

with

choices as (

    select
        identifier,
        event_at,
        true as is_subscribed
    from {{ ref('newsletter_subscribed') }}
    union all
    select
        identifier,
        event_at,
        false as is_subscribed
    from {{ ref('newsletter_unsubscribed') }}

),

newest as (

    select
        graph.profile_id,
        max(case when choices.is_subscribed then choices.event_at end) as subscribed_at,
        max(case when not choices.is_subscribed then choices.event_at end) as unsubscribed_at
    from choices
    inner join {{ ref('identity_graph') }} as graph on choices.identifier = graph.identifier
    where {{ cdi.is_due('graph.profile_id') }}
    group by 1

)

select
    profile_id,
    subscribed_at,
    unsubscribed_at,
    -- Who joined and left at the same moment has left.
    subscribed_at is not null
    and (unsubscribed_at is null or subscribed_at > unsubscribed_at) as is_newsletter_subscriber
from newest
