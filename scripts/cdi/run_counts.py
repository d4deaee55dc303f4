"""The counts of earlier runs, which sizes are compared with."""

from __future__ import annotations

from cdi.warehouse import Warehouse

RUN_COUNTS = "cdi.run_counts"


def ensure_run_counts(warehouse: Warehouse) -> None:
    """Make the table where it is missing: a row is a number of a run."""
    warehouse.execute("create schema if not exists cdi")
    warehouse.execute(
        f"create table if not exists {RUN_COUNTS} (run_id text, run_at timestamp, metric text, name text, value bigint)"
    )
