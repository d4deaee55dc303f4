{{ config(materialized='incremental') }}
-- Somebody left the newsletter: one row per time.

{{ cdi.planned_event() }}
