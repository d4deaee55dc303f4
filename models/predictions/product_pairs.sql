-- One row per product and product that people buy with it or after it: at most 50 for each, those that say most.
{#- Of somebody with a thousand products only the newest count: pairs are the square of them. -#}
{%- set most_products = 100 %}

with

bought as (

    select *
    from {{ ref('bought_products') }}
    where place <= {{ most_products }}

),

buyers as (

    select
        product_id,
        count(*) as count_profiles
    from bought
    group by product_id

),

pairs as (

    select
        one.product_id,
        other.product_id as next_product_id,
        count(*) as count_profiles
    from bought as one
    inner join bought as other
        on
            one.profile_id = other.profile_id
            and one.product_id <> other.product_id
            and one.first_bought_at <= other.first_bought_at
    group by one.product_id, other.product_id
    -- What two people did is chance.
    having count(*) >= 3

),

-- The cosine of the two products' buyers, less where they are few.
compared as (

    select
        pairs.product_id,
        pairs.next_product_id,
        pairs.count_profiles,
        pairs.count_profiles / sqrt(buyers.count_profiles * 1.0 * next_buyers.count_profiles)
        * (pairs.count_profiles / (pairs.count_profiles + 10.0)) as similarity
    from pairs
    inner join buyers on pairs.product_id = buyers.product_id
    inner join buyers as next_buyers on pairs.next_product_id = next_buyers.product_id

),

ranked as (

    select
        *,
        row_number() over (partition by product_id order by similarity desc, next_product_id asc) as place
    from compared

)

select
    product_id,
    next_product_id,
    count_profiles,
    cast(similarity as {{ dbt.type_float() }}) as similarity
from ranked
where place <= 50
