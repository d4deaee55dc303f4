-- Customers of high value who will probably not order within 60 days.

{{ cdi.audience(
    all=[cdi.in_audience('high_value_customers'), cdi.in_audience('likely_churners')],
    columns=['email', 'phone', 'first_name', 'net_revenue', 'last_order_at', 'favourite_category']
) }}
