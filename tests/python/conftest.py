"""Warehouses for tests: a DuckDB file or a fresh PostgreSQL database each, gone afterwards."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import yaml
from hypothesis import HealthCheck, settings

from cdi.project import Project, load_project

ROOT = Path(__file__).resolve().parents[2]

# Tests run side by side (pytest -n): each worker's dbt writes to folders of its own.
if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    os.environ["DBT_TARGET_PATH"] = str(ROOT / "target" / worker)
    os.environ["DBT_LOG_PATH"] = str(ROOT / "logs" / worker)

settings.register_profile(
    "default",
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    print_blob=True,
)
settings.load_profile("default")


@pytest.fixture(scope="session")
def postgres_url() -> str:
    """A PostgreSQL server that tests may make databases on, from CDI_TEST_POSTGRES."""
    url = os.environ.get("CDI_TEST_POSTGRES")
    if not url:
        pytest.skip("CDI_TEST_POSTGRES is not set: run `make test`, which starts a PostgreSQL server")
    return url


@pytest.fixture
def new_postgres_database(postgres_url: str) -> Iterator[Callable[[], dict]]:
    """Makes fresh databases; each is a dict of host, port, user, password and dbname."""
    made: list[str] = []

    def make() -> dict:
        name = f"cdi_test_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(f'create database "{name}"')
            info = connection.info
            made.append(name)
            return {
                "host": info.host,
                "port": info.port,
                "user": info.user,
                "password": info.password or "none",
                "dbname": name,
            }

    yield make
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for name in made:
            connection.execute(f'drop database if exists "{name}" with (force)')


@pytest.fixture
def postgres_database(new_postgres_database: Callable[[], dict]) -> dict:
    """One fresh PostgreSQL database."""
    return new_postgres_database()


@pytest.fixture(params=["duckdb", "postgres"])
def warehouse_kind(request: pytest.FixtureRequest) -> str:
    """Runs a test on both warehouses."""
    return request.param


@pytest.fixture
def project_factory(warehouse_kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[], Project]:
    """Makes projects: this dbt project with an empty warehouse of its own each."""

    def make() -> Project:
        folder = tmp_path / uuid.uuid4().hex[:8]
        folder.mkdir()
        if warehouse_kind == "duckdb":
            output = {"type": "duckdb", "path": str(folder / "test.duckdb"), "schema": "cdi", "threads": 2}
        else:
            database = request.getfixturevalue("new_postgres_database")()
            output = {"type": "postgres", "schema": "cdi", "threads": 2, **database}
        profiles = {"cdi": {"target": warehouse_kind, "outputs": {warehouse_kind: output}}}
        (folder / "profiles.yml").write_text(yaml.safe_dump(profiles))
        return load_project(ROOT, folder, warehouse_kind)

    return make


@pytest.fixture
def project(project_factory: Callable[[], Project]) -> Project:
    """This dbt project with an empty warehouse."""
    return project_factory()
