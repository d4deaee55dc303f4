-- One row per line of an invoice of the online shop, as it landed.

with

source as (

    select * from {{ source('online_retail', 'order_lines') }}

),

renamed as (

    select
        ---------- ids
        trim(invoice_no) as invoice_id,
        trim(stock_code) as stock_code,
        nullif(split_part(trim(customer_id), '.', 1), '') as customer_id,

        ---------- text
        nullif(trim(description), '') as product_name,
        nullif(trim(country), '') as country,

        ---------- booleans
        {{ cdi.regexp_like('upper(trim(stock_code))', '^[0-9]{5}') }} as is_product,

        ---------- numerics
        {{ cdi.try_numeric('quantity') }} as quantity,
        {{ cdi.try_numeric('unit_price') }} as unit_price,

        ---------- timestamps
        {{ cdi.local_to_utc(cdi.try_timestamp('invoice_date'), 'Europe/London') }} as invoiced_at,

        ---------- arrival
        loaded_at,
        load_id,
        source_line
    from source

)

select * from renamed
