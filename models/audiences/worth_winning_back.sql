-- Customers of high value who are at risk of churn or cooling down.

{{ cdi.audience(
    all=[
        cdi.in_audience('high_value_customers'),
        cdi.any_of([cdi.in_audience('at_risk_of_churn'), cdi.in_audience('cooling_down')])
    ],
    columns=['email', 'phone', 'first_name', 'net_revenue', 'last_order_at', 'favourite_category']
) }}
