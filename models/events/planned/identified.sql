{{ config(materialized='incremental') }}
-- A source told us who somebody is: one row per identify call, its traits typed.

{{ cdi.planned_event() }}
