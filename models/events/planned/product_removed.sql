-- A product was taken out of a cart: one row per time.

{{ cdi.planned_event() }}
