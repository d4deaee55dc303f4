{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='fail',
    indexes=cdi.indexes([{'columns': ['identifier_set_id'], 'unique': true}, {'columns': ['loaded_at']}])
) }}
{%- set newest = cdi.newest_load() %}
-- One row per combination of identifiers that some event carried together, with the first event that did:
-- millions of events carry few combinations, and only those matter for who is who.

with

sets as (

    select
        identifiers,
        -- Order of arrival: load time, then event time, then event id.
        min({{ cdi.sortable_timestamp('loaded_at') }} || {{ cdi.sortable_timestamp('event_at') }} || event_id)
            as first_arrival,
        min(loaded_at) as loaded_at
    from {{ ref('events') }}
    where identifiers is not null and {{ cdi.is_new() }}
    group by 1

),

keyed as (

    select
        {{ dbt.hash('identifiers') }} as identifier_set_id,
        identifiers,
        substr(first_arrival, 41) as event_id,
        {{ cdi.timestamp_from_sortable('substr(first_arrival, 21, 20)') }} as event_at,
        loaded_at
    from sets

)

select * from keyed
{% if newest != 'null' %}
where not exists (
    select 1 from {{ this }} as known
    where known.identifier_set_id = keyed.identifier_set_id
)
{% endif %}
