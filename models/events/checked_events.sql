{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='fail',
    indexes=cdi.indexes([
        {'columns': ['event_id']}, {'columns': ['loaded_at']}, {'columns': ['event']}, {'columns': ['verdict']}
    ])
) }}
{%- set newest = cdi.newest_load() %}
{%- set plans = cdi.plan() if execute else [] %}
{{- cdi.refuse_full_refresh_after_retention() }}
-- One row per event from all systems and time it was held against the tracking plan: its first arrival, and every
-- release from quarantine; later copies of the same id are dropped. `verdict` says whether it is among the events.

with

-- Only few ids arrive twice; to know which, it takes the ids alone. The events themselves are then read once.
duplicated as (

    select
        event_id,
        min(case when not is_release then arrival end) as first_arrival,
        max(case when is_release then arrival end) as last_release
    from {{ ref('arrivals') }}
    {{ cdi.where_newly_arrived(newest) }}
    group by 1
    having count(*) > 1

),

-- An event that was released counts from its last release on: its arrivals before that stay in quarantine.
counted as (

    select
        arrivals.*,
        coalesce(arrivals.arrival = duplicated.last_release, true) as is_last
    from {{ ref('arrivals') }} as arrivals
    left join duplicated on arrivals.event_id = duplicated.event_id
    {{ cdi.where_newly_arrived(newest, 'arrivals') }}
    {{ 'where' if newest == 'null' else 'and' }} (
        duplicated.event_id is null or arrivals.arrival = duplicated.first_arrival or arrivals.is_release
    )
    {{ cdi.computed_once() }}

),

planned as (

    select
        *,
        {{ cdi.plan_number(plans) }} as plan_number
    from counted
    {{ cdi.computed_once() }}

),

found as (

    select
        *,
        {{ cdi.json_found('plan_number', cdi.plan_paths(plans)) }} as found
    from planned

),

checked as (

    select
        *,
        {{ cdi.broken_rules(plans) }} as broken_rules
    from found
    {{ cdi.computed_once() }}

),

judged as (

    select
        *,
        case
            when not is_last or {{ cdi.breaks_with('quarantine') }} then 'quarantined'
            when plan_number is null and {{ cdi.breaks_with('drop') }} then 'dropped'
            else 'passed'
        end as verdict
    from checked
    {{ cdi.computed_once() }}

),

-- What is dropped is gone before anything reads it: an identifier in it does not count.
mended as (

    select
        event_id,
        user_id,
        anonymous_id,
        previous_id,
        group_id,
        source,
        type,
        event,
        channel,
        event_at,
        received_at,
        loaded_at,
        {% for column in ['properties', 'traits'] %}
        case
            when verdict = 'passed'
                and type {{ 'in' if column == 'traits' else 'not in' }} ('identify', 'group')
                and {{ cdi.breaks_with('drop') }}
                then {{ cdi.json_without_keys(column, cdi.dropped_keys(), cdi.rule_separator()) }}
            else {{ column }}
        end as {{ column }},
        {% endfor %}
        context,
        is_release,
        plan_number,
        broken_rules,
        verdict
    from judged
    {{ cdi.computed_once() }}

),

identified as (

    {{ cdi.select_identifiers('mended') }}

)

select
    ---------- ids
    event_id,
    user_id,
    anonymous_id,
    previous_id,
    -- What is blocked as a user's id (null, undefined, 0) is no account's id either.
    case
        when {{ cdi.is_identifier(cdi.identifier_rules().types | first, 'group_id') }} then group_id
    end as group_id,
    identifiers,
    {{ cdi.strongest_identifier() }} as identifier,

    ---------- text
    source,
    type,
    event,
    channel,

    ---------- timestamps
    event_at,
    received_at,
    {{ cdi.loaded_since(newest) }} as loaded_at,

    ---------- json
    properties,
    traits,
    context,

    ---------- the plan
    {{ cdi.plan_names(plans) }} as planned_event,
    {{ cdi.plan_versions(plans) }} as plan_version,
    broken_rules,
    verdict,
    is_release
from identified
{% if newest != 'null' %}
where not exists (
    select 1 from {{ this }} as known
    where
        known.event_id = identified.event_id
        and (known.verdict = 'passed' or not identified.is_release)
)
{% endif %}
