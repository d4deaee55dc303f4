{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='fail'
) }}
-- One row per identifier, account and run: what the events of that run that name both add up to. The identifier is null
-- where nobody was named: an account may be known before its people are.

select
    identifier,
    group_id,
    count(*) as count_events,
    min(event_at) as first_event_at,
    max(event_at) as last_event_at,
    max(loaded_at) as loaded_at
from {{ ref('events') }}
where group_id is not null and {{ cdi.is_new() }}
group by 1, 2
