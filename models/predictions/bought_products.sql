-- One row per profile and product that it bought: when first, and its place among the products of the profile, the
-- newest first.

with

bought as (

    select
        graph.profile_id,
        items.product_id,
        min(items.event_at) as first_bought_at
    from {{ ref('order_items') }} as items
    inner join {{ ref('identity_graph') }} as graph on items.identifier = graph.identifier
    where
        items.product_id is not null
        and coalesce(items.quantity, 1) > 0
        and items.event_at <= {{ cdi.as_of() }}
    group by graph.profile_id, items.product_id

)

select
    profile_id,
    product_id,
    first_bought_at,
    row_number() over (partition by profile_id order by first_bought_at desc, product_id asc) as place
from bought
