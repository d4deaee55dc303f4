-- People with an abandoned cart who do not open e-mails, but have told a phone number: for a text message or a call.

{{ cdi.audience(
    all=[
        cdi.in_audience('abandoned_cart'),
        cdi.trait('count_emails_opened_30_days', equals=0),
        cdi.trait('phone', exists=true)
    ],
    columns=['phone', 'first_name', 'last_product_added', 'cart_value']
) }}
