{{ config(materialized='incremental') }}
-- Somebody read an article: one row per time.

{{ cdi.planned_event() }}
