-- One row per version of a Stripe refund.

with

source as (

    select * from {{ source('stripe', 'refunds') }}

),

renamed as (

    select
        ---------- ids
        id as refund_id,
        charge as charge_id,
        {{ cdi.json_text('metadata', 'order_id') }} as order_id,

        ---------- text
        status,
        reason,
        upper(currency) as currency,

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
