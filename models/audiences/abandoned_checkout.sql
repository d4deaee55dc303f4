-- People who began a checkout in the last 7 days and did not order within a day.

{{ cdi.audience(
    all=[
        cdi.sequence(
            [cdi.first('checkout_started'), cdi.then_not('order_completed', within='1 day')],
            within='7 days'
        )
    ],
    columns=['email', 'phone', 'first_name', 'last_seen_at']
) }}
