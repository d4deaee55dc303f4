{{ config(
    enabled=var('households'),
    materialized='connected_components',
    limits='household_limits',
    full_refresh=true
) }}
-- depends_on: {{ ref('household_limits') }}
-- One row per profile and per address or card, with the household it belongs to (profile_id, as every graph calls it).
-- Profiles merge, so it is built anew each run.

select
    identifiers,
    event_id,
    event_at,
    loaded_at
from {{ ref('household_links') }}
-- What more profiles share than a household may have says nothing about any of them.
where count_profiles <= {{ var('household_max_profiles') }}
