{{ config(materialized='by_profile', inputs='trait_inputs', definition='trait_definitions') }}
-- One row per profile that ever logged in, or opened or clicked an e-mail: how lively it is.

{{ cdi.computed_traits(reads=['signed_in', 'email_opened', 'email_link_clicked']) }}
