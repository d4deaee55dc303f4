{{ config(
    enabled=var('households'),
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='fail'
) }}
-- One row per identifier, postal address or payment card, and run: the events of that run that carried both.

with

events as (

    select
        event_id,
        identifier,
        event_at,
        loaded_at,
        -- Nested as sources send addresses, or flat as a warehouse's loader leaves them.
        {{ cdi.json_columns('traits', texts={
            'home_street': 'address.street',
            'home_postal_code': 'address.postalCode',
            'home_postcode': 'address.postal_code',
            'home_country': 'address.country',
            'flat_home_street': 'address_street',
            'flat_home_postal_code': 'address_postal_code',
            'flat_home_country': 'address_country'
        }) }},
        {{ cdi.json_columns('properties', texts={
            'shipping_street': 'shipping_address.street',
            'shipping_postal_code': 'shipping_address.postalCode',
            'shipping_postcode': 'shipping_address.postal_code',
            'shipping_country': 'shipping_address.country',
            'flat_shipping_street': 'shipping_address_street',
            'flat_shipping_postal_code': 'shipping_address_postal_code',
            'flat_shipping_country': 'shipping_address_country',
            'card_fingerprint': 'card_fingerprint'
        }) }}
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
        lower(coalesce(home_street, flat_home_street, shipping_street, flat_shipping_street)) as street,
        lower(coalesce(
            home_postal_code, home_postcode, flat_home_postal_code,
            shipping_postal_code, shipping_postcode, flat_shipping_postal_code
        )) as postal_code,
        lower(coalesce(home_country, flat_home_country, shipping_country, flat_shipping_country)) as country
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
    where postal_code <> '' and {{ cdi.regexp_like('street', '[0-9]') }}
    union all
    select
        event_id,
        identifier,
        event_at,
        loaded_at,
        'card:' || card_fingerprint as household_key
    from events
    where card_fingerprint <> ''

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
-- What is longer, or holds what separates identifiers, is no address.
where length(household_key) <= 300 and household_key not like '%' || {{ cdi.identifier_separator() }} || '%'
group by 1, 2
