-- One row per version of a Salesforce contact (identify), account (group) or opportunity (track).

with

contacts as (

    select
        'salesforce:contact:' || contact_id || ':' || {{ cdi.sortable_timestamp('coalesce(modified_at, loaded_at)') }}
            as event_id,
        'identify' as type,
        {{ cdi.null_text() }} as event,
        account_id as group_id,
        modified_at as event_at,
        loaded_at,
        load_id,
        source_line,
        {{ cdi.json_null() }} as properties,
        {{ cdi.json_object({
            'salesforce_contact_id': 'contact_id',
            'email': 'email',
            'phone': 'phone',
            'first_name': 'first_name',
            'last_name': 'last_name',
            'city': 'city',
            'postal_code': 'postal_code',
            'country': 'country',
            'birthday': 'birthday',
            'has_opted_out_of_email': 'has_opted_out_of_email'
        }) }} as traits
    from {{ ref('stg_salesforce__contact') }}
    where not is_deleted or is_deleted is null

),

accounts as (

    select
        'salesforce:account:' || account_id || ':' || {{ cdi.sortable_timestamp('coalesce(modified_at, loaded_at)') }}
            as event_id,
        'group' as type,
        {{ cdi.null_text() }} as event,
        account_id as group_id,
        modified_at as event_at,
        loaded_at,
        load_id,
        source_line,
        {{ cdi.json_null() }} as properties,
        {{ cdi.json_object({
            'name': 'name',
            'industry': 'industry',
            'employees': 'count_employees',
            'website': 'website',
            'country': 'country'
        }) }} as traits
    from {{ ref('stg_salesforce__account') }}
    where not is_deleted or is_deleted is null

),

opportunities as (

    select
        'salesforce:opportunity:' || opportunity_id || ':'
        || {{ cdi.sortable_timestamp('coalesce(modified_at, loaded_at)') }} as event_id,
        'track' as type,
        'Opportunity Updated' as event,
        account_id as group_id,
        modified_at as event_at,
        loaded_at,
        load_id,
        source_line,
        {{ cdi.json_object({
            'opportunity_id': 'opportunity_id',
            'salesforce_contact_id': 'contact_id',
            'name': 'name',
            'stage': 'stage',
            'amount': 'amount',
            'close_date': 'close_date',
            'is_won': 'is_won',
            'is_closed': 'is_closed'
        }) }} as properties,
        {{ cdi.json_null() }} as traits
    from {{ ref('stg_salesforce__opportunity') }}
    where not is_deleted or is_deleted is null

),

all_objects as (

    select * from contacts
    union all
    select * from accounts
    union all
    select * from opportunities

)

select
    event_id,
    cast('salesforce' as {{ dbt.type_string() }}) as source,
    type,
    event,
    {{ cdi.null_text() }} as user_id,
    {{ cdi.null_text() }} as anonymous_id,
    {{ cdi.null_text() }} as previous_id,
    group_id,
    cast('crm' as {{ dbt.type_string() }}) as channel,
    coalesce(event_at, loaded_at) as event_at,
    loaded_at as received_at,
    loaded_at,
    properties,
    traits,
    {{ cdi.json_null() }} as context,
    load_id,
    source_line
from all_objects
