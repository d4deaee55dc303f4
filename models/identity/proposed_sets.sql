{{ config(materialized='ephemeral') }}
-- One row per proposal of `cdi identity match` that is likely enough to count as a link, as a combination of its two
-- identifiers. It arrived when it was written.

select
    proposals.proposal_id,
    proposals.identifier_a,
    proposals.identifier_b,
    case
        when a_types.priority <= b_types.priority
            then proposals.identifier_a || {{ cdi.identifier_separator() }} || proposals.identifier_b
        else proposals.identifier_b || {{ cdi.identifier_separator() }} || proposals.identifier_a
    end as identifiers,
    {{ cdi.sortable_timestamp('proposals.loaded_at') }} || {{ cdi.sortable_timestamp('proposals.loaded_at') }}
    || 'proposal:' || proposals.proposal_id as first_arrival,
    proposals.loaded_at
from {{ source('matcher', 'identity_proposals') }} as proposals
inner join {{ ref('identifier_rules') }} as a_types
    on {{ cdi.identifier_type('proposals.identifier_a') }} = a_types.identifier_type and a_types.rule = 'type'
inner join {{ ref('identifier_rules') }} as b_types
    on {{ cdi.identifier_type('proposals.identifier_b') }} = b_types.identifier_type and b_types.rule = 'type'
inner join {{ ref('identifier_rules') }} as thresholds
    on
        thresholds.rule = 'match_threshold'
        and proposals.match_probability >= cast(thresholds.value as {{ dbt.type_numeric() }})
-- What a steward has declined is not taken from the next build on, not only from the next full refresh.
left join {{ ref('blocked_identifiers') }} as declined
    on proposals.proposal_id = declined.value and declined.match = 'proposal'
where declined.value is null
