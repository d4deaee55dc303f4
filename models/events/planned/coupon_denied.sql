-- A coupon was refused: one row per time.

{{ cdi.planned_event() }}
