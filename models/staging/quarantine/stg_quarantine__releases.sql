-- One row per event and release from quarantine, in the one shape of events.

select
    ---------- ids
    event_id,
    user_id,
    anonymous_id,
    previous_id,
    group_id,

    ---------- text
    source,
    type,
    event,
    channel,

    ---------- json
    properties,
    traits,
    context,

    ---------- timestamps
    event_at,
    received_at,
    loaded_at,

    ---------- arrival
    load_id,
    source_line
from {{ source('quarantine', 'releases') }}
