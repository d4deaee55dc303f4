"""Personal data: every column that holds some is marked, strangers are found, and analysts see it masked only."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from conftest import ROOT
from support import UNTESTED, new_project

from cdi.dbt import run_dbt
from cdi.demo_data.generate import generate
from cdi.errors import UsageError
from cdi.landing import land
from cdi.pii import mask, refresh_masks, scan
from cdi.privacy.retention import retain
from cdi.project import Project
from cdi.run import sources_of
from cdi.warehouse import connect

END = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    """A small shop's raw files."""
    folder = tmp_path_factory.mktemp("demo") / "data"
    generate(150, 20, 7, folder, END, 1)
    return folder / "raw"


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def project(request, tmp_path_factory, demo: Path) -> Iterator[Project]:
    """The project, built on the demo's data."""
    folder = tmp_path_factory.mktemp("pii")
    with new_project(request.param, ROOT, folder) as made:
        for source, path in sources_of(ROOT, [str(demo)]):
            land(made, source, [path])
        # Every model there is: none may hold personal data that is not marked.
        assert run_dbt(made, ["build", *UNTESTED]).success
        yield made


def test_every_column_with_personal_data_is_marked(project: Project):
    assert [f"{item.schema}.{item.table}.{item.column}: {item.kind}" for item in scan(project)] == []


def test_strangers_are_found(project: Project):
    rows = [
        # What is in `chance` are order numbers: some have the check digit of a card, as one in ten has.
        ("mail Jane.Doe+x@Example.co.uk today", "+43 660 123 45 67", "4111 1111 1111 1111", "4000000000000000",
         '{"deep": [{"ip": "10.0.0.255"}]}', "1.2.3"),
        ("nothing", "0043 660 1234567", "5500-0000-0000-0004", "4000000000000001", "{}", "2026-11-01T10:00:00+01:00"),
        ("jane at example", "12345", "378282246310005", "4000000000000003", "{}", "20261101100000000000"),
        (None, None, None, "4000000000000004", None, "p@ss 99.999.9.9"),
    ]  # fmt: skip
    with connect(project) as warehouse:
        kind = {"duckdb": "json", "postgres": "jsonb"}[warehouse.dialect]
        warehouse.execute("create schema strangers")
        warehouse.execute(
            f"create table strangers.notes (remark text, calls text, paid text, chance text, details {kind},"
            " harmless text, birthday text, amount numeric)"
        )
        for row in rows:
            names = dict(zip(("a", "b", "c", "d", "e", "f"), row, strict=True))
            warehouse.execute("insert into strangers.notes values ($a, $b, $c, $d, $e, $f, '1970-01-01', 1)", names)
    try:
        found = {(item.table, item.column, item.kind): item.count for item in scan(project)}
    finally:
        with connect(project) as warehouse:
            warehouse.execute("drop schema strangers cascade")
    assert found == {
        ("notes", "remark", "email"): 1, ("notes", "calls", "phone"): 2, ("notes", "paid", "card"): 3,
        ("notes", "details", "ip"): 1, ("notes", "birthday", "name"): 4,
    }  # fmt: skip


def test_analysts_see_it_masked_only(project: Project):
    if project.dialect == "duckdb":
        assert mask(project).views > 20
        with pytest.raises(UsageError, match="DuckDB has no roles"):
            mask(project, "analyst")
        with connect(project) as warehouse:
            check_masks(warehouse.query, warehouse)
        return
    role, password = f"analyst_{secrets.token_hex(4)}", secrets.token_hex(8)
    with connect(project) as warehouse:
        warehouse.execute(f"create role {role} login password '{password}'")
        warehouse.execute(f"grant usage on schema profiles to {role}")
        warehouse.execute(f"grant select on profiles.profiles to {role}")
    try:
        mask(project, role)
        mask(project, role)
        check_as_analyst(project, role, password)
        # PostgreSQL drops the views of a table that is built anew; `cdi run` makes them again.
        result = run_dbt(project, ["run", "--select", "profiles"])
        assert result.success
        with connect(project) as warehouse:
            assert not warehouse.relation_exists("masked", "profiles")
        refresh_masks(project, result.manifest)
        check_as_analyst(project, role, password)
        # Whoever is somebody else too may see what the other may.
        with connect(project) as warehouse:
            warehouse.execute(f'grant "{project.credentials.user}" to {role}')
        with pytest.raises(UsageError, match=r"can read .* tables that are not masked"):
            mask(project, role)
    finally:
        with connect(project) as warehouse:
            warehouse.execute(f"drop owned by {role}")
            warehouse.execute(f"drop role {role}")


