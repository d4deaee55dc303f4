"""The commands `cdi why` and `cdi identity report, show, plan, match`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from cdi.errors import UsageError

identity = typer.Typer(
    name="identity",
    help="Look into the identity graph, and see what edited rules would change.",
    no_args_is_help=True,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]


def why(
    context: typer.Context,
    first: Annotated[str, typer.Argument(help="An identifier, type:value.")],
    second: Annotated[str, typer.Argument(help="Another one.")],
    as_json: AsJson = False,
) -> None:
    """Say why two identifiers are one person, event by event, or what keeps them apart."""
    from cdi.identity.explain import why as explain
    from cdi.identity.show import show_why

    answer = explain(context.obj.project(), first, second)
    if as_json:
        print_json({"is_same_profile": answer.is_same_profile, **asdict(answer)})
    else:
        show_why(Console(), answer)


@identity.command("report")
def report_command(
    context: typer.Context,
    top: Annotated[int, typer.Option(min=1, max=1000, help="Rows of each list.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Count identifiers and profiles; show the largest, what they hang on, and identifiers that many people share."""
    from cdi.identity.report import report
    from cdi.identity.show import show_report

    answer = report(context.obj.project(), top)
    if as_json:
        print_json(asdict(answer))
    else:
        show_report(Console(), answer)


@identity.command("show")
def show_command(
    context: typer.Context,
    identifier: Annotated[str, typer.Argument(help="An identifier of the profile, type:value.")],
    svg: Annotated[Path | None, typer.Option(help="File to draw the profile in, as SVG.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show a profile: its identifiers, the events that joined them, and the links that were refused."""
    from cdi.identity.explain import profile_of
    from cdi.identity.picture import as_svg
    from cdi.identity.show import show_profile

    profile = profile_of(context.obj.project(), identifier)
    if svg:
        try:
            svg.write_text(as_svg(profile), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{svg} cannot be written: {error.strerror}.", "Choose another file for --svg.") from None
    if as_json:
        print_json(asdict(profile))
    else:
        show_profile(Console(), profile)
        if svg:
            Console().print(f"Drawn in {svg}.", markup=False, highlight=False)


@identity.command("plan")
def plan_command(
    context: typer.Context,
    as_of: Annotated[
        str | None, typer.Option(help="Moment that windows are counted back from, UTC (default: now).")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the scratch schemas, to look into.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what the rules as edited in seeds/ would change in profiles and audiences. Changes nothing in use."""
    from cdi.identity.plan import plan
    from cdi.identity.show import show_plan

    answer = plan(context.obj.project(), as_of, keep, Console(stderr=True))
    if as_json:
        print_json(asdict(answer))
    else:
        show_plan(Console(), answer)


@identity.command("match")
def match_command(
    context: typer.Context,
    top: Annotated[int, typer.Option(min=0, max=1000, help="Pairs to show, the likeliest first.")] = 10,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the pairs and write nothing.")] = False,
    show_values: Annotated[bool, typer.Option("--show-values", help="Show e-mails and ids in full.")] = False,
    as_json: AsJson = False,
) -> None:
    """Propose pairs of profiles that are probably one person though no event links them. See docs/matching.md."""
    from cdi.identity.matching.match import match
    from cdi.identity.show import masked, show_matching

    console = Console(stderr=True)
    with console.status("Comparing profiles"):
        answer = match(context.obj.project(), dry_run)
    if as_json:
        print_json(asdict(answer if show_values else masked(answer)))
    else:
        show_matching(Console(), answer if show_values else masked(answer), top)


def print_json(value: Any) -> None:
    """Print a value as JSON, dates in ISO 8601."""

    def as_text(item: Any) -> str:
        return item.isoformat() if hasattr(item, "isoformat") else str(item)

    typer.echo(json.dumps(value, indent=2, default=as_text))
