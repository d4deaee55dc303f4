{{ config(
    materialized='by_profile',
    inputs={'events': {'product_added': {'windows': [0]}}, 'tables': ['order_traits']}
) }}
-- One row per profile that put something into a cart and has not ordered since: what lies in the cart.

with

added as (

    select
        graph.profile_id,
        added.event_at,
        added.name,
        added.price * coalesce(added.quantity, 1) as amount
    from {{ ref('product_added') }} as added
    inner join {{ ref('identity_graph') }} as graph on added.identifier = graph.identifier
    where added.event_at <= {{ cdi.as_of() }} and {{ cdi.is_due('graph.profile_id') }}

)

select
    added.profile_id,
    max(added.event_at) as last_added_at,
    cast(count(*) as {{ dbt.type_int() }}) as count_products_in_cart,
    cast(sum(added.amount) as numeric(18, 2)) as cart_value,
    {{ cdi.latest_value('added.name', 'added.event_at') }} as last_product_added
from added
left join {{ ref('order_traits') }} as orders on added.profile_id = orders.profile_id
where orders.last_order_at is null or added.event_at > orders.last_order_at
group by 1
