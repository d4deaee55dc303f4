"""What `cdi audience` prints."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cdi.audiences.diff import AudienceChange
from cdi.audiences.preview import Preview

_BARS = "▁▂▃▄▅▆▇█"


def show_preview(console: Console, preview: Preview) -> None:
    """Size, trend, channels, overlap and a sample of an audience."""
    console.print(f"[bold]{preview.name}[/]: {escape(preview.description)}")
    share = f", {preview.size / preview.profiles:.1%} of {preview.profiles:,} profiles" if preview.profiles else ""
    built = "not built yet" if preview.size_built is None else f"{preview.size_built:,} as last built"
    console.print(f"[bold]{preview.size:,}[/] people{share} ({built})\n")
    if preview.trend:
        highest = max(size for _, size in preview.trend) or 1
        bars = "".join(_BARS[round(size / highest * (len(_BARS) - 1))] for _, size in preview.trend)
        (first, before), (last, now) = preview.trend[0], preview.trend[-1]
        console.print(f"by week  {bars}  {before:,} ({first:%Y-%m-%d}) to {now:,} ({last:%Y-%m-%d})\n")
    table = _table("channel", "people", "share")
    for channel, count in preview.channels:
        table.add_row(channel, f"{count:,}", f"{count / preview.size:.0%}" if preview.size else "")
    console.print(table)
    console.print()
    table = _table("also in", "people", "of this audience")
    for overlap in preview.overlaps:
        if overlap.shared:
            table.add_row(overlap.audience, f"{overlap.shared:,}", f"{overlap.shared / preview.size:.0%}")
    console.print(table if table.row_count else "Nobody is in another audience.")
    console.print()
    table = Table(box=None)
    for column in preview.columns:
        table.add_column(column, overflow="fold")
    for row in preview.sample:
        table.add_row(*(escape("" if value is None else str(value)) for value in row))
    console.print(table)


def show_changes(console: Console, changes: Iterable[AudienceChange], first: str, second: str) -> None:
    """Who enters and leaves each audience whose definition differs."""
    changes = list(changes)
    if not changes:
        console.print(f"No audience differs between {first} and {second}.")
        return
    table = Table(box=None)
    table.add_column("audience", overflow="fold")
    for column in (first, second, "enter", "leave"):
        table.add_column(column, justify="right")
    table.add_column("for instance", overflow="fold")
    for change in changes:
        examples = ", ".join(f"{profile} {what}" for what, profile in change.examples[:2])
        sizes = ("-" if size is None else f"{size:,}" for size in (change.before, change.after))
        table.add_row(change.audience, *sizes, f"{change.entering:,}", f"{change.leaving:,}", examples)
    console.print(table)


def _table(name: str, *numbers: str) -> Table:
    table = Table(box=None)
    table.add_column(name)
    for number in numbers:
        table.add_column(number, justify="right")
    return table
