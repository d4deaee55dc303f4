-- Customers who ordered for the first time in the last 30 days, and only once.

{{ cdi.audience(
    all=[
        cdi.trait('count_orders', equals=1),
        cdi.trait('first_order_at', within='30 days')
    ],
    columns=['email', 'first_name', 'first_order_at', 'last_product_bought', 'favourite_category']
) }}
