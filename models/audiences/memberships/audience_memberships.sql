{{ config(materialized='view') }}
-- One row per audience and profile that is in it now: since when, and what made it enter.

select
    audience,
    profile_id,
    entered_at,
    entry_reason
from {{ source('memberships', 'audience_membership_history') }}
where exited_at is null
