"""What several tests need: messages as they land, put straight into raw tables, and tables read back."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pyarrow as pa
import pytest
import yaml
from dbt.constants import PARTIAL_PARSE_FILE_NAME

from cdi.project import Project, load_project
from cdi.simulator import SimulatedTool, Simulator
from cdi.simulator.webhook import WebhookReceiver
from cdi.sync.state import create_state_tables
from cdi.sync.tools import http
from cdi.warehouse import DuckDBWarehouse, Warehouse, connect, quote

START = datetime(2026, 11, 1, 12, 0, 0)
ROOT = Path(__file__).resolve().parents[2]
# Tests run side by side (pytest -n): each worker's dbt writes to folders of its own.
TARGETS = ROOT / "target" / os.environ.get("PYTEST_XDIST_WORKER", "tests")
_numbers = itertools.count(1)

# dbt's arguments. Of models alone:
UNTESTED = ("--exclude-resource-type", "test", "--exclude-resource-type", "unit_test")
# Of everything but predictions and what reads them: they are learned for seconds in each build, and few tests are about
# them.
BUILD = ("build", *UNTESTED, "--exclude", "path:models/predictions+")
# Of another build of the same models: seeds, and the views below events, stay what they are.
AGAIN = ("--exclude", "resource_type:seed", "path:models/staging", "path:models/events,config.materialized:view")

# Warehouses of a test whose rule DuckDB shows in the same way, while another test builds the same models on PostgreSQL:
# there only `make test-all` runs it.
POSTGRES_LATER = ("duckdb", pytest.param("postgres", marks=pytest.mark.slow))

# Of PostgreSQL databases: all of one length, see conftest.py.
DATABASE_NAME = re.compile(rb"cdi_test_[0-9a-f]{16}")


def message(type_: str = "track", at: datetime = START, **fields: Any) -> dict[str, Any]:
    """A message in Segment's format that happened and was received at `at` (UTC)."""
    stamp = at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {
        "type": type_,
        "messageId": f"m-{next(_numbers):08d}",
        "originalTimestamp": stamp,
        "sentAt": stamp,
        "receivedAt": stamp,
        **fields,
    }


def land_messages(warehouse: Warehouse, messages: Iterable[Mapping[str, Any]], load: int) -> None:
    """Put messages into raw.segment_messages as load number `load` (each a minute after the one before)."""
    lines = [orjson.dumps(record).decode() for record in messages]
    loaded_at = START + timedelta(days=1, minutes=load)
    table = pa.table(
        {
            "message": lines,
            "load_id": [f"load-{load:04d}"] * len(lines),
            "loaded_at": pa.array([loaded_at] * len(lines), pa.timestamp("us")),
            "source_file": ["test.ndjson"] * len(lines),
            "source_line": list(range(1, len(lines) + 1)),
        },
        schema=pa.schema(
            {
                "message": pa.string(),
                "load_id": pa.string(),
                "loaded_at": pa.timestamp("us"),
                "source_file": pa.string(),
                "source_line": pa.int64(),
            }
        ),
    )
    warehouse.append('"raw"."segment_messages"', table.to_reader())


def rows_of(warehouse: Warehouse, table: str, columns: str = "*") -> list[tuple[Any, ...]]:
    """All rows of a table in a stable order, JSON as text; of `*` without the numbers of the runs that made them."""
    if columns == "*":
        schema, name = table.split(".")
        found = warehouse.query(
            "select column_name from information_schema.columns where table_schema = $schema and table_name = $name"
            " order by ordinal_position",
            {"schema": schema, "name": name},
        )
        columns = ", ".join(quote(column) for (column,) in found if column != "revision")
    return sorted(warehouse.query(f"select {columns} from {table}"), key=repr)


def copy_project(root: Path, folder: Path) -> Path:
    """The project in a folder of its own, for tests that change it or write below it."""
    left_out = shutil.ignore_patterns(".git", ".venv", "target", "logs", "data", "output", "*.duckdb*", "__pycache__")
    shutil.copytree(root, folder, ignore=left_out)
    return folder


def project_of_syncs(folder: Path, **syncs: dict[str, Any]) -> Path:
    """A dbt project of an identity_graph and models by these names, each with its meta.sync: dbt parses it in no time.

    What a sync does not say is that of a webhook. Tests make the tables themselves; their column email is personal.
    """
    for name in ("models", "macros"):
        (folder / name).mkdir(parents=True)
    shutil.copy(ROOT / "macros/project/generate_schema_name.sql", folder / "macros")
    (folder / "dbt_project.yml").write_text('name: cdi\nprofile: cdi\nvars:\n  schema_prefix: ""\n')
    webhook = {"tool": "webhook", "key": "profile_id", "url_env": "CDI_TEST_URL"}
    email = {"name": "email", "config": {"meta": {"pii": True}}}
    models = [{"name": "identity_graph", "config": {"schema": "identity"}}]
    for name, given in syncs.items():
        config = {"materialized": "activation", "schema": "activation", "meta": {"sync": {**webhook, **given}}}
        models.append({"name": name, "config": config, "columns": [email]})
    for model in models:
        (folder / "models" / f"{model['name']}.sql").write_text("select 1 as one")
    (folder / "models" / "models.yml").write_text(yaml.safe_dump({"models": models}))
    return folder


