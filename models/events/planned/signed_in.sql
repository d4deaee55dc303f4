{{ config(materialized='incremental') }}
-- Somebody logged in: one row per time.

{{ cdi.planned_event() }}
