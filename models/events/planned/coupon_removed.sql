-- A coupon was taken off again: one row per time.

{{ cdi.planned_event() }}