def keep_audiences(root: Path, *names: str) -> Path:
    """Take out of a copy of the project what stands above profiles, but for some audiences: it is built sooner.

    None of them may read a prediction or another audience.
    """
    for folder in ("models/predictions", "models/activation", "analyses"):
        shutil.rmtree(root / folder)
    for path in (root / "models/audiences").glob("*.*"):
        if path.stem not in names:
            path.unlink()
    return root


def postgres_url() -> str:
    """A PostgreSQL server that tests may make databases on, from CDI_TEST_POSTGRES."""
    url = os.environ.get("CDI_TEST_POSTGRES")
    if not url:
        pytest.skip("CDI_TEST_POSTGRES is not set: run `make test`, which starts a PostgreSQL server")
    return url


@contextmanager
def new_database() -> Iterator[dict[str, Any]]:
    """A fresh PostgreSQL database that is gone afterwards: its host, port, user, password and dbname."""
    url = postgres_url()
    name = f"cdi_test_{uuid.uuid4().hex[:16]}"
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f'create database "{name}"')
        info = server.info
        database = {
            "host": info.host, "port": info.port, "user": info.user, "password": info.password or "none",
            "dbname": name,
        }  # fmt: skip
    try:
        yield database
    finally:
        with psycopg.connect(url, autocommit=True) as server:
            server.execute(f'drop database if exists "{name}" with (force)')


@contextmanager
def new_project(kind: str, root: Path, folder: Path) -> Iterator[Project]:
    """The dbt project in `root` with an empty warehouse that is gone afterwards; a module's tests may share it.

    Its profiles.yml, and a DuckDB file, lie in `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    output: dict[str, Any] = {"type": kind, "schema": "cdi", "threads": 2}
    with ExitStack() as stack:
        if kind == "duckdb":
            output["path"] = str(folder / "test.duckdb")
        else:
            output |= stack.enter_context(new_database())
        (folder / "profiles.yml").write_text(yaml.safe_dump({"cdi": {"target": kind, "outputs": {kind: output}}}))
        changed = stack.enter_context(pytest.MonkeyPatch.context())
        changed.setenv("DBT_TARGET_PATH", str(_target_path(root, folder, kind)))
        yield load_project(root, folder, kind)


def _target_path(root: Path, folder: Path, kind: str) -> Path:
    """Where dbt keeps what it parsed, for the next test too.

    A copy of the project begins with what was parsed of the project itself, and parses what differs.
    """
    shared = TARGETS / kind
    if root == ROOT:
        return shared
    own = folder / "target"
    own.mkdir()
    if (parsed := shared / PARTIAL_PARSE_FILE_NAME).is_file():
        shutil.copy(parsed, own)
    return own


@contextmanager
def webhook_receiver(secret: str | None = "for-tests-only") -> Iterator[WebhookReceiver]:
    """A receiver of webhooks, alone on a server; its `url` is where to post."""
    receiver = WebhookReceiver(secret)
    with Simulator(tools=[receiver]) as simulator:
        receiver.url = simulator.url_of("webhook")
        yield receiver


@contextmanager
def simulated(monkeypatch: pytest.MonkeyPatch, *tools: SimulatedTool) -> Iterator[None]:
    """Syncs find these tools, and do not wait long before they try again."""
    with Simulator(tools=tools) as simulator:
        for name, value in simulator.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(http, "FIRST_WAIT", 0.001)
        yield


def ask_to_forget(warehouse: Warehouse, *keys: str) -> None:
    """Queue keys of people_sync as `cdi privacy delete` does."""
    warehouse.execute(
        "create table cdi.deletion_requests (batch_id text, sync text, key text, status text, message text,"
        " requested_at timestamp, finished_at timestamp)"
    )
    for key in keys:
        warehouse.execute(
            "insert into cdi.deletion_requests (batch_id, sync, key, status)"
            " values ('b', 'people_sync', $key, 'INITIALIZED')",
            {"key": key},
        )
    for name in ("privacy_requests", "privacy_request_places"):
        warehouse.execute(
            f"create table cdi.{name} (batch_id text, place text, status text, regulation text, finished_at timestamp,"
            " message text)"
        )


@contextmanager
def activation_table(project: Project, columns: str, in_memory: bool = False) -> Iterator[Warehouse]:
    """A warehouse with the tables of syncs and an activation model, as a table that tests fill.

    `in_memory` is for tests of a tool, which no other process looks at: a DuckDB that writes no file is quicker.
    """
    with DuckDBWarehouse(":memory:") if in_memory else connect(project) as warehouse:
        create_state_tables(warehouse)
        warehouse.execute("create schema activation")
        warehouse.execute(f"create table activation.people ({columns})")
        yield warehouse
