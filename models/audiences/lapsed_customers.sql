-- Customers who have not ordered for var('lapsed_after_days') days.

{{ cdi.audience(
    all=[cdi.trait('last_order_at', more_than_ago=var('lapsed_after_days') ~ ' days')],
    columns=['email', 'first_name', 'last_order_at', 'net_revenue', 'favourite_category']
) }}
