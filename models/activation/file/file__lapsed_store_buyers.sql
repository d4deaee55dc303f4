-- One row per lapsed in-store buyer who browses online and whose data may be shared, for the shops.

select
    profile_id,
    email,
    first_name,
    last_store_order_at,
    favourite_category
from {{ ref('lapsed_store_buyers_online') }}
