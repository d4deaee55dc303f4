-- One row per version of a Stripe customer.

with

source as (

    select * from {{ source('stripe', 'customers') }}

),

renamed as (

    select
        ---------- ids
        id as customer_id,
        nullif(trim({{ cdi.json_text('metadata', 'user_id') }}), '') as user_id,

        ---------- text
        lower(nullif(trim(email), '')) as email,
        nullif(trim(name), '') as name,
        nullif(trim(phone), '') as phone,

        ---------- timestamps
        {{ cdi.epoch_to_timestamp('created') }} as created_at,

        ---------- arrival
        loaded_at,
        load_id,
        source_line
    from source

)

select * from renamed
