-- One row per profile that ever ordered: orders, revenue and refunds over all channels.

with

orders as (

    select
        graph.profile_id,
        orders.*
    from {{ ref('order_completed') }} as orders
    inner join {{ ref('identity_graph') }} as graph on orders.identifier = graph.identifier

),

refunds as (

    select
        graph.profile_id,
        cast(count(*) as {{ dbt.type_int() }}) as count_refunds,
        sum(refunds.total) as refunded
    from {{ ref('order_refunded') }} as refunds
    inner join {{ ref('identity_graph') }} as graph on refunds.identifier = graph.identifier
    group by 1

),

totals as (

    select
        profile_id,
        cast(count(*) as {{ dbt.type_int() }}) as count_orders,
        cast(sum(case when channel = 'store' then 1 else 0 end) as {{ dbt.type_int() }}) as count_store_orders,
        coalesce(sum(revenue), 0) as revenue,
        avg(revenue) as average_order_value,
        min(event_at) as first_order_at,
        max(event_at) as last_order_at,
        max(case when channel = 'store' then event_at end) as last_store_order_at
    from orders
    group by 1

)

select
    totals.profile_id,
    totals.count_orders,
    totals.count_store_orders,
    coalesce(refunds.count_refunds, 0) as count_refunds,
    totals.revenue,
    coalesce(refunds.refunded, 0) as refunded,
    totals.average_order_value,
    totals.first_order_at,
    totals.last_order_at,
    totals.last_store_order_at
from totals
left join refunds on totals.profile_id = refunds.profile_id
