-- Revenue per month, currency and channel group of the session that an online order is owed to.

select
    {{ dbt.date_trunc('month', 'ordered_at') }} as ordered_in,
    currency,
    coalesce(channel_group, 'no session') as channel_group,
    count(*) as count_orders,
    count(distinct profile_id) as count_customers,
    sum(revenue) as revenue
from {{ ref('order_attribution') }}
group by 1, 2, 3
order by 1, 2, 6 desc
