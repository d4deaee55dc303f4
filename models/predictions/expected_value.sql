{{ config(materialized='view') }}
-- One row per customer: the revenue that is expected within 120 days, in euro.

{{ cdi.prediction() }}
