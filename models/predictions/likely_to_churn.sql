{{ config(materialized='view') }}
-- One row per customer who ordered in the last 180 days: how likely it is not to order within 60 days.

{{ cdi.prediction() }}
