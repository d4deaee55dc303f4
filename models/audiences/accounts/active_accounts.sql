-- Accounts of which somebody logged in or ordered in the last 30 days.

{{ cdi.account_audience(
    users='any',
    all=[cdi.any_of([cdi.did('signed_in', within='30 days'), cdi.did('order_completed', within='30 days')])],
    columns=['name', 'count_members']
) }}
