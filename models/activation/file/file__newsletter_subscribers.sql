-- One row per newsletter subscriber whose data may be shared, for the mailing house.

select
    profile_id,
    email,
    first_name,
    favourite_category
from {{ ref('newsletter_subscribers') }}
