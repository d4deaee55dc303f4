-- Customers who ordered in the last 14 days, with what they bought last: for a hint of what goes with it.

{{ cdi.audience(
    all=[cdi.did('order_completed', within='14 days')],
    columns=['email', 'first_name', 'last_order_at', 'last_product_bought', 'favourite_category']
) }}
