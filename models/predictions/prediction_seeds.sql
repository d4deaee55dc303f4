{{ config(materialized='view') }}
-- One row per look-alike and profile that it is to be like: an audience as it was after the last run, or those with
-- most of a trait.

{{ cdi.prediction_seeds() }}
