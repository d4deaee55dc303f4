-- One row per version of a Salesforce account.

with

source as (

    select * from {{ source('salesforce', 'account') }}

),

renamed as (

    select
        ---------- ids
        id as account_id,

        ---------- text
        nullif(trim(name), '') as name,
        nullif(trim(industry), '') as industry,
        nullif(trim(website), '') as website,
        nullif(trim(billing_country), '') as country,

        ---------- numerics
        {{ cdi.try_numeric('number_of_employees', 18, 0) }} as count_employees,

        ---------- booleans
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
