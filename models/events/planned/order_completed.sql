{{ config(materialized='incremental') }}
-- An order was placed and paid, online or in a shop: one row per order as it happened.

{{ cdi.planned_event() }}
