-- One row per invoice of the online shop: an order, a refund (C...), a bad debt (A...) or a correction of the stock.

with

invoices as (

    select
        invoice_id,
        load_id,
        loaded_at,
        min(source_line) as source_line,
        min(invoiced_at) as invoiced_at,
        max(customer_id) as customer_id,
        max(country) as country,
        count(*) as count_lines,
        sum(quantity) as count_pieces,
        sum(quantity * unit_price) as total,
        {{ cdi.json_array_agg(
            cdi.json_object({
                'product_id': 'stock_code',
                'sku': 'stock_code',
                'name': 'product_name',
                'quantity': 'quantity',
                'price': 'unit_price'
            }),
            order_by='source_line',
            condition='is_product'
        ) }} as products,
        -- Postage, fees, discounts, samples and write-offs: money that is no product.
        {{ cdi.json_array_agg(
            cdi.json_object({
                'code': 'stock_code',
                'name': 'product_name',
                'quantity': 'quantity',
                'price': 'unit_price'
            }),
            order_by='source_line',
            condition='not is_product'
        ) }} as adjustments
    from {{ ref('stg_online_retail__order_lines') }}
    group by 1, 2, 3

),

named as (

    select
        *,
        case
            when invoice_id like 'C%' then 'Order Refunded'
            when invoice_id like 'A%' then 'Bad Debt Adjusted'
            when count_pieces < 0 then 'Stock Adjusted'
            else 'Order Completed'
        end as event
    from invoices

)

select
    -- An invoice whose lines came in two loads gives two events, so that no line is lost; landed again, it is the same.
    'online_retail:' || invoice_id || ':' || {{ dbt.hash(
        "cast(count_lines as " ~ dbt.type_string() ~ ") || '|' || cast(count_pieces as " ~ dbt.type_string()
        ~ ") || '|' || cast(total as " ~ dbt.type_string() ~ ")"
    ) }} as event_id,
    cast('online_retail' as {{ dbt.type_string() }}) as source,
    cast('track' as {{ dbt.type_string() }}) as type,
    event,
    customer_id as user_id,
    {{ cdi.null_text() }} as anonymous_id,
    {{ cdi.null_text() }} as previous_id,
    {{ cdi.null_text() }} as group_id,
    cast('web' as {{ dbt.type_string() }}) as channel,
    coalesce(invoiced_at, loaded_at) as event_at,
    loaded_at as received_at,
    loaded_at,
    {{ cdi.json_object({
        'order_id': 'invoice_id',
        'country': 'country',
        'revenue': "case when event <> 'Order Refunded' then total end",
        'total': "case when event = 'Order Refunded' then -1 * total else total end",
        'currency': "'GBP'",
        'count_lines': 'count_lines',
        'products': 'products',
        'adjustments': 'adjustments'
    }) }} as properties,
    {{ cdi.json_null() }} as traits,
    {{ cdi.json_null() }} as context,
    load_id,
    source_line
from named
