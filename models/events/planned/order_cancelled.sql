-- An order was cancelled: one row per time.

{{ cdi.planned_event() }}
