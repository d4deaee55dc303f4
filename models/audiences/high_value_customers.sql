-- People whose orders, refunds taken off, come to var('high_value_revenue') or more.

select
    profile_id,
    email,
    first_name,
    count_orders,
    revenue - refunded as net_revenue,
    average_order_value,
    last_order_at,
    favourite_category
from {{ ref('profiles') }}
where revenue - refunded >= {{ var('high_value_revenue') }}
