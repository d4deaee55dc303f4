{%- set traits = ['name', 'industry', 'website', 'plan', 'country', 'email', 'phone'] -%}
-- One row per account that any event named: its newest traits, how many people it has, and when it was seen.

with

seen as (

    select
        group_id as account_id,
        min(first_event_at) as first_seen_at,
        max(last_event_at) as last_seen_at,
        cast(sum(count_events) as {{ dbt.type_int() }}) as count_events
    from {{ ref('identifier_groups') }}
    group by 1

),

traits as (

    select
        group_id as account_id,
        {% for trait in traits -%}
        {{ cdi.latest_value(trait, 'event_at') }} as {{ trait }},
        {% endfor -%}
        {{ cdi.latest_value('cast(employees as ' ~ dbt.type_string() ~ ')', 'event_at') }} as employees_text
    from {{ ref('grouped') }}
    group by 1

),

members as (

    select
        account_id,
        cast(count(*) as {{ dbt.type_int() }}) as count_members
    from {{ ref('account_memberships') }}
    group by 1

)

select
    seen.account_id,

    ---------- traits
    traits.name,
    traits.industry,
    {{ cdi.try_numeric('traits.employees_text', 18, 0) }} as employees,
    traits.website,
    traits.plan,
    traits.country,
    traits.email,
    traits.phone,

    ---------- computed traits
    {{ cdi.joined_traits(
        ['account_traits'], own=traits + ['employees', 'count_members', 'count_events', 'first_seen_at', 'last_seen_at']
    ) }},

    ---------- presence
    coalesce(members.count_members, 0) as count_members,
    seen.count_events,
    seen.first_seen_at,
    seen.last_seen_at
from seen
left join traits on seen.account_id = traits.account_id
left join members on seen.account_id = members.account_id
left join {{ ref('account_traits') }} as account_traits on seen.account_id = account_traits.account_id
