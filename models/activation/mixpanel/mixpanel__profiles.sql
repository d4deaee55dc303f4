-- One row per customer who may be analysed: what Mixpanel's reports can be broken down by.

select
    profile_id,
    country,
    count_orders,
    net_revenue,
    average_order_value,
    first_order_at,
    last_order_at,
    favourite_category,
    favourite_brand,
    rfm_segment
from {{ ref('profiles') }}
where count_orders > 0
