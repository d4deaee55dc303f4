{{ config(enabled=var('households')) }}
-- One row per household: two or more profiles that share an address or a payment card, over however many steps.

select
    household_id,
    cast(count(distinct profile_id) as {{ dbt.type_int() }}) as count_members,
    cast(count(distinct case when household_key_type = 'address' then household_key end) as {{ dbt.type_int() }})
        as count_shared_addresses,
    cast(count(distinct case when household_key_type = 'card' then household_key end) as {{ dbt.type_int() }})
        as count_shared_cards,
    min(first_seen_at) as first_seen_at,
    max(last_seen_at) as last_seen_at
from {{ ref('household_ties') }}
group by 1
