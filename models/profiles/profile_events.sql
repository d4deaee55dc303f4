{{ config(materialized='view') }}
-- One row per event, with the profile it belongs to through the graph: what somebody did before they were known
-- included, and without rewriting anything when profiles merge.

select
    ---------- ids
    events.event_id,
    graph.profile_id,
    events.user_id,
    events.anonymous_id,
    events.previous_id,
    events.group_id,
    events.identifiers,
    events.identifier,

    ---------- text
    events.source,
    events.type,
    events.event,
    events.channel,

    ---------- timestamps
    events.event_at,
    events.received_at,
    events.loaded_at,

    ---------- json
    events.properties,
    events.traits,
    events.context
from {{ ref('events') }} as events
left join {{ ref('identity_graph') }} as graph on events.identifier = graph.identifier
