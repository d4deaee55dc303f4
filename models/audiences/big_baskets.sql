-- Customers whose average order is worth 150 or more.

{{ cdi.audience(
    all=[cdi.trait('average_order_value', at_least=150)],
    columns=['email', 'first_name', 'average_order_value', 'largest_order_value', 'count_orders']
) }}
