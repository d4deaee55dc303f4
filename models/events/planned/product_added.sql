-- A product was put into a cart: one row per time.

{{ cdi.planned_event('Product Added') }}
