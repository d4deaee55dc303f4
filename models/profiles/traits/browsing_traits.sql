{{ config(materialized='by_profile', inputs='trait_inputs', definition='trait_definitions') }}
-- One row per profile that ever looked at a product, searched, wished for something or read an article: what it is
-- interested in.

{{ cdi.computed_traits(reads=['product_viewed', 'products_searched', 'product_added_to_wishlist', 'article_read']) }}
