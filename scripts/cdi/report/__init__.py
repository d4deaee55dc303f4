"""The governance report: one page of what came in, what broke a rule, what gates found, and whose it is."""
