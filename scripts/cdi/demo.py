"""The demo: raw files of a made-up shop through the whole job, into simulated tools."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from cdi.demo_data.generate import generate, parse_end
from cdi.demo_data.show import counts_table
from cdi.project import Project
from cdi.run import RunSummary, run
from cdi.show import show_run
from cdi.simulator import Simulator
from cdi.warehouse import connect


def tools_table(state: dict[str, Any]) -> Table:
    """What the simulated tools hold, and how many requests that took."""
    table = Table("tool", "holds", "requests", title="what the tools hold now", box=None, padding=(0, 2))
    for name, tool in state.items():
        held = tool.get("held") or {kind: count for kind, count in tool.items() if kind != "requests"}
        told = ", ".join(f"{count:,} {kind}" for kind, count in held.items() if isinstance(count, int) and count)
        table.add_row(name, told, f"{tool.get('requests', 0):,}")
    return table


def run_demo(
    project: Project, folder: Path, people: int, days: int, seed: int, console: Console
) -> tuple[RunSummary, dict]:
    """Make demo data, land, build, validate and sync it, and show the result and what the tools hold.

    Returns the run's summary and the tools' state. Data that is there from the same call is landed once.
    """
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("Making people", total=people)
        data = generate(people, days, seed, folder, parse_end(None), 2, lambda count: bar.advance(task, count))
    console.print(counts_table(data))
    with Simulator() as simulator:
        simulator.set_environment()
        summary = run(project, [str(folder / "raw")], console=console)
        show_run(console, summary)
        state = simulator.state()
    console.print()
    console.print(tools_table(state))
    console.print(f"Files were written below {project.root / 'output'}.")
    with connect(project) as warehouse:
        rows = warehouse.query(
            "select first_name, last_product_added, cast(cart_value as text) as amount,"
            " cast(last_added_at as text) as added_at from audiences.abandoned_cart"
            " where first_name is not null order by cart_value desc limit 5"
        )
    table = Table(
        "first name",
        "last put into the cart",
        "cart value",
        "at (UTC)",
        title="audiences.abandoned_cart",
        box=None,
    )
    for row in rows:
        table.add_row(*(str(value) for value in row))
    console.print()
    console.print(table)
    console.print()
    console.print("Ask it yourself:  .venv/bin/dbt show --inline \"select * from {{ ref('profiles') }}\" --limit 5")
    return summary, state
