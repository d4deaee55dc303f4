-- One row per high value customer whom the webhook's tool may know.

select
    profile_id,
    email,
    first_name,
    count_orders,
    net_revenue,
    favourite_category
from {{ ref('high_value_customers') }}
