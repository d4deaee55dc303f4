-- One row per version of a Stripe charge.

with

source as (

    select * from {{ source('stripe', 'charges') }}

),

renamed as (

    select
        ---------- ids
        id as charge_id,
        nullif(trim(customer), '') as customer_id,
        nullif(trim(invoice), '') as invoice_id,
        {{ cdi.json_text('metadata', 'order_id') }} as order_id,
        nullif(trim({{ cdi.json_text('payment_method_details', 'card.fingerprint') }}), '') as card_fingerprint,

        ---------- text
        status,
        upper(currency) as currency,
        lower(nullif(trim(receipt_email), '')) as receipt_email,

        ---------- numerics
        {{ cdi.minor_to_major('amount', 'currency') }} as amount,

        ---------- timestamps
        {{ cdi.epoch_to_timestamp('created') }} as created_at,

        ---------- arrival
        loaded_at,
        load_id,
        source_line
    from source

)

select * from renamed
