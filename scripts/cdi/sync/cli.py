"""The command `cdi sync`, and `cdi sync status`, `show` and `retry`."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from typer.core import TyperGroup

from cdi.errors import DeliveryError, GateError


class _SendByDefault(TyperGroup):
    """`cdi sync NAME` is `cdi sync send NAME`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = ["send", *args]
        return super().parse_args(ctx, args)


sync = typer.Typer(
    name="sync",
    cls=_SendByDefault,
    help="Send what changed since the last delivery to the tools: cdi sync [NAME...]; or status, show, retry.",
)
console = Console()

Names = Annotated[list[str] | None, typer.Argument(help="Activation models (default: all that declare a sync).")]
IgnoreGuards = Annotated[bool, typer.Option(help="Send although a guard says no, after you have looked.")]


@sync.command("send")
def send(
    context: typer.Context,
    names: Names = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="With --dry-run: show some rows of each kind.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Send all rows again, also those that did not change.")] = False,
    since: Annotated[
        str, typer.Option(help="Event syncs: send rows from this date or time (UTC) on, now and in later runs.")
    ] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="Send at most so many rows of each sync.")] = None,
    ignore_guards: IgnoreGuards = False,
) -> None:
    """Send what changed since the last delivery to the tools (the default command)."""
    from cdi.sync.state import Scope

    _send(context, names, Scope(full=full, limit=limit, since=since), dry_run or diff, diff, ignore_guards)


@sync.command("retry")
def retry(context: typer.Context, names: Names = None, ignore_guards: IgnoreGuards = False) -> None:
    """Send only what the tools did not take, with the values that the rows have now."""
    from cdi.sync.state import Scope

    _send(context, names, Scope(only_rejected=True), False, False, ignore_guards)


def _send(context: typer.Context, names: Any, scope: Any, dry_run: bool, diff: bool, ignore_guards: bool) -> None:
    from cdi.show import show_syncs
    from cdi.sync import Asked
    from cdi.sync import sync as sync_all

    asked = Asked(dry_run=dry_run, diff=diff, scope=scope, ignores_guards=ignore_guards)
    results = sync_all(context.obj.project(), names=names or [], console=console, asked=asked)
    show_syncs(console, results, dry_run)
    if not dry_run:
        fail_for(results)


@sync.command("status")
def status(context: typer.Context) -> None:
    """How every sync stands: what its tool holds, what it does not take, and how the last run ended."""
    from cdi.dbt import load_manifest
    from cdi.sync.history import sync_statuses

    project = context.obj.project()
    table = Table(box=None, padding=(0, 1))
    for name, justify in (("sync", "left"), ("held", "right"), ("doubt", "right"), ("rejected", "right"),
                          ("ran (UTC)", "left"), ("", "left")):  # fmt: skip
        table.add_column(name, justify=justify, no_wrap=True)
    messages = []
    for item in sync_statuses(project, load_manifest(project)):
        table.add_row(
            item.sync,
            f"{item.held:,}",
            f"{item.in_doubt:,}",
            f"{item.rejected:,}",
            f"{item.last_run_at:%d %b %H:%M}" if item.last_run_at else "",
            item.status,
            style="red" if item.status in ("failed", "blocked") else None,
        )
        messages += [f"{item.sync}: {item.message}"] if item.message else []
    console.print(table)
    for message in messages:
        console.print(escape(message), highlight=False)
    console.print("Why rows were rejected: cdi.sync_rejected.")


@sync.command("show")
def show(
    context: typer.Context,
    key: Annotated[str, typer.Argument(help="A row's key such as a profile_id, or an identifier, type:value.")],
) -> None:
    """What was sent about one person as far back as it is kept, oldest first; what a tool holds always is."""
    from cdi.dbt import load_manifest
    from cdi.identity.tables import IdentityTables
    from cdi.sync.history import sent_about

    project = context.obj.project()
    found = sent_about(project, key, IdentityTables.of(load_manifest(project)).relation("identity_graph"))
    if not found:
        console.print("Nothing that was sent about it is known.")
        return
    table = Table("at (UTC)", "sync", "operation", "outcome", box=None)
    for item in found:
        table.add_row(f"{item.at:%Y-%m-%d %H:%M:%S}", item.sync, item.operation, item.outcome)
    console.print(table)


def fail_for(results: list[Any]) -> None:
    """Raise for syncs that did not do what they should: GateError for a guard, DeliveryError for rows not taken."""
    failed = [item for item in results if item.failed]
    if failed:
        raise DeliveryError(
            f"{sum(item.failed for item in failed):,} rows were not delivered: "
            + "; ".join(f"{item.sync}: {item.problem}" for item in failed),
            "The next run sends them again.",
        )
    if blocked := [item for item in results if item.is_blocked]:
        raise GateError(
            "Nothing was sent by " + "; ".join(f"{item.sync}: {item.problem}" for item in blocked),
            "Look with cdi sync --dry-run --diff; if it is right, cdi sync NAME --ignore-guards.",
        )
