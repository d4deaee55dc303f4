"""The command `cdi`: each command is a thin function over one that tests can call."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from cdi.audiences.cli import audience
from cdi.errors import CdiError, UsageError, mask_secrets
from cdi.gates import OnFailure
from cdi.gates.cli import validate
from cdi.identity.cli import identity, why
from cdi.pii import pii
from cdi.plan.cli import plan
from cdi.privacy.cli import privacy
from cdi.project import Project, load_project
from cdi.quarantine_cli import quarantine
from cdi.report.cli import governance, predictions
from cdi.sync.cli import fail_for, sync

app = typer.Typer(
    name="cdi",
    help="Customer data infrastructure in your own warehouse: land, build, validate, sync.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
console = Console()
errors = Console(stderr=True)


@dataclass
class Options:
    """What was given before the command's name."""

    project_dir: Path | None = None
    profiles_dir: Path | None = None
    target: str | None = None

    def project(self) -> Project:
        """The project and target that the options name."""
        return load_project(self.project_dir, self.profiles_dir, self.target)


@app.callback()
def common(
    context: typer.Context,
    project_dir: Annotated[
        Path | None, typer.Option(help="Folder of dbt_project.yml (default: this one or above).")
    ] = None,
    profiles_dir: Annotated[
        Path | None, typer.Option(help="Folder of profiles.yml (default: the project's, then ~/.dbt).")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option("--target", "-t", help="Target of profiles.yml (default: the profile's own)."),
    ] = None,
    log_json: Annotated[Path | None, typer.Option(help="File to append a log to, one JSON object a line.")] = None,
) -> None:
    """Options that every command takes."""
    if log_json:
        log_as_json(log_json)
    context.obj = Options(project_dir, profiles_dir, target)


@app.command()
def land(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="System, or system.table, as in models/staging.")],
    files: Annotated[
        list[str], typer.Argument(help="Files, folders or globs: NDJSON, JSON, CSV, Parquet, gzipped or not.")
    ],
) -> None:
    """Load files into the raw tables of the warehouse."""
    from cdi.landing import land as land_files
    from cdi.show import show_landing

    result = land_files(context.obj.project(), source, files, console)
    show_landing(console, result)
    if result.unreadable:
        raise CdiError(
            "; ".join(item.problem for item in result.unreadable),
            "All other files landed. Mend these and land them again: what has landed is skipped.",
        )


@app.command("demo-data")
def demo_data(
    people: Annotated[int, typer.Option(help="How many people.")] = 2000,
    days: Annotated[int, typer.Option(help="How many days before the end.")] = 90,
    seed: Annotated[int, typer.Option(help="The same seed gives the same data.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder to write raw/ and truth/ in.")] = Path("data/demo"),
    end: Annotated[
        str | None, typer.Option(help="Date or ISO time that the data ends at, in UTC (default: now).")
    ] = None,
    processes: Annotated[int, typer.Option(help="How many to work with; the data is the same.")] = 2,
) -> None:
    """Write raw files of a made-up shop and, apart from them, the truth about who is who."""
    from rich.progress import Progress

    from cdi.demo_data.generate import generate, parse_end
    from cdi.demo_data.show import counts_table

    until = parse_end(end)
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("People", total=people)
        data = generate(people, days, seed, out, until, processes, lambda count: bar.advance(task, count))
    console.print(counts_table(data))
    console.print(f"Raw files are in {data.folder / 'raw'}, the truth in {data.folder / 'truth'}.")


