{{ config(materialized='view') }}
-- One row per event that is kept from everything above because it breaks the tracking plan, whole and with its reasons,
-- until it is released (`cdi quarantine release`).

select
    ---------- ids
    checked.event_id,
    checked.user_id,
    checked.anonymous_id,
    checked.previous_id,
    checked.group_id,
    checked.identifiers,
    checked.identifier,

    ---------- text
    checked.source,
    checked.type,
    checked.event,
    checked.channel,
    checked.planned_event,
    checked.plan_version,
    checked.verdict,
    -- As policy, path, rule and value seen, one after the other.
    substr(
        replace(replace(checked.broken_rules, {{ cdi.rule_field_separator() }}, ' '), {{ cdi.rule_separator() }}, '; '),
        3
    ) as reasons,
    checked.broken_rules,

    ---------- timestamps
    checked.event_at,
    checked.received_at,
    checked.loaded_at,

    ---------- json
    checked.properties,
    checked.traits,
    checked.context
from {{ ref('checked_events') }} as checked
where
    checked.verdict <> 'passed'
    and not exists (
        select 1 from {{ ref('checked_events') }} as released
        where
            released.is_release
            and released.event_id = checked.event_id
            and released.loaded_at > checked.loaded_at
    )
