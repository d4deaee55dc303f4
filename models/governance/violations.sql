{{ config(materialized='view') }}
{%- set plans = cdi.plan() if execute else [] %}
-- One row per event, source, version of its plan, rule and path that was broken: how often, since when, by which value
-- for instance, and whose it is to mend.

select
    type,
    event,
    source,
    {{ cdi.plan_owners(plans) }} as owner,
    planned_event,
    plan_version,
    rule,
    path,
    policy,
    {{ cdi.latest_value('value_seen', 'last_seen_at') }} as value_seen,
    min(first_seen_at) as first_seen_at,
    max(last_seen_at) as last_seen_at,
    sum(count_seen) as count_seen
from {{ ref('violation_observations') }}
group by 1, 2, 3, 4, 5, 6, 7, 8, 9
