{{ config(
    materialized='connected_components',
    limits='identifier_rules',
    indexes=cdi.indexes([{'columns': ['identifier'], 'unique': true}, {'columns': ['profile_id']}, {'columns': ['loaded_at']}])
) }}
-- depends_on: {{ ref('identifier_rules') }}
-- One row per identifier, with the profile it belongs to: identifiers that links connect, over however many steps and
-- within the limits of their types, are one profile, whose id is the hash of the identifier that arrived first.

select
    identifiers,
    event_id,
    event_at,
    loaded_at
from {{ ref('identifier_sets') }}
