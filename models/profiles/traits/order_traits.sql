{{ config(materialized='by_profile', inputs='trait_inputs', definition='trait_definitions') }}
-- One row per profile that ever ordered or gave something back: what its orders add up to.

{{ cdi.computed_traits(reads=['order_completed', 'order_refunded', 'order_items', 'exchange_rates']) }}
