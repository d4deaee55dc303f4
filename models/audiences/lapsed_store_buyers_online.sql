-- People who have bought in a shop, but not for var('store_lapsed_after_days') days, and browsed online in the last
-- 30.

{{ cdi.audience(
    all=[
        cdi.trait('last_store_order_at', more_than_ago=var('store_lapsed_after_days') ~ ' days'),
        cdi.trait('last_online_at', within='30 days')
    ],
    columns=['email', 'first_name', 'last_store_order_at', 'last_online_at', 'favourite_category']
) }}
