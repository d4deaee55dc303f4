{{ config(materialized='incremental') }}
-- Somebody clicked on a link in a mail: one row per click.

{{ cdi.planned_event() }}
