{{ config(
    materialized='by_profile',
    inputs='condition_inputs',
    definition='condition_definitions',
    before_replacing='write_changed_conditions',
    post_hook='{{ cdi.record_evaluated_memberships() }}'
) }}
-- One row per profile: which conditions of audiences it meets.

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
