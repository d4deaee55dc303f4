{{ config(
    materialized='by_profile',
    inputs={'events': {'session_events': {'windows': [0]}}},
    definition='session_definition'
) }}
-- One row per session: what somebody did on websites and in apps, over all their devices, without a pause of more than
-- session_timeout_minutes and without coming back through another campaign.
{%- set in_order = 'partition by graph.profile_id order by events.event_at, ' ~ cdi.alphabetical('events.event_id') %}

with

-- Of every event what came before it. Only what is counted goes through the sort; the rest is fetched for sessions.
ordered as (

    select
        graph.profile_id,
        events.event_id,
        events.event_at,
        events.campaign,
        events.page,
        events.is_page_view,
        events.is_order,
        events.revenue,
        row_number() over ({{ in_order }}) as event_number,
        lag(events.event_at) over ({{ in_order }}) as previous_at,
        lag(events.campaign) over ({{ in_order }}) as previous_campaign
    from {{ ref('session_events') }} as events
    inner join {{ ref('identity_graph') }} as graph on events.identifier = graph.identifier
    where events.event_at <= {{ cdi.as_of() }} and {{ cdi.is_due('graph.profile_id') }}

),

paused as (

    select
        *,
        previous_at is null
        or event_at > {{ dbt.dateadd('minute', var('session_timeout_minutes'), 'previous_at') }} as is_after_pause
    from ordered

),

-- A campaign that the event before did not have may be new, or that of the session, which not every event names.
numbered as (

    select
        *,
        sum(
            case when is_after_pause or coalesce(campaign <> coalesce(previous_campaign, ''), false) then 1 else 0 end
        ) over (partition by profile_id order by event_number rows between unbounded preceding and current row)
            as stretch_number
    from paused

),

stretches as (

    select
        profile_id,
        stretch_number,
        max(case when is_after_pause then 1 else 0 end) = 1 as is_after_pause,
        max(campaign) as campaign,
        {{ cdi.first_by('event_id', 'event_number') }} as first_event_id,
        {{ cdi.first_by('page', 'event_number') }} as entry_page,
        {{ cdi.last_by('page', 'event_number') }} as exit_page,
        min(event_at) as started_at,
        max(event_at) as ended_at,
        count(*) as count_events,
        sum(case when is_page_view then 1 else 0 end) as count_page_views,
        sum(case when is_order then 1 else 0 end) as count_orders,
        sum(revenue) as revenue
    from numbered
    group by 1, 2

),

-- All stretches but those after a pause have a campaign: the one before in the session tells the session's.
continued as (

    select
        *,
        lag(campaign) over (partition by profile_id order by stretch_number) as previous_campaign
    from stretches

),

joined as (

    select
        *,
        sum(case when is_after_pause or campaign <> coalesce(previous_campaign, '') then 1 else 0 end) over (
            partition by profile_id order by stretch_number rows between unbounded preceding and current row
        ) as session_number
    from continued

),

found as (

    select
        profile_id,
        session_number,
        {{ cdi.first_by('first_event_id', 'stretch_number') }} as first_event_id,
        {{ cdi.first_by('entry_page', 'stretch_number') }} as entry_page,
        {{ cdi.last_by('exit_page', 'stretch_number') }} as exit_page,
        min(started_at) as started_at,
        max(ended_at) as ended_at,
        sum(count_events) as count_events,
        sum(count_page_views) as count_page_views,
        sum(count_orders) as count_orders,
        sum(revenue) as revenue
    from joined
    group by 1, 2

)

select
    ---------- ids
    {{ dbt.hash('found.first_event_id') }} as session_id,
    found.profile_id,
    cast(found.session_number as {{ dbt.type_int() }}) as session_number,

    ---------- where it came from
    {{ cdi.channel_group(
        'first_events.campaign_medium', 'first_events.campaign_source', 'first_events.referrer_host'
    ) }} as channel_group,
    first_events.campaign_source,
    first_events.campaign_medium,
    first_events.campaign_name,
    first_events.campaign_content,
    first_events.campaign_term,
    first_events.referrer,
    first_events.channel,

    ---------- what happened
    found.entry_page,
    found.exit_page,
    cast(found.count_events as {{ dbt.type_int() }}) as count_events,
    cast(found.count_page_views as {{ dbt.type_int() }}) as count_page_views,
    cast({{ dbt.datediff('found.started_at', 'found.ended_at', 'second') }} as {{ dbt.type_int() }}) -- noqa: LT05
        as duration_seconds,
    found.count_page_views <= 1 and found.count_orders = 0 as is_bounce,
    cast(found.count_orders as {{ dbt.type_int() }}) as count_orders,
    cast(coalesce(found.revenue, 0) as numeric(18, 2)) as revenue,

    ---------- timestamps
    found.started_at,
    found.ended_at
from found
inner join {{ ref('session_events') }} as first_events on found.first_event_id = first_events.event_id
