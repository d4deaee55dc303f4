-- Somebody typed in a coupon: one row per time.

{{ cdi.planned_event() }}
