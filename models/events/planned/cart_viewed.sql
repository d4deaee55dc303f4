-- Somebody looked at their cart: one row per time.

{{ cdi.planned_event() }}
