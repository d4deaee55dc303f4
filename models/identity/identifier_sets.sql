{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='fail',
    indexes=cdi.indexes([{'columns': ['identifier_set_id'], 'unique': true}, {'columns': ['loaded_at']}])
) }}
{%- set newest = cdi.newest_load() %}
{%- set types = var('identifier_types') | map(attribute='type') | list %}
-- One row per combination of identifiers that some event carried together, with the first event that did:
-- millions of events carry few combinations, and only those matter for who is who.

with

new_events as (

    select
        event_id,
        user_id,
        anonymous_id,
        event_at,
        loaded_at,
        properties,
        traits,
        context
    from {{ ref('events') }}
    where identifier is not null and {{ cdi.is_new() }}

),

identified as (

    {{ cdi.select_identifiers('new_events') }}

),

sets as (

    select
        {% for type in types %}
        identifier_{{ type }},
        {% endfor %}
        -- Order of arrival: load time, then event time, then event id.
        min({{ cdi.sortable_timestamp('loaded_at') }} || {{ cdi.sortable_timestamp('event_at') }} || event_id)
            as first_arrival,
        min(loaded_at) as loaded_at
    from identified
    group by {{ range(1, types | length + 1) | join(', ') }}

),

keyed as (

    select
        {{ dbt.hash(
            "coalesce(identifier_" ~ types | join(", '') || '|' || coalesce(identifier_") ~ ", '')"
        ) }} as identifier_set_id,
        sets.*
    from sets

)

select * from keyed
{% if newest != 'null' %}
where not exists (
    select 1 from {{ this }} as known
    where known.identifier_set_id = keyed.identifier_set_id
)
{% endif %}
