-- One row per line of a receipt of a till, as it landed; the same receipt may have landed twice.

with

source as (

    select * from {{ source('till', 'receipt_lines') }}

),

renamed as (

    select
        ---------- ids
        receipt_id,
        nullif(trim(store_id), '') as store_id,
        nullif(trim(register_id), '') as register_id,
        nullif(trim(sku), '') as sku,
        nullif(trim(loyalty_id), '') as loyalty_id,
        nullif(trim(return_of_receipt_id), '') as return_of_receipt_id,

        ---------- text
        nullif(trim(product_name), '') as product_name,
        nullif(trim(category), '') as category,
        nullif(trim(brand), '') as brand,
        upper(currency) as currency,
        nullif(trim(payment_method), '') as payment_method,
        lower(nullif(trim(email), '')) as email,

        ---------- numerics
        {{ cdi.try_numeric('receipt_line', 18, 0) }} as receipt_line,
        {{ cdi.try_numeric('quantity') }} as quantity,
        {{ cdi.try_numeric('unit_price') }} as unit_price,
        coalesce({{ cdi.try_numeric('discount') }}, 0) as discount,

        ---------- timestamps
        {{ cdi.try_timestamp('sold_at') }} as sold_at,

        ---------- arrival
        loaded_at,
        load_id,
        source_line
    from source

)

select * from renamed
