-- Customers who gave something back at least twice, and at least once for every two orders.

{{ cdi.audience(
    all=[
        cdi.trait('count_refunds', at_least=2),
        cdi.trait('refund_ratio', at_least=0.5)
    ],
    columns=['email', 'first_name', 'count_refunds', 'refund_ratio', 'refunded']
) }}
