-- One row per profile that ever bought a product: what it bought most and last.

with

items as (

    select
        graph.profile_id,
        items.*
    from {{ ref('order_items') }} as items
    inner join {{ ref('identity_graph') }} as graph on items.identifier = graph.identifier

),

{% for column in ['category', 'brand'] %}
{{ column }}_pieces as (

    select
        profile_id,
        {{ column }},
        sum(quantity) as count_pieces
    from items
    where {{ column }} is not null
    group by 1, 2

),

-- On a tie the first in the order of the alphabet.
favourite_{{ column }} as (

    select
        profile_id,
        {{ column }}
    from (
        select
            profile_id,
            {{ column }},
            row_number() over (partition by profile_id order by count_pieces desc, {{ column }}) as place
        from {{ column }}_pieces
    ) as ranked
    where place = 1

),

{% endfor %}
last_product as (

    select
        profile_id,
        {{ cdi.latest_value('product_name', 'event_at') }} as last_product_bought
    from items
    group by 1

)

select
    last_product.profile_id,
    last_product.last_product_bought,
    favourite_category.category as favourite_category,
    favourite_brand.brand as favourite_brand
from last_product
left join favourite_category on last_product.profile_id = favourite_category.profile_id
left join favourite_brand on last_product.profile_id = favourite_brand.profile_id
