{{ config(
    materialized='by_profile',
    inputs={'events': {'order_completed': {'windows': [0]}}, 'tables': ['sessions']},
    definition='attribution_definition'
) }}
-- One row per order that was not placed in a shop, with the session it is owed to: the last one before it within
-- attribution_lookback_days that was not direct, else the last direct one, else none.

with

orders as (

    select
        graph.profile_id,
        orders.event_id,
        orders.order_id,
        orders.revenue,
        orders.currency,
        orders.event_at as ordered_at
    from {{ ref('order_completed') }} as orders
    inner join {{ ref('identity_graph') }} as graph on orders.identifier = graph.identifier
    where
        orders.channel <> 'store'
        and orders.event_at <= {{ cdi.as_of() }}
        and {{ cdi.is_due('graph.profile_id') }}

),

owed as (

    select
        orders.event_id,
        coalesce(
            max(case when sessions.channel_group <> 'direct' then sessions.session_number end),
            max(sessions.session_number)
        ) as session_number
    from orders
    inner join {{ ref('sessions') }} as sessions
        on
            orders.profile_id = sessions.profile_id
            and orders.ordered_at >= sessions.started_at
            and sessions.started_at
            >= {{ dbt.dateadd('day', -1 * var('attribution_lookback_days'), 'orders.ordered_at') }}
    group by 1

)

select
    ---------- ids
    orders.event_id,
    orders.order_id,
    orders.profile_id,
    sessions.session_id,

    ---------- the order
    orders.ordered_at,
    orders.revenue,
    orders.currency,

    ---------- where it came from
    sessions.channel_group,
    sessions.campaign_source,
    sessions.campaign_medium,
    sessions.campaign_name,
    sessions.referrer,
    sessions.entry_page as landing_page,
    sessions.started_at as session_started_at
from orders
left join owed on orders.event_id = owed.event_id
left join {{ ref('sessions') }} as sessions
    on orders.profile_id = sessions.profile_id and owed.session_number = sessions.session_number
