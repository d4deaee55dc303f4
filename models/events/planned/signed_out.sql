-- Somebody logged out: one row per time.

{{ cdi.planned_event() }}
