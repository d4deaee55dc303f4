-- People whose orders, refunds taken off, come to var('high_value_revenue') or more.

{{ cdi.audience(
    all=[cdi.trait('net_revenue', at_least=var('high_value_revenue'))],
    columns=[
        'email', 'first_name', 'count_orders', 'net_revenue', 'average_order_value', 'last_order_at',
        'favourite_category'
    ]
) }}
