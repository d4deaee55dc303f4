{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='fail'
) }}
-- One row per product of an order.

with

items as (

    select
        orders.event_id,
        orders.identifier,
        orders.channel,
        orders.event_at,
        orders.loaded_at,
        orders.order_id,
        {{ cdi.json_array_item() }} as product
    from {{ ref('order_completed') }} as orders
    {{ cdi.unnest_json_array('orders.products') }}
    where {{ cdi.is_new() }}

),

products as (

    select
        event_id,
        identifier,
        channel,
        event_at,
        loaded_at,
        order_id,
        {{ cdi.json_columns('product', texts={
            'product_id': 'product_id',
            'product_name': 'name',
            'category': 'category',
            'brand': 'brand',
            'quantity_text': 'quantity',
            'price_text': 'price'
        }) }}
    from items

)

select
    event_id,
    identifier,
    channel,
    event_at,
    loaded_at,
    order_id,
    product_id,
    product_name,
    category,
    brand,
    {{ cdi.try_numeric('quantity_text') }} as quantity,
    {{ cdi.try_numeric('price_text') }} as price
from products
