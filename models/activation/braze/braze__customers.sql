-- One row per customer who may be advertised to: their address, and the attributes that Braze's messages use.

select
    profile_id,
    email,
    first_name,
    country,
    count_orders,
    last_order_at,
    favourite_category,
    rfm_segment
from {{ ref('profiles') }}
where count_orders > 0 and email is not null
