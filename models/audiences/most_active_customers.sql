-- Customers who logged in at least 3 times in the last 30 days, or ordered at least twice in the last 90.

{{ cdi.audience(
    all=[
        cdi.trait('count_orders', at_least=1),
        cdi.any_of([
            cdi.trait('count_logins_30_days', at_least=3),
            cdi.trait('count_orders_90_days', at_least=2)
        ])
    ],
    columns=['email', 'first_name', 'count_logins_30_days', 'count_orders_90_days', 'last_seen_at']
) }}
