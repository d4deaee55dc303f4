-- One row per profile and product that it will probably want next, at most five: what others bought with or after what
-- it bought last. Nothing that it has bought.
{#- What was bought long ago says little, and costs as much. -#}
{%- set newest_products = 20 %}

with

suggested as (

    select
        bought.profile_id,
        pairs.next_product_id as product_id,
        bought.product_id as because_of_product_id,
        sum(pairs.similarity) over (partition by bought.profile_id, pairs.next_product_id) as score,
        row_number() over (
            partition by bought.profile_id, pairs.next_product_id
            order by pairs.similarity desc, bought.product_id asc
        ) as reason_place
    from {{ ref('bought_products') }} as bought
    inner join {{ ref('product_pairs') }} as pairs on bought.product_id = pairs.product_id
    where bought.place <= {{ newest_products }}

),

ranked as (

    select
        suggested.profile_id,
        suggested.product_id,
        suggested.score,
        suggested.because_of_product_id,
        row_number() over (
            partition by suggested.profile_id order by suggested.score desc, suggested.product_id asc
        ) as position
    from suggested
    left join {{ ref('bought_products') }} as bought
        on suggested.profile_id = bought.profile_id and suggested.product_id = bought.product_id
    where suggested.reason_place = 1 and bought.product_id is null

),

names as (

    select
        product_id,
        max(product_name) as product_name
    from {{ ref('order_items') }}
    group by product_id

)

select
    ranked.profile_id,
    ranked.position,
    ranked.product_id,
    names.product_name,
    ranked.score,
    ranked.because_of_product_id
from ranked
left join names on ranked.product_id = names.product_id
where ranked.position <= 5
