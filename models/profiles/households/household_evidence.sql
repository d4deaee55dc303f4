{{ config(
    enabled=var('households'),
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='fail'
) }}
{#- Where addresses are: nested as sources send them, or flat as a warehouse's loader leaves them. -#}
{%- set places = [('traits', 'address'), ('properties', 'shipping_address')] -%}
{%- set parts = {'street': ['street'], 'postal_code': ['postalCode', 'postal_code'], 'country': ['country']} -%}
{%- set found = {'traits': {}, 'properties': {}} -%}
{%- for column, place in places -%}
    {%- for part, names in parts.items() -%}
        {%- for name in names -%}
            {%- for path in [place ~ '.' ~ name, place ~ '_' ~ name] -%}
                {%- do found[column].update({'found_' ~ path | replace('.', '_in_') | lower: path}) -%}
            {%- endfor -%}
        {%- endfor -%}
    {%- endfor -%}
{%- endfor -%}
-- One row per identifier, postal address or payment card, and run: the events of that run that carried both.

with

events as (

    select
        event_id,
        identifier,
        event_at,
        loaded_at,
        {{ cdi.json_columns('traits', texts=found.traits) }},
        {{ cdi.json_columns('properties', texts=dict(found.properties, card_fingerprint='card_fingerprint')) }}
    from {{ ref('events') }}
    where
        identifier is not null
        and (type = 'identify' or event in ('Order Completed', 'Payment Succeeded'))
        and {{ cdi.is_new() }}

),

addresses as (

    select
        event_id,
        identifier,
        event_at,
        loaded_at,
        {%- for part, names in parts.items() %}
        lower(coalesce(
            {%- for column, place in places %}
            {%- set outer = loop %}
            {%- for name in names %}
            {{ 'found_' ~ place ~ '_in_' ~ name | lower }}, {{ 'found_' ~ place ~ '_' ~ name | lower }}
            {{- ',' if not (outer.last and loop.last) }}
            {%- endfor %}
            {%- endfor %}
        )) as {{ part }}{{ ',' if not loop.last }}
        {%- endfor %}
    from events

),

comparable as (

    select
        event_id,
        identifier,
        event_at,
        loaded_at,
        trim({{ cdi.comparable_street('street') }}) as street,
        {{ cdi.regexp_replace_all('postal_code', '[ -]+', '') }} as postal_code,
        coalesce(trim(country), '') as country
    from addresses

),

evidence as (

    select
        event_id,
        identifier,
        event_at,
        loaded_at,
        'address:' || street || ', ' || postal_code || ' ' || country as household_key
    from comparable
    -- A street without a number is no home.
    where postal_code <> '' and length(street) <= 200 and {{ cdi.regexp_like('street', '[0-9]') }}
    union all
    select
        event_id,
        identifier,
        event_at,
        loaded_at,
        'card:' || card_fingerprint as household_key
    from events
    where length(card_fingerprint) between 1 and 200

)

select
    identifier,
    household_key,
    -- Order of arrival: load time, then event time, then event id; one event may tell an address and a card.
    min(
        {{ cdi.sortable_timestamp('loaded_at') }} || {{ cdi.sortable_timestamp('event_at') }} || event_id || ' '
        || {{ cdi.identifier_type('household_key') }}
    ) as first_arrival,
    count(*) as count_events,
    min(event_at) as first_event_at,
    max(event_at) as last_event_at,
    max(loaded_at) as loaded_at
from evidence
group by 1, 2
