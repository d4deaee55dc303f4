-- Somebody chose what they agree to: one row per choice; the choice is in the context.

{{ cdi.planned_event() }}
