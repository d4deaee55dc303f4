{{ config(materialized='table') }}
-- One row per profile that ever did anything of it: what is known of it at as_of, as numbers. What predictions are made
-- of.

{{ cdi.profile_features(reads=[
    'order_completed', 'order_refunded', 'exchange_rates', 'email_opened', 'email_link_clicked', 'signed_in', 'page_viewed',
    'product_viewed', 'product_added', 'checkout_started', 'product_added_to_wishlist', 'products_searched',
]) }}
