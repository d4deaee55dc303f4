-- People who looked at products at least 5 times in the last 14 days and ordered nothing in the last 30.

{{ cdi.audience(
    all=[
        cdi.did('product_viewed', at_least=5, within='14 days'),
        cdi.did_not('order_completed', within='30 days')
    ],
    columns=[
        'email', 'first_name', 'last_product_viewed', 'category_viewed_most_90_days',
        'brand_viewed_most_90_days'
    ]
) }}
