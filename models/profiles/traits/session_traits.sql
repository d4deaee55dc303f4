{{ config(materialized='by_profile', inputs='trait_inputs', definition='trait_definitions') }}
-- One row per profile that was ever seen on a website or in an app: what it did there.

{{ cdi.computed_traits(reads=['session_events', 'session_starts']) }}
