"""What `cdi demo-data` prints."""

from __future__ import annotations

from rich.table import Table

from cdi.demo_data.generate import DemoData


def counts_table(data: DemoData) -> Table:
    """How many records of each raw table were written."""
    table = Table(box=None)
    table.add_column("raw table")
    table.add_column("records", justify="right")
    for name, count in data.counts.items():
        table.add_row(name, f"{count:,}")
    return table
