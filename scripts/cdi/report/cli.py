"""The commands `cdi governance report` and `cdi predictions report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

governance = typer.Typer(name="governance", help="See how the data is governed.", no_args_is_help=True)


@governance.callback()
def common() -> None:
    """See how the data is governed."""


@governance.command("report")
def report_command(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("output/governance.html"),
    days: Annotated[int, typer.Option(min=7, max=365, help="How far back charts go.")] = 60,
) -> None:
    """Write a page with events, violations, quarantine, freshness, gate results, privacy requests and owners."""
    from cdi.report.governance import write_report

    console = Console()
    with console.status("Asking the warehouse"):
        page = write_report(context.obj.project(), out, days)
    console.print(f"The report is in {page}: one file that needs no network.", soft_wrap=True, highlight=False)


predictions = typer.Typer(name="predictions", help="See how good predictions are.", no_args_is_help=True)


@predictions.callback()
def predictions_common() -> None:
    """See how good predictions are."""


@predictions.command("report")
def predictions_report_command(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("output/predictions.html"),
) -> None:
    """Write a page with lift, calibration, what predictions hang on, drift, and who moved."""
    from cdi.report.predictions import write_report

    console = Console()
    with console.status("Asking the warehouse"):
        page = write_report(context.obj.project(), out)
    console.print(f"The report is in {page}: one file that needs no network.", soft_wrap=True, highlight=False)
