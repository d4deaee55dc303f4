"""Syncs at size: a first sync beside a bare loop of posts and drt-core, a sync with nothing to do, and a difference.

python scripts/bench_sync.py [--rows 1000000] [--compared 10000000] [--drt-rows 1000000]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import httpx

from cdi.simulator import Simulator
from cdi.simulator.webhook import WebhookReceiver
from cdi.sync.declared import DeclaredSync
from cdi.sync.deliver import run_sync
from cdi.sync.state import create_state_tables
from cdi.sync.tools.json_values import to_json
from cdi.warehouse import DuckDBWarehouse, Warehouse

FIELDS = ("profile_id", "email", "first_name", "orders", "revenue", "seen_at")


def serve(ports: multiprocessing.Queue) -> None:
    """A tool in a process of its own, as tools are."""
    with Simulator(tools=[WebhookReceiver(None)]) as simulator:
        ports.put(simulator.url_of("webhook"))
        simulator.wait()


def open_warehouse(folder: Path, rows: int, memory: str) -> Warehouse:
    """A warehouse with an activation model of `rows` people."""
    warehouse = DuckDBWarehouse(str(folder / f"bench{rows}.duckdb"), settings={"threads": 2, "memory_limit": memory})
    create_state_tables(warehouse)
    warehouse.execute("create schema activation")
    warehouse.execute(
        "create table activation.people as select md5(cast(n as text)) as profile_id,"
        " 'person' || n || '@example.com' as email, 'First' || n % 1000 as first_name,"
        " cast(n % 40 as integer) as orders,"
        " cast(n % 50000 / 7 as numeric(18, 2)) as revenue,"
        f" timestamp '2026-01-01' + to_seconds(n % 8000000) as seen_at from range({rows}) as t(n)"
    )
    return warehouse


def timed(name: str, work: object) -> float:
    """Seconds of a call, printed."""
    started = time.monotonic()
    work()  # type: ignore[operator]
    seconds = time.monotonic() - started
    print(f"{name:<58}{seconds:8.2f} s", flush=True)
    return seconds


def main() -> None:
    """Run all and print the numbers."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=1_000_000)
    arguments.add_argument("--compared", type=int, default=10_000_000)
    arguments.add_argument("--drt-rows", type=int, default=1_000_000, help="0 leaves drt-core out")
    options = arguments.parse_args()
    ports: multiprocessing.Queue = multiprocessing.Queue()
    tool = multiprocessing.Process(target=serve, args=(ports,), daemon=True)
    tool.start()
    os.environ["CDI_BENCH_URL"] = ports.get()
    declared = DeclaredSync(
        "people_sync", "activation", "people", "people.yml", "webhook", "profile_id", {"url_env": "CDI_BENCH_URL"}
    )
    project = SimpleNamespace(root=Path())
    with tempfile.TemporaryDirectory() as folder:
        with open_warehouse(Path(folder), options.rows, "210MB") as warehouse:
            print(f"{options.rows:,} rows, 500 a request")
            first = timed("first sync", lambda: run_sync(project, warehouse, declared))
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"{'peak memory of the sync':<58}{peak:8.0f} MB")
            timed("sync with nothing to do", lambda: run_sync(project, warehouse, declared))
            # Bodies as they left, made before the clock starts; the loop posts them and does nothing else.
            bodies = []
            for start in range(0, options.rows, 500):
                rows = warehouse.fetch(f"select {', '.join(FIELDS)} from activation.people limit 500 offset {start}")
                message = {"sync": "bare", "operation": "upsert", "key": "profile_id",
                           "rows": [row for batch in rows for row in batch.to_pylist()]}  # fmt: skip
                bodies.append(to_json(message))
        with httpx.Client() as client:

            def post() -> None:
                for body in bodies:
                    client.post(os.environ["CDI_BENCH_URL"], content=body).raise_for_status()

            bare = timed("bare loop of the same posts", post)
        print(f"{'first sync / bare loop (wanted: 2)':<58}{first / bare:8.2f}")
        if options.drt_rows:
            (Path(folder) / "drt").mkdir()
            seconds = bench_drt(Path(folder), options.drt_rows)
            each = seconds / options.drt_rows
            print(f"{f'drt-core, {options.drt_rows:,} rows, less its start-up':<58}{seconds:8.2f} s")
            print(f"{'drt-core / first sync, a row':<58}{each / (first / options.rows):8.2f}")
        if options.compared:
            with open_warehouse(Path(folder), options.compared, "6GB") as warehouse:
                print(f"{options.compared:,} rows, 1% changed")
                pretend_delivered(warehouse, declared)
                timed("difference (wanted: 15 s)", lambda: run_sync(project, warehouse, declared, dry_run=True))
    tool.terminate()


