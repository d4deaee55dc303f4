-- One row per account whose people ever ordered or looked at a product: what they did for it.

{{ cdi.computed_traits(reads=['order_completed', 'product_viewed', 'exchange_rates'], per='account_id') }}
