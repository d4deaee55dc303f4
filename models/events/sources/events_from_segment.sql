-- One row per message in Segment's format, in the one shape of events; duplicates still included.

select
    event_id,
    cast('segment' as {{ dbt.type_string() }}) as source,
    type,
    event,
    user_id,
    anonymous_id,
    previous_id,
    group_id,
    channel,
    event_at,
    received_at,
    loaded_at,
    properties,
    traits,
    context,
    load_id,
    source_line
from {{ ref('stg_segment__messages') }}
