-- Somebody looked at a list or category: one row per time.

{{ cdi.planned_event() }}
