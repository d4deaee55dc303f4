-- People who put something on a wishlist in the last 60 days and have not ordered since.

{{ cdi.audience(
    all=[cdi.sequence([cdi.first('product_added_to_wishlist'), cdi.then_not('order_completed')], within='60 days')],
    columns=['email', 'first_name', 'count_wishes', 'last_product_viewed']
) }}
