{{ config(materialized='incremental') }}
-- Somebody looked at a product: one row per time.

{{ cdi.planned_event() }}
