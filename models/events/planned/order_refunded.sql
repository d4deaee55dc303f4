{{ config(materialized='incremental') }}
-- An order or part of it was given back: one row per refund.

{{ cdi.planned_event() }}
