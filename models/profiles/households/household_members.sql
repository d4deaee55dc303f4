{{ config(enabled=var('households')) }}
-- One row per profile in a household, with the reason why: it shares an address, a card, or both with another member.

select
    profile_id,
    household_id,
    max(case when household_key_type = 'address' then 1 else 0 end) = 1 as shares_address,
    max(case when household_key_type = 'card' then 1 else 0 end) = 1 as shares_card,
    min(first_seen_at) as first_seen_at,
    max(last_seen_at) as last_seen_at
from {{ ref('household_ties') }}
group by 1, 2
