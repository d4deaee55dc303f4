-- A product was taken off a wishlist: one row per time.

{{ cdi.planned_event() }}
