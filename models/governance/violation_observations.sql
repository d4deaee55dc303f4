{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='fail'
) }}
-- One row per event, rule and path that was broken, and day and run that saw it: how often, and one value as an
-- example. Rows add up; see violations.

with

broken as (

    select
        type,
        event,
        source,
        planned_event,
        plan_version,
        received_at,
        loaded_at,
        substr(broken_rules, 2) as broken_rules
    from {{ ref('checked_events') }}
    where broken_rules is not null and {{ cdi.is_new() }}

),

rules as (

    {{ cdi.unnest_text('broken', 'broken_rules', cdi.rule_separator(), [
        'type', 'event', 'source', 'planned_event', 'plan_version', 'received_at', 'loaded_at'
    ]) }}

),

parts as (

    select
        type,
        event,
        source,
        planned_event,
        plan_version,
        received_at,
        loaded_at,
        {{ dbt.split_part('part', cdi.rule_field_separator(), 1) }} as policy,
        {{ dbt.split_part('part', cdi.rule_field_separator(), 2) }} as path,
        {{ dbt.split_part('part', cdi.rule_field_separator(), 3) }} as rule,
        {{ dbt.split_part('part', cdi.rule_field_separator(), 4) }} as value_seen
    from rules

)

select
    type,
    event,
    source,
    planned_event,
    plan_version,
    rule,
    path,
    policy,
    cast({{ dbt.date_trunc('day', 'received_at') }} as date) as received_on,
    {{ cdi.latest_value('value_seen', 'received_at') }} as value_seen,
    min(received_at) as first_seen_at,
    max(received_at) as last_seen_at,
    count(*) as count_seen,
    max(loaded_at) as loaded_at
from parts
group by 1, 2, 3, 4, 5, 6, 7, 8, 9
