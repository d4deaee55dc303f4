-- People who were seen for the first time in the last 7 days.

select
    profile_id,
    email,
    first_name,
    first_seen_at,
    count_events,
    count_orders
from {{ ref('profiles') }}
where first_seen_at >= {{ cdi.before_as_of(7) }}
