-- One row per receipt of a till (as far as one load brought it): an order, or a refund where more came back than was
-- sold.

with

-- A line that landed twice is one line: its receipt and position say so.
lines as (

    select
        receipt_id,
        receipt_line,
        load_id,
        loaded_at,
        max(store_id) as store_id,
        max(register_id) as register_id,
        max(sku) as sku,
        max(product_name) as product_name,
        max(category) as category,
        max(brand) as brand,
        max(loyalty_id) as loyalty_id,
        max(email) as email,
        max(return_of_receipt_id) as return_of_receipt_id,
        max(currency) as currency,
        max(payment_method) as payment_method,
        max(quantity) as quantity,
        max(unit_price) as unit_price,
        max(discount) as discount,
        max(sold_at) as sold_at,
        min(source_line) as source_line
    from {{ ref('stg_till__receipt_lines') }}
    group by 1, 2, 3, 4

),

receipts as (

    select
        receipt_id,
        load_id,
        loaded_at,
        min(source_line) as source_line,
        min(sold_at) as sold_at,
        max(loyalty_id) as loyalty_id,
        max(email) as email,
        max(store_id) as store_id,
        max(register_id) as register_id,
        max(return_of_receipt_id) as return_of_receipt_id,
        max(currency) as currency,
        max(payment_method) as payment_method,
        count(*) as count_lines,
        min(receipt_line) as first_line,
        max(receipt_line) as last_line,
        sum(quantity * unit_price - discount) as total,
        {{ cdi.json_array_agg(
            cdi.json_object({
                'product_id': 'sku',
                'sku': 'sku',
                'name': 'product_name',
                'category': 'category',
                'brand': 'brand',
                'quantity': 'quantity',
                'price': 'unit_price',
                'discount': 'discount'
            }),
            order_by='receipt_line'
        ) }} as products
    from lines
    group by 1, 2, 3

)

select
    -- A receipt whose lines came in two loads gives two events, so that no line is lost; landed again, it is the same.
    'till:' || receipt_id || ':' || {{ dbt.hash(
        "cast(count_lines as " ~ dbt.type_string() ~ ") || '|' || coalesce(cast(first_line as " ~ dbt.type_string()
        ~ "), '') || '|' || coalesce(cast(last_line as " ~ dbt.type_string() ~ "), '')"
    ) }} as event_id,
    cast('till' as {{ dbt.type_string() }}) as source,
    cast('track' as {{ dbt.type_string() }}) as type,
    case when total < 0 then 'Order Refunded' else 'Order Completed' end as event,
    {{ cdi.null_text() }} as user_id,
    {{ cdi.null_text() }} as anonymous_id,
    {{ cdi.null_text() }} as previous_id,
    {{ cdi.null_text() }} as group_id,
    cast('store' as {{ dbt.type_string() }}) as channel,
    coalesce(sold_at, loaded_at) as event_at,
    loaded_at as received_at,
    loaded_at,
    {{ cdi.json_object({
        'order_id': 'case when total < 0 then coalesce(return_of_receipt_id, receipt_id) else receipt_id end',
        'receipt_id': 'receipt_id',
        'store_id': 'store_id',
        'register_id': 'register_id',
        'payment_method': 'payment_method',
        'loyalty_id': 'loyalty_id',
        'email': 'email',
        'revenue': 'case when total >= 0 then total end',
        'total': 'abs(total)',
        'currency': 'currency',
        'count_lines': 'count_lines',
        'products': 'products'
    }) }} as properties,
    {{ cdi.json_null() }} as traits,
    {{ cdi.json_null() }} as context,
    load_id,
    source_line
from receipts
