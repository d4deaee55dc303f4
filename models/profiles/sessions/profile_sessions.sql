{{ config(
    materialized='by_profile',
    inputs={'tables': {'sessions': {'started_at': [2592000]}}, 'ages': ['last_session_at']}
) }}
-- One row per profile with sessions: how often, how long and how lately it was there.

select
    profile_id,
    cast(count(*) as {{ dbt.type_int() }}) as count_sessions,
    cast(sum(case when started_at > {{ cdi.before_as_of(30) }} then 1 else 0 end) as {{ dbt.type_int() }})
        as count_sessions_30_days,
    cast(avg(duration_seconds) / 60.0 as numeric(18, 2)) as average_session_minutes,
    cast(avg(case when is_bounce then 1.0 else 0.0 end) as numeric(18, 4)) as bounce_rate,
    min(started_at) as first_session_at,
    max(started_at) as last_session_at,
    {{ cdi.days_between('max(started_at)', cdi.as_of()) }} as days_since_last_session
from {{ ref('sessions') }}
where {{ cdi.is_due('profile_id') }}
group by 1
