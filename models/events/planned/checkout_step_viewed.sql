-- Somebody saw a step of the checkout: one row per time.

{{ cdi.planned_event() }}
