-- An order was changed: one row per change.

{{ cdi.planned_event() }}
