-- People who put something into a cart in the last 7 days, have not ordered since, and have been gone for an hour.

{{ cdi.audience(
    all=[cdi.trait('last_added_at', within='7 days', more_than_ago='1 hour')],
    columns=[
        'email', 'phone', 'first_name', 'last_added_at', 'last_product_added', 'count_products_in_cart',
        'cart_value'
    ]
) }}
