{{ config(materialized='view') }}
-- One row per profile: how likely it is to order within 30 days.

{{ cdi.prediction() }}
