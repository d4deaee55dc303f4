-- A product of a wishlist was put into the cart: one row per time.

{{ cdi.planned_event() }}
