-- One row per thing that happened in Stripe: a customer version, a paid or failed charge, a refund, a paid invoice.

with

customers as (

    select
        'stripe:customer:' || customer_id || ':' || {{ dbt.hash(
            "coalesce(email, '') || '|' || coalesce(name, '') || '|' || coalesce(phone, '') || '|' || coalesce(user_id, '')"
        ) }} as event_id,
        'identify' as type,
        {{ cdi.null_text() }} as event,
        user_id,
        created_at as event_at,
        loaded_at,
        load_id,
        source_line,
        {{ cdi.json_null() }} as properties,
        {{ cdi.json_object({
            'stripe_customer_id': 'customer_id',
            'email': 'email',
            'name': 'name',
            'phone': 'phone'
        }) }} as traits
    from {{ ref('stg_stripe__customers') }}

),

charges as (

    select
        'stripe:charge:' || charge_id || ':' || status as event_id,
        'track' as type,
        case when status = 'succeeded' then 'Payment Succeeded' else 'Payment Failed' end as event,
        {{ cdi.null_text() }} as user_id,
        created_at as event_at,
        loaded_at,
        load_id,
        source_line,
        {{ cdi.json_object({
            'charge_id': 'charge_id',
            'order_id': 'order_id',
            'invoice_id': 'invoice_id',
            'stripe_customer_id': 'customer_id',
            'email': 'receipt_email',
            'card_fingerprint': 'card_fingerprint',
            'amount': 'amount',
            'currency': 'currency'
        }) }} as properties,
        {{ cdi.json_null() }} as traits
    from {{ ref('stg_stripe__charges') }}
    where status in ('succeeded', 'failed')

),

-- A refund names its charge, not its customer; looking that up here would make it depend on what landed first.
refunds as (

    select
        'stripe:refund:' || refund_id || ':' || status as event_id,
        'track' as type,
        'Payment Refunded' as event,
        {{ cdi.null_text() }} as user_id,
        created_at as event_at,
        loaded_at,
        load_id,
        source_line,
        {{ cdi.json_object({
            'refund_id': 'refund_id',
            'charge_id': 'charge_id',
            'order_id': 'order_id',
            'amount': 'amount',
            'currency': 'currency',
            'reason': 'reason'
        }) }} as properties,
        {{ cdi.json_null() }} as traits
    from {{ ref('stg_stripe__refunds') }}
    where status = 'succeeded'

),

invoices as (

    select
        'stripe:invoice:' || invoice_id || ':' || status as event_id,
        'track' as type,
        'Invoice Paid' as event,
        {{ cdi.null_text() }} as user_id,
        coalesce(paid_at, created_at) as event_at,
        loaded_at,
        load_id,
        source_line,
        {{ cdi.json_object({
            'invoice_id': 'invoice_id',
            'subscription_id': 'subscription_id',
            'stripe_customer_id': 'customer_id',
            'email': 'customer_email',
            'amount': 'amount_paid',
            'currency': 'currency'
        }) }} as properties,
        {{ cdi.json_null() }} as traits
    from {{ ref('stg_stripe__invoices') }}
    where status = 'paid'

),

all_objects as (

    select * from customers
    union all
    select * from charges
    union all
    select * from refunds
    union all
    select * from invoices

)

select
    event_id,
    cast('stripe' as {{ dbt.type_string() }}) as source,
    type,
    event,
    user_id,
    {{ cdi.null_text() }} as anonymous_id,
    {{ cdi.null_text() }} as previous_id,
    {{ cdi.null_text() }} as group_id,
    cast('payment' as {{ dbt.type_string() }}) as channel,
    coalesce(event_at, loaded_at) as event_at,
    loaded_at as received_at,
    loaded_at,
    properties,
    traits,
    {{ cdi.json_null() }} as context,
    load_id,
    source_line
from all_objects
