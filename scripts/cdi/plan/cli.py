"""The commands `cdi plan import, export, infer, diff`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cdi.errors import UsageError
from cdi.identity.cli import AsJson, print_json

plan = typer.Typer(
    name="plan", help="The tracking plan in models/events/planned/: import, export, draft, compare.",
    no_args_is_help=True,
)  # fmt: skip


@plan.command("import")
def import_command(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Tracking plan of Segment, RudderStack or Avo, as JSON.")],
) -> None:
    """Write models/events/planned/ from a tracking plan of another tool."""
    from cdi.plan.files import write_plan
    from cdi.plan.json_schema import import_plan

    root = context.obj.project().root
    imported = import_plan(_read_json(file))
    written = write_plan(root, imported.planned)
    console = Console()
    console.print(f"{len(imported.planned):,} planned events, {len(written):,} files written.")
    for path in written:
        console.print(f"  {path.relative_to(root)}", highlight=False)
    for note in imported.left_out:
        console.print(f"[yellow]left out[/] {escape(note)}", highlight=False, soft_wrap=True)


@plan.command("export")
def export_command(
    context: typer.Context,
    out: Annotated[Path | None, typer.Option(help="File to write (default: print).")] = None,
) -> None:
    """Write the plan as JSON Schema (draft-07), in the shape of Segment's Public API."""
    from cdi.plan.files import read_plan
    from cdi.plan.json_schema import export_plan

    text = json.dumps(export_plan(read_plan(context.obj.project().root)), indent=2, ensure_ascii=False)
    if out is None:
        typer.echo(text)
        return
    try:
        out.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}.") from None


@plan.command("infer")
def infer_command(
    context: typer.Context,
    events: Annotated[list[str] | None, typer.Argument(help="Events (default: all that are not planned).")] = None,
    sample: Annotated[int, typer.Option(min=1, help="How many of the newest events to look at.")] = 1_000_000,
    write: Annotated[bool, typer.Option("--write", help="Write models/events/planned/ instead of printing.")] = False,
) -> None:
    """Draft the plan of events from what landed: types, what is always there, values where they are few."""
    from cdi.plan.files import as_yaml, write_plan
    from cdi.plan.infer import infer

    project = context.obj.project()
    drafts = infer(project, events or (), sample)
    if write:
        for path in write_plan(project.root, drafts):
            typer.echo(path.relative_to(project.root))
        return
    for draft in drafts:
        typer.echo(as_yaml(draft))


@plan.command("diff")
def diff_command(
    context: typer.Context,
    before: Annotated[str, typer.Argument(help="Git revision.")],
    after: Annotated[str | None, typer.Argument(help="Another one (default: the files as they are).")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what changed in the plan between two git revisions, and which traits, audiences and syncs it breaks."""
    from cdi.dbt import load_manifest
    from cdi.plan.diff import compare, effects, plan_at
    from cdi.plan.lineage import Lineage

    project = context.obj.project()
    changes = compare(plan_at(project.root, before), plan_at(project.root, after))
    found = effects(changes, Lineage.of(load_manifest(project))) if changes else []
    if as_json:
        print_json(
            [
                asdict(item.change) | {"users": {floor: sorted(names) for floor, names in item.users.by_floor.items()}}
                for item in found
            ]
        )
        return
    console = Console()
    if not found:
        console.print("The plan is the same.")
        return
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for name in ("event", "change", "", "used by"):
        table.add_column(name, overflow="fold")
    for item in found:
        verdict = "" if not item.change.breaks else "[red]breaks[/]" if item.users.names else "[yellow]narrower[/]"
        table.add_row(escape(item.change.event), escape(item.change.what), verdict, escape(str(item.users)))
    console.print(table)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise UsageError(f"{path} is no JSON: {error}.") from None
