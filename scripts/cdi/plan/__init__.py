"""The tracking plan: models/events/planned/ read, written, imported, exported, drafted and compared."""
