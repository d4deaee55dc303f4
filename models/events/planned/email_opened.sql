{{ config(materialized='incremental') }}
-- Somebody opened a mail: one row per time.

{{ cdi.planned_event() }}
