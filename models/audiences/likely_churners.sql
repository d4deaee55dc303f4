-- Customers who will probably not order within 60 days.

select
    profiles.profile_id,
    profiles.email,
    profiles.first_name,
    profiles.last_order_at,
    cast(likely.score as numeric(18, 4)) as probability,
    likely.reasons
from {{ ref('profiles') }} as profiles
inner join {{ ref('likely_to_churn') }} as likely on profiles.profile_id = likely.profile_id
where likely.score >= {{ var('likely_from') }}
