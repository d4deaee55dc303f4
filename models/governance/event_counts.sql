{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='fail'
) }}
-- One row per day, source, event, channel and run: how many events of that run happened then. Days add up over runs, so
-- that volumes, freshness and drift are judged from a few thousand rows instead of all events.

select
    cast(event_at as date) as happened_on,
    source,
    type,
    case when type = 'track' then event end as event,
    channel,
    count(*) as count_events,
    count(identifier) as count_identified,
    count(user_id) as count_known,
    max(event_at) as last_event_at,
    max(received_at) as last_received_at,
    max(loaded_at) as loaded_at
from {{ ref('events') }}
where {{ cdi.is_new() }}
group by 1, 2, 3, 4, 5
