-- Customers who order at least once a month on average, and have done so at least 3 times.

{{ cdi.audience(
    all=[
        cdi.trait('orders_per_month', at_least=1),
        cdi.trait('count_orders', at_least=3)
    ],
    columns=['email', 'first_name', 'count_orders', 'orders_per_month', 'days_between_orders', 'last_order_at']
) }}
