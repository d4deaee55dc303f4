{{ config(materialized='view') }}
-- One row per profile that is not among the 500 customers of most revenue: how much it behaves like one.

{{ cdi.prediction() }}
