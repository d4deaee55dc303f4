"""What commands print."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from cdi.landing import LandingResult


def show_landing(console: Console, result: LandingResult) -> None:
    """A row per file; of more than twenty files only the sums."""
    table = Table(box=None)
    for column in ("file", "table"):
        table.add_column(column, overflow="fold")
    for column in ("rows landed", "rejected"):
        table.add_column(column, justify="right")
    table.add_column("")
    for item in result.files if len(result.files) <= 20 else []:
        note = "could not be read" if item.problem else "had landed before" if item.already_landed else ""
        name = item.table.full_name if item.table else ""
        table.add_row(str(item.path), name, f"{item.rows_landed:,}", f"{item.rows_rejected:,}", note)
    skipped = sum(item.already_landed for item in result.files)
    table.add_row(
        f"{len(result.files)} files",
        "",
        f"{result.rows_landed:,}",
        f"{result.rows_rejected:,}",
        f"{skipped} had landed before" if skipped else "",
        style="bold",
    )
    console.print(table)
    if result.rows_rejected:
        console.print("Rejected lines are kept with their reason in raw.rejected.")
