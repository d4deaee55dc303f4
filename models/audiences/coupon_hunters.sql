-- Customers who used a coupon in at least two orders.

{{ cdi.audience(
    all=[cdi.trait('count_coupon_orders', at_least=2)],
    columns=['email', 'first_name', 'count_coupon_orders', 'count_orders']
) }}
