"""What `cdi validate` prints."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cdi.gates.results import GateResult


def show_gates(console: Console, results: list[GateResult]) -> None:
    """A row per gate, then what failed."""
    table = Table(box=None)
    table.add_column("gate")
    for column in ("expectations", "passed", "warned", "failed", "seconds"):
        table.add_column(column, justify="right")
    for result in results:
        passed = sum(outcome.success for outcome in result.outcomes)
        numbers = (len(result.outcomes), passed, len(result.warnings), len(result.stopped_by))
        style = "red" if result.stopped_by else "yellow" if result.warnings else None
        table.add_row(result.gate, *(f"{number:,}" for number in numbers), f"{result.seconds:.1f}", style=style)
    console.print(table)
    for result in results:
        for outcome in result.stopped_by:
            console.print(f"[red]failed[/] {escape(str(outcome))}", highlight=False, soft_wrap=True)
        for outcome in result.warnings:
            console.print(f"[yellow]warning[/] {escape(str(outcome))}", highlight=False, soft_wrap=True)
