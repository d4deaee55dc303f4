-- Customers with at least two orders whose last one is more than var('at_risk_after_days') days ago, but who are not
-- given up yet (var('lapsed_after_days')).

select
    profile_id,
    email,
    first_name,
    count_orders,
    last_order_at,
    days_since_last_order,
    favourite_category
from {{ ref('profiles') }}
where
    count_orders >= 2
    and last_order_at < {{ cdi.before_as_of(var('at_risk_after_days')) }}
    and last_order_at >= {{ cdi.before_as_of(var('lapsed_after_days')) }}
