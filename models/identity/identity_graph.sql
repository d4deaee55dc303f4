{{ config(
    materialized='connected_components',
    indexes=cdi.indexes([
        {'columns': ['identifier'], 'unique': true}, {'columns': ['profile_id']}, {'columns': ['identifier_id']}
    ])
) }}
-- One row per identifier, with the profile it belongs to: identifiers that links connect, over however many steps,
-- are one profile, whose id is the hash of the identifier that arrived first.

select
    identifier,
    identifier_type,
    identifier_value,
    hub,
    arrival,
    loaded_at
from {{ ref('identity_links') }}
