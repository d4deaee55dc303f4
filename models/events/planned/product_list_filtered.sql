-- Somebody filtered or sorted a list: one row per time.

{{ cdi.planned_event() }}
