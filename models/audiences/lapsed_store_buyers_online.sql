-- People who have bought in a shop, but not for var('store_lapsed_after_days') days, and browsed online in the last 30.

select
    profile_id,
    email,
    first_name,
    last_store_order_at,
    last_online_at,
    favourite_category
from {{ ref('profiles') }}
where
    last_store_order_at < {{ cdi.before_as_of(var('store_lapsed_after_days')) }}
    and last_online_at >= {{ cdi.before_as_of(30) }}
