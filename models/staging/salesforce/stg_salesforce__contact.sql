-- One row per version of a Salesforce contact.

with

source as (

    select * from {{ source('salesforce', 'contact') }}

),

renamed as (

    select
        ---------- ids
        id as contact_id,
        nullif(trim(account_id), '') as account_id,

        ---------- text
        nullif(trim(first_name), '') as first_name,
        nullif(trim(last_name), '') as last_name,
        lower(nullif(trim(email), '')) as email,
        nullif(trim(phone), '') as phone,
        nullif(trim(mailing_city), '') as city,
        nullif(trim(mailing_postal_code), '') as postal_code,
        nullif(trim(mailing_country), '') as country,
        nullif(trim(birthdate), '') as birthday,
        nullif(trim(lead_source), '') as lead_source,

        ---------- booleans
        lower(has_opted_out_of_email) in ('true', 't', '1', 'yes') as has_opted_out_of_email,
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
