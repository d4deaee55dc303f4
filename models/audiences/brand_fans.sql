-- Customers with at least 3 orders and a favourite brand.

{{ cdi.audience(
    all=[
        cdi.trait('count_orders', at_least=3),
        cdi.trait('favourite_brand', exists=true)
    ],
    columns=['email', 'first_name', 'favourite_brand', 'count_orders', 'last_order_at']
) }}
