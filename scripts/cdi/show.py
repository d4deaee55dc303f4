"""What commands print."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cdi.landing import LandingResult
from cdi.run import RunSummary
from cdi.sync import SyncResult


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
        table.add_row(escape(str(item.path)), name, f"{item.rows_landed:,}", f"{item.rows_rejected:,}", note)
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
    if result.rows_suppressed:
        console.print(f"{result.rows_suppressed:,} lines of suppressed people were not kept.")
    if result.rows_rejected:
        console.print("Rejected lines are kept with their reason in raw.rejected.")


def show_run(console: Console, summary: RunSummary) -> None:
    """The summary of a run: what came in, what it became, who is in which audience, what was sent, and time."""
    counts, before = summary.counts, summary.counts_before
    table = Table(box=None, show_header=False, padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column(justify="right", style="dim")
    table.add_row("rows in", f"{summary.rows_landed:,}", "")
    table.add_row("rows rejected", f"{summary.rows_rejected:,}", "")
    for name in ("events", "violations", "quarantined", "identifiers", "profiles"):
        table.add_row(name, f"{counts.get(name, 0):,}", _change(counts.get(name, 0), before.get(name)))
    table.add_row("profiles merged", f"{counts.get('merges', 0):,}", "")
    if summary.gates:
        outcomes = [outcome for result in summary.gates for outcome in result.outcomes]
        warned = sum(not outcome.success for outcome in outcomes)
        table.add_row("expectations", f"{len(outcomes):,}", f"{warned:,} warned" if warned else "all met")
    console.print()
    console.print(table)
    if counts.get("violations"):
        console.print("What breaks the tracking plan, and whose it is: governance.violations; cdi quarantine list.")
    audiences = Table(box=None, padding=(0, 2))
    audiences.add_column("audience", no_wrap=True)
    audiences.add_column("people", justify="right")
    audiences.add_column("change", justify="right")
    for item in summary.audiences:
        audiences.add_row(item.name, f"{item.size:,}", _change(item.size, item.size_before))
    console.print()
    console.print(audiences)
    if summary.syncs:
        console.print()
        show_syncs(console, summary.syncs)
    for warning in summary.warnings:
        console.print(f"[yellow]warning[/] {escape(warning)}", highlight=False, soft_wrap=True)
    console.print()
    console.print("  ".join(f"{part} {seconds:.1f} s" for part, seconds in summary.seconds.items()), style="dim")


def show_syncs(console: Console, results: list[SyncResult], dry_run: bool = False) -> None:
    """A row per sync: what had changed, and what the tool took of it."""
    table = Table(box=None, padding=(0, 1))
    table.add_column("sync", no_wrap=True)
    for column in ("added", "changed", "removed", "kept back"):
        table.add_column(column, justify="right")
    if not dry_run:
        table.add_column("delivered", justify="right")
        table.add_column("failed", justify="right")
    for item in results:
        if not item.is_set_up:
            continue
        numbers = [item.added, item.changed, item.removed, item.rejected]
        if not dry_run:
            numbers += [item.delivered, item.failed]
        table.add_row(item.sync, *(f"{number:,}" for number in numbers), style="red" if item.failed else None)
    console.print(table)
    if dry_run:
        console.print("Nothing was sent.")
    for item in results:
        if item.deleted:
            console.print(f"{item.sync}: {item.deleted:,} people to forget were handed over.", highlight=False)
        if item.resent:
            console.print(
                f"{item.sync}: {item.resent:,} rows were sent again, which {item.tool} cannot tell.",
                highlight=False,
            )
        if item.refused_again:
            console.print(
                f"{item.sync}: {item.refused_again:,} rows were refused as they were before (cdi.sync_rejected).",
                highlight=False,
            )
        if item.problem and item.is_set_up:
            name = item.sync if item.refused_again and not item.failed else f"[red]{item.sync}[/]"
            console.print(f"{name}: {escape(item.problem)}", highlight=False)
        if item.sample:
            rows = Table(*(name.removeprefix("cdi_") for name in item.sample[0]), title=item.sync, box=None)
            for row in item.sample:
                rows.add_row(*("" if value is None else escape(str(value)) for value in row.values()))
            console.print(rows)

    if waiting := [item for item in results if not item.is_set_up]:
        console.print("Tools that are not set up yet (docs/tools):", style="dim")
        for item in waiting:
            console.print(f"  {escape(item.problem)}", style="dim", highlight=False, soft_wrap=True)


def _change(now: int, before: int | None) -> str:
    return "new" if before is None else f"{now - before:+,}" if now != before else "="
