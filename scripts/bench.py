"""Time and memory of the main job, as ratios to plain copies of the same rows made beside it: `make bench`.

The machine is small and noisy: read the ratios, not the seconds. Nothing here is asserted.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table

from cdi.demo_data.generate import generate, parse_end
from cdi.landing import land
from cdi.project import Project, load_project
from cdi.warehouse import connect

ROOT = Path(__file__).resolve().parents[1]
DAYS = 90
EVENTS_PER_PERSON = 49
"""Messages that demo data has per person in 90 days, about."""

console = Console()


@dataclass
class Build:
    """One run of dbt in a process of its own."""

    seconds: float
    peak_gigabytes: float
    slowest: list[tuple[str, float]]


def build(project: Project, *arguments: str, command: str = "build") -> Build:
    """Run a command of dbt and read from its artifacts where the time went."""
    script = (
        # Not getrusage: what it calls the peak starts with that of the process which started this one.
        "import re, sys; from dbt.cli.main import dbtRunner; answer = dbtRunner().invoke(sys.argv[1:]);"
        "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]); sys.exit(not answer.success)"
    )
    target_path = project.profiles_dir / "target"
    started = time.monotonic()
    answer = subprocess.run(
        [
            sys.executable, "-c", script, "--log-level", "error", command, "--project-dir", str(ROOT),
            "--profiles-dir", str(project.profiles_dir), "--target", project.target, "--target-path", str(target_path),
            *arguments,
        ],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    seconds = time.monotonic() - started
    if answer.returncode:
        console.print(answer.stdout[-4000:], answer.stderr[-2000:])
        raise SystemExit(f"dbt {command} failed")
    results = json.loads((target_path / "run_results.json").read_text())["results"]
    times = [(item["unique_id"].split(".", 2)[2], item["execution_time"]) for item in results]
    times.sort(key=lambda pair: -pair[1])
    return Build(seconds, int(answer.stdout.split()[-1]) / 1024**2, times[:8])


def validate(project: Project) -> float:
    """Seconds that all gates take in a process of their own."""
    started = time.monotonic()
    answer = subprocess.run(
        [
            sys.executable, "-m", "cdi.cli", "--project-dir", str(ROOT), "--profiles-dir", str(project.profiles_dir),
            "--target", project.target, "validate",
        ],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    seconds = time.monotonic() - started
    if answer.returncode not in (0, 3):
        console.print(answer.stdout[-4000:], answer.stderr[-2000:])
        raise SystemExit("cdi validate failed")
    console.print(answer.stdout)
    return seconds


def make_project(folder: Path, target: str, memory: str = "5GB") -> Project:
    """The project with an empty warehouse below `folder`, and the memory that DuckDB may take."""
    folder.mkdir(parents=True, exist_ok=True)
    output: dict = {"type": target, "schema": "cdi", "threads": 2}
    if target == "duckdb":
        # What a run that failed left behind would not be built again, and so not be measured.
        for name in ("bench.duckdb", "bench.duckdb.wal"):
            (folder / name).unlink(missing_ok=True)
        settings = {"memory_limit": memory, "preserve_insertion_order": "false", "checkpoint_threshold": "256MB"}
        output |= {"path": str(folder / "bench.duckdb"), "settings": settings}
    else:
        import psycopg

        url = os.environ["CDI_TEST_POSTGRES"]
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("drop database if exists cdi_bench with (force)")
            connection.execute("create database cdi_bench")
            info = connection.info
            output |= {"host": info.host, "port": info.port, "user": info.user, "password": info.password or "none"}
        output["dbname"] = "cdi_bench"
    (folder / "profiles.yml").write_text(yaml.safe_dump({"cdi": {"target": target, "outputs": {target: output}}}))
    return load_project(ROOT, folder, target)


def timed(function, *arguments) -> float:
    """Seconds that a call took."""
    started = time.monotonic()
    function(*arguments)
    return time.monotonic() - started


def run(target: str, events: int, folder: Path, keep: bool) -> None:
    """Measure one target at one size and print the table."""
    data = folder / f"data-{events}"
    if not (data / "raw").exists():
        people = max(1, events // EVENTS_PER_PERSON)
        seconds = timed(generate, people, DAYS, 1, data, parse_end("2026-11-20"), 2)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        console.print(f"demo data: {people:,} people in {seconds:.0f} s, peak {peak:.0f} MB per process")
    shutil.rmtree(folder / target, ignore_errors=True)
    project = make_project(folder / target, target)
    start_up = build(project)
    files = sorted((data / "raw" / "segment").iterdir())
    last_day = [file for file in files if file.name.startswith(files[-1].name[:19])]
    others = [path for path in sorted((data / "raw").iterdir()) if path.name != "segment"]
    landing = timed(land, project, "segment", [file for file in files if file not in last_day])
    for path in others:
        landing += timed(land, project, path.name, [path])
    with connect(project) as warehouse:
        rows = warehouse.query("select count(*) from raw.segment_messages")[0][0]
        copy = timed(warehouse.execute, "create table raw.copy as select * from raw.segment_messages")
        warehouse.execute("drop table raw.copy")
    full = build(project, "--full-refresh")
    gates = validate(project)
    land(project, "segment", last_day)
    with connect(project) as warehouse:
        new = warehouse.query("select count(*) from raw.segment_messages")[0][0] - rows
    incremental = build(project)
    budget = 0.08 * full.seconds + start_up.seconds

    table = Table(title=f"{target}, {rows:,} raw messages, 2 threads", box=None, title_justify="left")
    for column in ("", "seconds", "beside", "ratio", "wanted"):
        table.add_column(column, justify="left" if not column else "right")
    table.add_row("create table as select * of the raw messages", f"{copy:.1f}", "", "", "")
    table.add_row("landing", f"{landing:.1f}", "the copy", f"{landing / copy:.1f}", "")
    ratio = full.seconds / copy
    table.add_row("full dbt build, tests included", f"{full.seconds:.1f}", "the copy", f"{ratio:.1f}", "10")
    table.add_row(
        "all gates, start-up and Data Docs included",
        f"{gates:.1f}",
        "the full build",
        f"{gates / full.seconds:.2f}",
        "0.2",
    )
    table.add_row("dbt build without any row", f"{start_up.seconds:.1f}", "", "", "")
    table.add_row(
        f"dbt build with {new:,} new messages ({new / rows:.1%})", f"{incremental.seconds:.1f}",
        f"8% of full + start-up = {budget:.1f}", f"{incremental.seconds / budget:.2f}", "1",
    )  # fmt: skip
    table.add_row("peak memory of the full build", f"{full.peak_gigabytes:.1f} GB", "", "", "8 GB")
    console.print(table)
    for name, result in (("full", full), ("incremental", incremental)):
        slowest = ", ".join(f"{node} {seconds:.1f}" for node, seconds in result.slowest)
        console.print(f"slowest of the {name} build: {slowest}")
    if not keep:
        shutil.rmtree(folder / target, ignore_errors=True)


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000_000, help="messages on DuckDB")
    parser.add_argument("--postgres-events", type=int, default=1_000_000, help="messages on PostgreSQL; 0 for none")
    parser.add_argument("--folder", type=Path, default=Path(os.environ.get("TMPDIR", "/tmp")) / "cdi-bench")
    parser.add_argument("--keep", action="store_true", help="leave the warehouse there")
    options = parser.parse_args()
    if options.events:
        run("duckdb", options.events, options.folder, options.keep)
    if options.postgres_events:
        if "CDI_TEST_POSTGRES" in os.environ:
            run("postgres", options.postgres_events, options.folder, options.keep)
        else:
            console.print("PostgreSQL left out: CDI_TEST_POSTGRES is not set (see scripts/postgres.sh).")


if __name__ == "__main__":
    main()
