-- A source told us what an account is, and who belongs to it: one row per group call, the account's traits typed.

{{ cdi.planned_event() }}