@app.command()
def run(
    context: typer.Context,
    files: Annotated[
        list[str] | None,
        typer.Option("--land", help="source=path, or a folder with one subfolder per source; may be repeated."),
    ] = None,
    as_of: Annotated[
        str | None, typer.Option(help="Moment that windows are counted back from, UTC (default: now).")
    ] = None,
    full_refresh: Annotated[bool, typer.Option(help="Build every model from its beginning.")] = False,
    send: Annotated[bool, typer.Option(help="Send what changed to the tools.")] = True,
    on_failure: Annotated[
        OnFailure, typer.Option(help="What a failed gate does; ignore does not check them (docs/gates.md).")
    ] = OnFailure.STOP,
) -> None:
    """Do the scheduled job: land, build, validate, sync. Exit codes: docs/running.md."""
    from cdi.run import GateFailedError
    from cdi.run import run as run_job
    from cdi.show import show_run

    try:
        summary = run_job(context.obj.project(), files or [], as_of, full_refresh, send, console, on_failure)
    except GateFailedError as error:
        console.print(
            f"rows in {error.summary.rows_landed:,}, rejected {error.summary.rows_rejected:,}; then a gate failed."
        )
        raise
    show_run(console, summary)
    fail_for(summary.syncs)


@app.command()
def predict(context: typer.Context) -> None:
    """Train the predictions that are due and score all profiles, where dbt's adapter runs no Python models."""
    from cdi.predict import predict as predict_all
    from cdi.predict import show_predicted

    with console.status("Predicting"):
        predicted = predict_all(context.obj.project())
    show_predicted(console, predicted)


@app.command("simulate-tools")
def simulate_tools(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 8765,
) -> None:
    """Run a server that behaves as the tools do, to try syncs on; GET /state says what they hold."""
    from cdi.simulator import Simulator

    try:
        with Simulator(port) as simulator:
            console.print(f"Simulating {', '.join(simulator.tools)} at {simulator.url} until Ctrl-C.")
            console.print(f"{simulator.url}/state says what they hold. Syncs find them with:")
            for name, value in simulator.environment().items():
                console.print(f"export {name}={value}", highlight=False, soft_wrap=True)
            simulator.wait()
    except OSError as error:
        raise UsageError(f"Port {port} cannot be used: {error.strerror}.", "Choose another with --port.") from None


@app.command()
def demo(
    context: typer.Context,
    people: Annotated[int, typer.Option(help="How many people.")] = 2000,
    days: Annotated[int, typer.Option(help="How many days.")] = 90,
    seed: Annotated[int, typer.Option(help="The same seed gives the same people.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder for the raw files and what the file syncs write.")] = Path(
        "data/demo"
    ),
) -> None:
    """Make demo data, run the whole job on it, and deliver to simulated tools."""
    from cdi.demo import run_demo

    run_demo(context.obj.project(), out, people, days, seed, console)


app.command()(why)
app.command()(validate)
app.add_typer(sync)
app.add_typer(identity)
app.add_typer(plan)
app.add_typer(audience)
app.add_typer(quarantine)
app.add_typer(governance)
app.add_typer(predictions)
app.add_typer(privacy)
app.add_typer(pii)


def log_as_json(path: Path) -> None:
    """Append what happens to a file, one JSON object a line, secrets masked."""
    from pythonjsonlogger.json import JsonFormatter

    class MaskedFormatter(JsonFormatter):
        def format(self, record: logging.LogRecord) -> str:
            return mask_secrets(super().format(record))

    try:
        handler = logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}.", "Choose another file for --log-json."
        ) from None
    handler.setFormatter(
        MaskedFormatter(
            "{asctime}{levelname}{name}{message}",
            style="{",
            rename_fields={"asctime": "at", "levelname": "level"},
        )
    )
    logging.getLogger("cdi").addHandler(handler)
    logging.getLogger("cdi").setLevel(logging.INFO)


def main() -> None:
    """Run the command line; a CdiError ends it with one sentence and its exit code, never a traceback."""
    # What the user should read is printed; the log is for --log-json.
    logging.getLogger("cdi").propagate = False
    logging.getLogger("cdi").addHandler(logging.NullHandler())
    try:
        app()
    except CdiError as error:
        errors.print(f"[bold red]Error:[/] {escape(mask_secrets(error.message))}", highlight=False, soft_wrap=True)
        logging.getLogger("cdi").error("failed", extra={"error": error.message, "exit_code": error.exit_code})
        if error.hint:
            errors.print(escape(error.hint), highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        errors.print("Stopped. Running the command again goes on safely.")
        sys.exit(130)


if __name__ == "__main__":
    main()
