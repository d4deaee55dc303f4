-- Somebody clicked on a product in a list: one row per click.

{{ cdi.planned_event() }}
