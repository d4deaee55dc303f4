"""The commands `cdi privacy suppress, unsuppress, delete, export, prove, retain, status, resume`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cdi.errors import CdiError

privacy = typer.Typer(
    name="privacy",
    help="Keep people out, forget them, tell them what is known of them, and prove it.",
    no_args_is_help=True,
)

Identifiers = Annotated[
    list[str] | None, typer.Option("--identifier", "-i", help="type=value, such as email=jane@example.com; repeatable.")
]
File = Annotated[Path | None, typer.Option(help="File of lines type,value; up to 100,000.")]
DryRun = Annotated[bool, typer.Option(help="Only say whom and what it means.")]
AsOf = Annotated[str | None, typer.Option(help="Moment that windows are counted back from, UTC (default: now).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]


@privacy.command()
def suppress(
    context: typer.Context, identifier: Identifiers = None, file: File = None, dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """SUPPRESS_ONLY: no tool gets these people, and nothing more of them lands. What is known stays."""
    _request(context, "SUPPRESS_ONLY", identifier, file, dry_run, None, as_json)


@privacy.command()
def unsuppress(
    context: typer.Context, identifier: Identifiers = None, file: File = None, dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """UNSUPPRESS: let suppressed people in again, with all identifiers that were suppressed with these."""
    _request(context, "UNSUPPRESS", identifier, file, dry_run, None, as_json)


@privacy.command()
def delete(
    context: typer.Context,
    identifier: Identifiers = None,
    file: File = None,
    keep_out: Annotated[bool, typer.Option(help="Refuse whatever arrives of them from now on.")] = True,
    internal: Annotated[bool, typer.Option(help="In the warehouse alone: tools are not told.")] = False,
    dry_run: DryRun = False,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """SUPPRESS_WITH_DELETE (DELETE_ONLY, ..._INTERNAL): forget these people everywhere, and resolve the rest anew."""
    regulation = ("SUPPRESS_WITH_DELETE" if keep_out else "DELETE_ONLY") + ("_INTERNAL" if internal else "")
    _request(context, regulation.replace("ONLY_INTERNAL", "INTERNAL"), identifier, file, dry_run, as_of, as_json)


@privacy.command()
def resume(context: typer.Context, as_of: AsOf = None) -> None:
    """Finish requests that were interrupted; every other request does this first."""
    from cdi.privacy.requests import alone
    from cdi.privacy.requests import resume as resume_all

    project = context.obj.project()
    with alone(project):
        batches = resume_all(project, as_of)
    typer.echo(f"Finished {len(batches)} interrupted requests." if batches else "Nothing was interrupted.")


@privacy.command()
def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Show all requests, and where the newest ones stand in each place."""
    from cdi.privacy.requests import all_requests

    rows = all_requests(context.obj.project())
    if as_json:
        typer.echo(json.dumps(rows, indent=2, default=str))
        return
    table = Table("requested at (UTC)", "regulation", "requests", "status", "not finished", box=None)
    for row in rows:
        open_places = ", ".join(row["not_finished"])
        table.add_row(
            str(row["requested_at"])[:19], row["regulation"], str(row["requests"]), row["status"], open_places
        )
    Console().print(table)


@privacy.command()
def export(
    context: typer.Context,
    identifier: Annotated[str, typer.Option("--identifier", "-i", help="type=value")],
    out: Annotated[Path | None, typer.Option(help="File to write (default: print).")] = None,
) -> None:
    """Write all that is known of one person as JSON."""
    from cdi.privacy.export import export as export_person

    content = export_person(context.obj.project(), identifier)
    if out:
        out.write_bytes(content)
        typer.echo(f"Written to {out}.")
    else:
        typer.echo(content.decode())


@privacy.command()
def prove(
    context: typer.Context,
    identifier: Annotated[list[str], typer.Option("--identifier", "-i", help="type=value; repeatable.")],
    as_json: AsJson = False,
) -> None:
    """Search every text column of every schema, and logs/, target/, output/; exit code 1 where something is found."""
    from cdi.privacy.search import prove as search

    proof = search(context.obj.project(), identifier)
    if as_json:
        typer.echo(json.dumps(asdict(proof), indent=2))
    else:
        table = Table("found in", "what", "rows or lines", box=None)
        for finding in proof.findings:
            table.add_row(finding.place, finding.kind, f"{finding.count:,}")
        if proof.findings:
            Console().print(table)
        typer.echo(
            f"Searched {proof.columns:,} columns of {proof.tables:,} tables ({proof.rows:,} rows) and"
            f" {proof.files:,} files."
        )
    if proof.findings:
        raise CdiError(f"The identifiers are in {len(proof.findings)} places.")
    if not as_json:
        typer.echo("They are nowhere.")


@privacy.command()
def retain(
    context: typer.Context,
    days: Annotated[int, typer.Option(min=1, help="Keep raw rows that landed in the last so many days.")],
    dry_run: DryRun = False,
) -> None:
    """Remove older raw rows. What was built from them stays, and so do profile ids."""
    from cdi.privacy.retention import retain as retain_raw

    removed = retain_raw(context.obj.project(), days, dry_run)
    table = Table("table", "would be removed" if dry_run else "removed", box=None)
    for name, count in removed.items():
        table.add_row(name, f"{count:,}")
    Console().print(table)


def _request(
    context: typer.Context,
    regulation: str,
    identifiers: list[str] | None,
    file: Path | None,
    dry_run: bool,
    as_of: str | None,
    as_json: bool,
) -> None:
    from cdi.privacy.requests import request

    answer = request(context.obj.project(), regulation, identifiers or [], file, dry_run, as_of)
    if as_json:
        typer.echo(json.dumps(asdict(answer), indent=2, default=str))
        return
    console = Console(highlight=False)
    console.print(f"[bold]{regulation}[/]: {answer.requests:,} requests" + (" (dry run)" if dry_run else ""))
    if regulation != "UNSUPPRESS":
        console.print(
            f"They mean {answer.profiles:,} profiles with {answer.identifiers:,} identifiers and"
            f" {sum(answer.events.values()):,} events"
            + "".join(f", {count:,} from {source}" for source, count in answer.events.items())
            + "."
        )
    if answer.unknown:
        console.print(f"{answer.unknown:,} of the identifiers no event ever carried.")
    if answer.shared:
        console.print(
            f"{answer.shared:,} identifiers are on other people's events too, such as a shared device: those events"
            " stay, and these identifiers are not kept out."
        )
    for sync, count in answer.tools.items():
        console.print(f"{sync} holds {count:,} of them.")
    if dry_run:
        console.print("Nothing was changed.")
        return
    table = Table("place", "status", "rows", box=None)
    for place in answer.places:
        table.add_row(place.name, place.status, f"{place.rows:,}")
    console.print(table)
    console.print(f"Status: [bold]{answer.status}[/]")
    if answer.status == "RUNNING":
        console.print("The next `cdi sync` hands the deletion over to the tools.")