DRT_PROFILE = """default: {{type: duckdb, database: {database}}}"""
DRT_SYNC = """
name: people_sync
model: "SELECT * FROM activation.people"
destination:
  type: rest_api
  url: "{url}"
  method: POST
  body_mode: batch
  max_records_per_request: 500
  headers: {{content-type: application/json, idempotency-key: ""}}
  batch_template: '{{"sync": "drt", "operation": "upsert", "key": "profile_id", "rows": {{{{ rows | tojson }}}}}}'
sync:
  mode: full
  batch_size: 500
  rate_limit: {{requests_per_second: 0}}
"""


def bench_drt(folder: Path, rows: int) -> float:
    """Seconds that drt-core takes for the same posts, less its start-up; it is installed into `folder`."""
    with open_warehouse(folder / "drt", rows, "1GB") as warehouse:
        # drt's JSON takes neither decimals nor timestamps.
        warehouse.execute(
            "create or replace table activation.people as select * replace"
            " (cast(revenue as double) as revenue, cast(seen_at as text) as seen_at) from activation.people"
        )
    project, home = folder / "drt" / "project", folder / "drt" / "home"
    (project / "syncs").mkdir(parents=True)
    (home / ".drt").mkdir(parents=True)
    (project / "drt_project.yml").write_text("name: bench\nprofile: default\n")
    (project / "syncs" / "people.yml").write_text(DRT_SYNC.format(url=os.environ["CDI_BENCH_URL"]))
    database = folder / "drt" / f"bench{rows}.duckdb"
    (home / ".drt" / "profiles.yml").write_text(DRT_PROFILE.format(database=database))
    subprocess.run([sys.executable, "-m", "venv", folder / "drt" / "venv"], check=True)
    programs = folder / "drt" / "venv" / "bin"
    subprocess.run([programs / "pip", "install", "--quiet", "drt-core[duckdb]"], check=True, stderr=subprocess.DEVNULL)

    def drt(*arguments: str) -> float:
        started = time.monotonic()
        environment = os.environ | {"HOME": str(home), "DRT_TELEMETRY": "0", "DO_NOT_TRACK": "1"}
        done = subprocess.run(
            [programs / "drt", *arguments], cwd=project, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        return time.monotonic() - started

    start_up = min(drt("list") for _ in range(2))
    seconds = drt("run") - start_up
    state = httpx.get(os.environ["CDI_BENCH_URL"].replace("/webhook", "/state")).json()
    if state["webhook"]["held"].get("drt") != rows:
        raise SystemExit(f"drt-core did not deliver {rows:,} rows: {state}")
    return seconds


def pretend_delivered(warehouse: Warehouse, declared: DeclaredSync) -> None:
    """The state as after a sync of all rows, of which 1% change afterwards."""
    from cdi.sync.state import State

    state = State(warehouse, declared, "before")
    state.plan()
    warehouse.execute("update cdi.sync_state set number = null, delivered_at = timestamp '2026-01-01'")
    warehouse.execute("update activation.people set orders = orders + 1 where orders % 40 = 3 and revenue < 2860")


if __name__ == "__main__":
    main()
