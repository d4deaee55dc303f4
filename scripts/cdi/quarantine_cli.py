"""The commands `cdi quarantine list, show, release`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cdi.errors import UsageError
from cdi.identity.cli import AsJson, print_json

quarantine = typer.Typer(
    name="quarantine", help="Look at events that break the tracking plan, mend them, and let them in.",
    no_args_is_help=True,
)  # fmt: skip


@quarantine.command("list")
def list_command(context: typer.Context, as_json: AsJson = False) -> None:
    """Show what waits in quarantine, by event and what it breaks."""
    from cdi.quarantine import waiting

    found = waiting(context.obj.project())
    if as_json:
        print_json([asdict(item) for item in found])
        return
    console = Console()
    if not found:
        console.print("Nothing is in quarantine.")
        return
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for name in ("event", "owner", "breaks"):
        table.add_column(name, overflow="fold")
    table.add_column("events", justify="right")
    table.add_column("last received (UTC)", no_wrap=True)
    table.add_column("for instance", overflow="fold")
    for item in found:
        table.add_row(
            escape(item.event or item.type), escape(item.owner or ""), escape(item.rules), f"{item.events:,}",
            f"{item.last_received_at:%Y-%m-%d %H:%M}", escape(item.example),
        )  # fmt: skip
    console.print(table)


@quarantine.command("show")
def show_command(
    context: typer.Context, event_id: Annotated[str, typer.Argument(help="Id of a quarantined event.")]
) -> None:
    """Show a quarantined event, whole and with its reasons, as JSON."""
    from cdi.quarantine import shown

    print_json(shown(context.obj.project(), event_id))


@quarantine.command("release")
def release_command(
    context: typer.Context,
    event_ids: Annotated[list[str] | None, typer.Argument(help="Ids of quarantined events.")] = None,
    event: Annotated[str | None, typer.Option(help="All events of this name.")] = None,
    rule: Annotated[str | None, typer.Option(help="All events that break this rule.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that waits.")] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="path=value to mend, such as properties.order_id=W-1; may be repeated."),
    ] = None,
    patch: Annotated[Path | None, typer.Option(help="File with a JSON merge patch (RFC 7396) to mend by.")] = None,
) -> None:
    """Let events out of quarantine, mended or not, and hold them against the plan anew."""
    from cdi.quarantine import Selection, patch_of, release

    result = release(
        context.obj.project(),
        Selection(tuple(event_ids or ()), event, rule, everything),
        patch_of(settings or (), _read_patch(patch) if patch else None),
    )
    console = Console()
    console.print(
        f"{result.released:,} released, {result.let_in:,} let in as if they had just arrived."
        + (" The next `cdi run` takes them up." if result.let_in else "")
    )
    for reasons, count in result.still_broken.items():
        console.print(f"{count:,} wait on: {escape(reasons)}", highlight=False, soft_wrap=True)


def _read_patch(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise UsageError(f"{path} is no JSON: {error}.") from None
    if not isinstance(content, dict):
        raise UsageError(f"{path} is no merge patch: it has to be an object.")
    return content
