{{ config(materialized='incremental') }}
-- A product was put into a cart: one row per time.

{{ cdi.planned_event() }}
