"""The command `cdi`: each command is a thin function over one that tests can call."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cdi.errors import CdiError, mask_secrets
from cdi.project import Project, load_project

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
        Path | None, typer.Option(help="Folder of dbt_project.yml [default: this one or above].")
    ] = None,
    profiles_dir: Annotated[
        Path | None, typer.Option(help="Folder of profiles.yml [default: the project's, then ~/.dbt].")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", "-t", help="Target of profiles.yml [default: the profile's own].")
    ] = None,
) -> None:
    """Options that every command takes."""
    context.obj = Options(project_dir, profiles_dir, target)


@app.command()
def land(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="System, or system.table, as in models/staging.")],
    files: Annotated[list[str], typer.Argument(help="Files, folders or globs: NDJSON, JSON, CSV, Parquet, gzipped or not.")],
) -> None:
    """Load files into the raw tables of the warehouse."""
    from cdi.landing import land as land_files
    from cdi.show import show_landing

    result = land_files(context.obj.project(), source, files, console)
    show_landing(console, result)
    if result.unreadable:
        raise CdiError(
            "; ".join(item.problem for item in result.unreadable),
            "The other files landed. Mend these and land them again: what has landed is skipped.",
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


def main() -> None:
    """Run the command line; a CdiError ends it with one sentence and its exit code, never a traceback."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        app()
    except CdiError as error:
        errors.print(f"[bold red]Error:[/] {mask_secrets(error.message)}", highlight=False, soft_wrap=True)
        if error.hint:
            errors.print(error.hint, highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        errors.print("Stopped. Running the command again goes on safely.")
        sys.exit(130)


if __name__ == "__main__":
    main()
