-- One row per version of a Salesforce opportunity.

with

source as (

    select * from {{ source('salesforce', 'opportunity') }}

),

renamed as (

    select
        ---------- ids
        id as opportunity_id,
        nullif(trim(account_id), '') as account_id,
        nullif(trim(contact_id), '') as contact_id,

        ---------- text
        nullif(trim(name), '') as name,
        nullif(trim(stage_name), '') as stage,
        nullif(trim(close_date), '') as close_date,

        ---------- numerics
        {{ cdi.try_numeric('amount') }} as amount,

        ---------- booleans
        lower(is_won) in ('true', 't', '1', 'yes') as is_won,
        lower(is_closed) in ('true', 't', '1', 'yes') as is_closed,
        lower(is_deleted) in ('true', 't', '1', 'yes') as is_deleted,

        ---------- timestamps
        {{ cdi.try_timestamp('created_date') }} as created_at,
        {{ cdi.try_timestamp('system_modstamp') }} as modified_at,

        ---------- arrival
        loaded_at,
        load_id,
        source_line
    from source

)

select * from renamed
