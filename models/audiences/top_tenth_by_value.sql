-- Customers of the tenth of whom most revenue is expected within 120 days.

select
    profiles.profile_id,
    profiles.email,
    profiles.first_name,
    profiles.last_order_at,
    cast(expected.score as numeric(18, 2)) as expected_revenue,
    expected.reasons
from {{ ref('profiles') }} as profiles
inner join {{ ref('expected_value') }} as expected on profiles.profile_id = expected.profile_id
where expected.percentile >= 0.9
