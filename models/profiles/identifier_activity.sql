{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='fail'
) }}
-- One row per identifier, channel, day and run: what the events of that run add up to. Facts are kept by identifier and
-- not by profile, so that profiles which merge rewrite nothing: the graph says whose they are when they are read.

select
    identifier,
    channel,
    cast(event_at as date) as active_on,
    count(*) as count_events,
    min(event_at) as first_event_at,
    max(event_at) as last_event_at,
    max(loaded_at) as loaded_at
from {{ ref('events') }}
where identifier is not null and {{ cdi.is_new() }}
group by 1, 2, 3
