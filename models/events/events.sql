-- One row per event from all systems, in one shape, that keeps the tracking plan or may break it: its first arrival
-- counts, later copies of the same id do not. What is kept apart is in governance.quarantine.

select
    ---------- ids
    event_id,
    user_id,
    anonymous_id,
    previous_id,
    group_id,
    identifiers,
    identifier,

    ---------- text
    source,
    type,
    event,
    channel,

    ---------- timestamps
    event_at,
    received_at,
    loaded_at,

    ---------- json
    properties,
    traits,
    context
from {{ ref('checked_events') }}
where verdict = 'passed'
