{{ config(materialized='view') }}
-- One row per time that somebody entered or left an audience, as an event. Profiles that merge make none.

with

changes as (

    select
        membership_id,
        audience,
        coalesce(joined_profile_id, profile_id) as profile_id,
        'Audience Entered' as event,
        entered_at as event_at,
        entry_reason as reason
    from {{ source('memberships', 'audience_membership_history') }}
    where not is_carried
    union all
    select
        membership_id,
        audience,
        profile_id,
        'Audience Exited' as event,
        exited_at as event_at,
        exit_reason as reason
    from {{ source('memberships', 'audience_membership_history') }}
    where exited_at is not null and joined_profile_id is null

)

select
    {{ dbt.hash(dbt.concat(['membership_id', "'|'", 'event'])) }} as event_id,
    event,
    audience,
    profile_id,
    event_at,
    reason
from changes
