-- Customers with at least two orders whose last one is more than var('at_risk_after_days') days ago, but who are not
-- given up yet (var('lapsed_after_days')).

{{ cdi.audience(
    all=[
        cdi.trait('count_orders', at_least=2),
        cdi.trait(
            'last_order_at',
            more_than_ago=var('at_risk_after_days') ~ ' days',
            within=var('lapsed_after_days') ~ ' days'
        )
    ],
    columns=['email', 'first_name', 'count_orders', 'last_order_at', 'days_since_last_order', 'favourite_category']
) }}
