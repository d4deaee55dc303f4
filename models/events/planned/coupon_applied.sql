-- A coupon was taken: one row per time.

{{ cdi.planned_event() }}
