{{ config(materialized='incremental') }}
-- Somebody searched for products: one row per search.

{{ cdi.planned_event() }}
