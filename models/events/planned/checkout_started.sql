-- Somebody went to the checkout: one row per time.

{{ cdi.planned_event() }}
