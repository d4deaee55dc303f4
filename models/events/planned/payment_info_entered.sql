-- Somebody said how they will pay: one row per time.

{{ cdi.planned_event() }}
