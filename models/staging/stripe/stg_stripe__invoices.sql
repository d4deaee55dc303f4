-- One row per version of a Stripe invoice.

with

source as (

    select * from {{ source('stripe', 'invoices') }}

),

renamed as (

    select
        ---------- ids
        id as invoice_id,
        nullif(trim(customer), '') as customer_id,
        nullif(trim(subscription), '') as subscription_id,

        ---------- text
        status,
        upper(currency) as currency,
        lower(nullif(trim(customer_email), '')) as customer_email,

        ---------- numerics
        {{ cdi.minor_to_major('amount_due', 'currency') }} as amount_due,
        {{ cdi.minor_to_major('amount_paid', 'currency') }} as amount_paid,

        ---------- timestamps
        {{ cdi.epoch_to_timestamp('created') }} as created_at,
        {{ cdi.epoch_to_timestamp(cdi.json_text('status_transitions', 'paid_at')) }} as paid_at,

        ---------- arrival
        loaded_at,
        load_id,
        source_line
    from source

)

select * from renamed
