{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='fail',
    indexes=cdi.indexes([{'columns': ['event_id'], 'unique': true}, {'columns': ['loaded_at']}, {'columns': ['event']}])
) }}
{%- set newest = cdi.newest_load() %}
{{- cdi.refuse_full_refresh_after_retention() }}
-- One row per event from all systems, in one shape: its first arrival counts, later copies of the same id do not.

with

-- Only few ids arrive twice; to know which, it takes the ids alone. The events themselves are then read once.
duplicated as (

    select
        event_id,
        min(arrival) as first_arrival
    from {{ ref('arrivals') }}
    {{ cdi.where_newly_arrived(newest) }}
    group by 1
    having count(*) > 1

),

first_arrivals as (

    select arrivals.*
    from {{ ref('arrivals') }} as arrivals
    left join duplicated on arrivals.event_id = duplicated.event_id
    {{ cdi.where_newly_arrived(newest, 'arrivals') }}
    {{ 'where' if newest == 'null' else 'and' }} (
        duplicated.event_id is null or arrivals.arrival = duplicated.first_arrival
    )

),

identified as (

    {{ cdi.select_identifiers('first_arrivals') }}

)

select
    ---------- ids
    event_id,
    user_id,
    anonymous_id,
    previous_id,
    group_id,
    identifiers,
    {{ cdi.strongest_identifier() }} as identifier,

    ---------- text
    source,
    type,
    event,
    channel,

    ---------- timestamps
    event_at,
    received_at,
    {{ cdi.loaded_since(newest) }} as loaded_at,

    ---------- json
    properties,
    traits,
    context
from identified
{% if newest != 'null' %}
where not exists (
    select 1 from {{ this }} as known
    where known.event_id = identified.event_id
)
{% endif %}
