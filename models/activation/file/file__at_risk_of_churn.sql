-- One row per customer at risk whose data may be shared, for the analysts.

select
    profile_id,
    count_orders,
    last_order_at,
    days_since_last_order,
    favourite_category
from {{ ref('at_risk_of_churn') }}
