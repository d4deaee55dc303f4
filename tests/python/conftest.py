"""Warehouses for tests: a DuckDB file or a fresh PostgreSQL database each, gone afterwards."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from hypothesis import HealthCheck, settings
from support import ROOT, TARGETS, new_database, new_project

from cdi.project import Project

os.environ["DBT_TARGET_PATH"] = str(TARGETS)
os.environ["DBT_LOG_PATH"] = str(ROOT / "logs" / TARGETS.name)
# What dbt writes down about a run, megabytes each time, is read by people.
os.environ["DBT_WRITE_JSON"] = "false"

# dbt parses the whole project anew for a profile that it has not seen, though nothing parsed knows where a file lies.
_connection_keys = DuckDBCredentials._connection_keys
DuckDBCredentials._connection_keys = lambda self: tuple(key for key in _connection_keys(self) if key != "path")

settings.register_profile(
    "default",
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    print_blob=True,
)
settings.load_profile("default")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What a file tests on one warehouse stays together (--dist loadgroup): its tests share what was built for them."""
    for item in items:
        parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
        kind = next((value for value in parameters if value in ("duckdb", "postgres")), "both")
        item.add_marker(pytest.mark.xdist_group(f"{item.path.stem} {kind}"))


@pytest.fixture
def postgres_database() -> Iterator[dict]:
    """A fresh PostgreSQL database: its host, port, user, password and dbname."""
    with new_database() as database:
        yield database


@pytest.fixture(params=["duckdb", "postgres"])
def warehouse_kind(request: pytest.FixtureRequest) -> str:
    """Runs a test on both warehouses."""
    return request.param


@pytest.fixture
def project_factory(warehouse_kind: str, tmp_path: Path) -> Iterator[Callable[..., Project]]:
    """Makes projects: this dbt project, or a copy of it, with an empty warehouse of its own each."""
    with ExitStack() as stack:
        yield lambda root=ROOT: stack.enter_context(new_project(warehouse_kind, root, tmp_path / uuid.uuid4().hex[:8]))


@pytest.fixture
def project(project_factory: Callable[[], Project]) -> Project:
    """This dbt project with an empty warehouse."""
    return project_factory()
