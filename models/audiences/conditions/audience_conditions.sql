{{ config(materialized='by_profile', inputs='condition_inputs', definition='condition_definitions') }}
-- One row per profile: which conditions of audiences it meets, and in which run of this table each last changed.

{{ cdi.audience_conditions(reads=[
    'article_read',
    'checkout_started',
    'email_link_clicked',
    'email_opened',
    'newsletter_subscribed',
    'newsletter_unsubscribed',
    'order_cancelled',
    'order_completed',
    'order_refunded',
    'page_viewed',
    'product_added',
    'product_added_to_wishlist',
    'product_removed',
    'product_viewed',
    'products_searched',
    'signed_in'
]) }}
