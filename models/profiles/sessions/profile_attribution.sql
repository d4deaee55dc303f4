{{ config(materialized='by_profile', inputs={'tables': ['sessions', 'order_attribution']}) }}
-- One row per profile with sessions: what brought it here first, what brought it last (the newest session that was not
-- direct, else the newest), and what its first online order is owed to.
{%- set touches = ['first_touch', 'last_touch', 'first_order'] %}

with

ranked_orders as (

    select
        profile_id,
        ordered_at,
        session_id,
        row_number() over (partition by profile_id order by ordered_at, {{ cdi.alphabetical('event_id') }}) as place
    from {{ ref('order_attribution') }}
    where {{ cdi.is_due('profile_id') }}

),

first_orders as (

    select
        profile_id,
        ordered_at,
        session_id
    from ranked_orders
    where place = 1

),

found as (

    select
        sessions.profile_id,
        1 as first_touch_number,
        coalesce(
            max(case when sessions.channel_group <> 'direct' then sessions.session_number end),
            max(sessions.session_number)
        ) as last_touch_number,
        max(case when sessions.session_id = first_orders.session_id then sessions.session_number end)
            as first_order_number,
        max(first_orders.ordered_at) as first_online_order_at,
        sum(case when sessions.started_at <= first_orders.ordered_at then 1 end) as count_sessions_to_first_order
    from {{ ref('sessions') }} as sessions
    left join first_orders on sessions.profile_id = first_orders.profile_id
    where {{ cdi.is_due('sessions.profile_id') }}
    group by 1

)

select
    found.profile_id,
    {% for touch in touches %}

    ---------- {{ touch | replace('_', ' ') }}
    {{ 'found.first_online_order_at' if touch == 'first_order' else touch ~ '.started_at as ' ~ touch ~ '_at' }},
    {% for column in ['channel_group', 'campaign_source', 'campaign_medium', 'campaign_name', 'referrer'] -%}
    {{ touch }}.{{ column }} as {{ touch }}_{{ column }},
    {% endfor -%}
    {{ touch }}.entry_page as {{ touch }}_landing_page,
    {% endfor %}
    cast(found.count_sessions_to_first_order as {{ dbt.type_int() }}) as count_sessions_to_first_order
from found
{% for touch in touches -%}
left join {{ ref('sessions') }} as {{ touch }}
    on found.profile_id = {{ touch }}.profile_id and found.{{ touch }}_number = {{ touch }}.session_number
{% endfor -%}
