-- Somebody opened a page: one row per page call.

{{ cdi.planned_event() }}
