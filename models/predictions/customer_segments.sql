{{ config(materialized='view') }}
-- One row per profile: the group of people that it behaves like, named by what they have more and less of than others.

{{ cdi.prediction() }}
