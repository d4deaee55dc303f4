{{ config(materialized='incremental') }}
-- A product was put on a wishlist: one row per time.

{{ cdi.planned_event() }}
