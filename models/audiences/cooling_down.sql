-- Customers who logged in or opened e-mails in the month before last, but in the last 30 days did neither, nor
-- ordered: they may churn before their orders show it.

{{ cdi.audience(
    all=[
        cdi.trait('count_orders', at_least=1),
        cdi.any_of([
            cdi.trait('count_logins_before_30_days', at_least=1),
            cdi.trait('count_emails_opened_before_30_days', at_least=1)
        ]),
        cdi.trait('count_logins_30_days', equals=0),
        cdi.trait('count_emails_opened_30_days', equals=0),
        cdi.did_not('order_completed', within='30 days')
    ],
    columns=[
        'email', 'first_name', 'days_since_last_order', 'days_since_last_login', 'last_email_opened_at',
        'net_revenue'
    ]
) }}
