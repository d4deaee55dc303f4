"""Warehouses for tests: a DuckDB file or a fresh PostgreSQL database each, gone afterwards."""

from __future__ import annotations

import gc
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from quick_dbt import make_dbt_quick
from support import ROOT, TARGETS, new_database, new_project
from xdist.scheduler import LoadScopeScheduling

from cdi.project import Project

os.environ["DBT_TARGET_PATH"] = str(TARGETS)
os.environ["DBT_LOG_PATH"] = str(ROOT / "logs" / TARGETS.name)
# What dbt writes down about a run, megabytes each time, is read by people.
os.environ["DBT_WRITE_JSON"] = "false"


make_dbt_quick()

settings.register_profile(
    "default",
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    print_blob=True,
)
settings.load_profile("default")


# The files that take longest, the longest first: none of them is what all wait for at the end.
LONGEST = (
    "test_portability", "test_privacy", "test_validation", "test_run", "test_predictions", "test_identity_commands",
    "test_plan", "test_sameness", "test_audiences", "test_memberships", "test_real_shop", "test_identity_graph",
    "test_identity_match", "test_sync", "test_sync_modes", "test_traits", "test_sessions", "test_pii",
)  # fmt: skip
WAREHOUSES = ("duckdb", "postgres", "snowflake", "bigquery", "redshift", "spark")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


def pytest_collection_finish() -> None:
    """Look for garbage less often: dbt makes millions of objects that stay, and looking through them takes long."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


class ByFileAndWarehouse(LoadScopeScheduling):
    """What a file tests on one warehouse stays in one process: its tests share what was built for them.

    `--dist loadgroup` says the same, but xdist 3.8 knows no groups with pytest 9.
    """

    def _split_scope(self, nodeid: str) -> str:
        file, _, test = nodeid.partition("::")
        parameters = test.partition("[")[2]
        return file + next((kind for kind in WAREHOUSES if kind in parameters), "")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFileAndWarehouse:
    config.option.loadscopereorder = False
    return ByFileAndWarehouse(config, log)


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
