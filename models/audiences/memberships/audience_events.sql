{{ config(materialized='view') }}
-- One row per time that somebody entered or left an audience, as an event of the profile that they are part of now.
-- Profiles that merge make none.

with

changes as (

    select
        membership_id,
        audience,
        profile_id,
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

),

latest_merges as (

    {{ cdi.latest_merges(ref('merged_profiles')) }}

)

select
    {{ dbt.hash(dbt.concat(['changes.membership_id', "'|'", 'changes.event'])) }} as event_id,
    changes.event,
    changes.audience,
    coalesce(latest_merges.joined_profile_id, changes.profile_id) as profile_id,
    changes.event_at,
    changes.reason
from changes
left join latest_merges on changes.profile_id = latest_merges.profile_id