def check_as_analyst(project: Project, role: str, password: str) -> None:
    credentials = project.credentials
    with (
        connect(project) as owner,
        psycopg.connect(
            host=credentials.host, port=credentials.port, dbname=credentials.database, user=role, password=password,
            autocommit=True,
        ) as analyst,
    ):  # fmt: skip
        check_masks(lambda sql: analyst.execute(sql).fetchall(), owner)
        tables = owner.query(
            "select table_schema, table_name from information_schema.tables"
            " where table_schema not in ('information_schema', 'pg_catalog', 'masked')"
        )
        assert len(tables) > 40
        for schema, table in tables:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                analyst.execute(f'select 1 from "{schema}"."{table}" limit 1')


def check_masks(query, owner) -> None:
    """What is masked is, what is not is there, and what was equal is equal."""
    people = "select {} from {}.profiles where email is not null order by 1, 2"
    masked = query(people.format("substr(email, 2, 3), phone", "masked"))
    assert masked
    assert all(part == "***" and (phone is None or len(phone) <= 6) for part, phone in masked)
    assert sorted(query("select count_orders, city from masked.profiles"), key=repr) == sorted(
        owner.query("select count_orders, city from profiles.profiles"), key=repr
    )
    joined = "select count(*) from {0}.abandoned_cart as a join {0}.profiles as p on a.profile_id = p.profile_id"
    real = (
        "select count(*) from audiences.abandoned_cart as a join profiles.profiles as p on a.profile_id = p.profile_id"
    )
    assert query(joined.format("masked")) == owner.query(real)
    seen = query("select identifier from masked.identity_graph") + query("select profile_id from masked.profiles")
    plain = owner.query("select identifier from identity.identity_graph union select profile_id from profiles.profiles")
    assert not {row[0] for row in seen} & {row[0] for row in plain}
    assert query("select count(properties) + count(context) from masked.events") == [(0,)]


def test_old_raw_rows_go_and_profiles_stay(project: Project):
    with connect(project) as warehouse:
        before = sorted(warehouse.query("select profile_id, count_events from profiles.profiles"))
        # All of it landed just now: half of it is made to look old.
        warehouse.execute(
            "update raw.segment_messages set loaded_at = timestamp '2020-01-01' where source_line % 2 = 0"
        )
        rows = warehouse.query("select count(*) from raw.segment_messages where loaded_at > timestamp '2021-01-01'")
    dry = retain(project, 30, dry_run=True)
    assert dry["raw.segment_messages"] > 0
    assert retain(project, 30) == dry
    assert sum(retain(project, 30).values()) == 0
    with connect(project) as warehouse:
        assert warehouse.query("select count(*) from raw.segment_messages") == rows
    profiles = ["identifier_sets", "identity_graph", "identifier_activity", "profile_activity", "profiles"]
    assert run_dbt(project, ["run", "--select", "events", *profiles]).success
    with connect(project) as warehouse:
        assert sorted(warehouse.query("select profile_id, count_events from profiles.profiles")) == before
    result = run_dbt(project, ["run", "--full-refresh", "--select", "checked_events"])
    assert any("cannot be built from its beginning" in node.message for node in result.nodes)
    assert run_dbt(project, ["run", "--full-refresh", "--select", *profiles]).success
    with connect(project) as warehouse:
        assert sorted(warehouse.query("select profile_id, count_events from profiles.profiles")) == before
