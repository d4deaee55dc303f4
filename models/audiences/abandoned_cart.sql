-- People who put something into a cart in the last 7 days, have not ordered since, and have been gone for an hour.

select
    profile_id,
    email,
    first_name,
    last_added_at,
    last_product_added,
    count_products_in_cart,
    cart_value
from {{ ref('profiles') }}
where
    last_added_at >= {{ cdi.before_as_of(7) }}
    and last_added_at <= {{ cdi.before_as_of(1, 'hour') }}
