{{ config(materialized='incremental') }}
-- Somebody asked for the newsletter: one row per time.

{{ cdi.planned_event() }}
