-- One row per person with an abandoned cart whom the webhook's tool may know.

select
    profile_id,
    email,
    first_name,
    last_product_added,
    cart_value,
    last_added_at
from {{ ref('abandoned_cart') }}
