"""The warehouse layout of Segment and RudderStack is found by looking at the schema."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from conftest import ROOT
from support import AGAIN, UNTESTED, new_project

from cdi.dbt import load_manifest, run_dbt
from cdi.errors import CdiError
from cdi.project import Project
from cdi.warehouse import connect

VARIABLES = {"segment_warehouse_schemas": ["website"]}
SHARED = "id text, anonymous_id text, user_id text, received_at timestamp, uuid_ts timestamp, context_page_url text"


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def website(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Website]:
    """A schema as Segment's warehouse connector writes it: tracks, one table per event, identifies, pages."""
    with new_project(request.param, ROOT, tmp_path_factory.mktemp("website")) as project:
        fill(project)
        made = Website(project, load_manifest(project))
        made.dbt("build", "--select", "+profiles", "+accounts", *UNTESTED)
        yield made


@dataclass
class Website:
    """A warehouse with the schema in it, and everything up to profiles and accounts built."""

    project: Project
    manifest: Any

    def dbt(self, *arguments: str) -> None:
        result = run_dbt(self.project, arguments, VARIABLES, self.manifest)
        assert result.success, [node for node in result.nodes if node.failed]


def fill(project: Project) -> None:
    with connect(project) as warehouse:
        warehouse.execute("create schema website")
        for table, columns in {
            "tracks": f"{SHARED}, event text, event_text text",
            "order_completed": f"{SHARED}, event text, event_text text, order_id text,"
            " revenue numeric(10, 2), products text",
            "identifies": f"{SHARED}, email text, first_name text, context_traits_email text",
            "pages": f"{SHARED}, name text, title text, context_group_id text",
            "unrelated": "a text",
        }.items():
            warehouse.execute(f"create table website.{table} ({columns})")
        at = "timestamp '2026-11-01 10:00:00', timestamp '2026-11-01 10:05:00', 'https://x/'"
        for event_id, event in (("t1", "Order Completed"), ("t2", "Coupon Entered")):
            table_name = event.lower().replace(" ", "_")
            warehouse.execute(
                f"insert into website.tracks values ('{event_id}', 'd1', 'u1', {at}, '{table_name}', '{event}')"
            )
        warehouse.execute(
            f"insert into website.order_completed values ('t1', 'd1', 'u1', {at}, 'order_completed', 'Order Completed',"
            ' \'o1\', 40.50, \'[{"name": "Boot", "category": "Shoes", "quantity": 2, "price": 20.25}]\')'
        )
        warehouse.execute(
            f"insert into website.identifies values ('i1', 'd1', 'u1', {at}, 'jane@example.com', 'Jane', null)"
        )
        warehouse.execute(f"insert into website.pages values ('p1', 'd2', null, {at}, 'Home', 'Welcome', 'acme')")


def test_calls_become_events_and_profiles(website: Website):
    with connect(website.project) as warehouse:
        events = warehouse.query("select event_id, type, event, channel from events.events order by event_id")
        assert events == [
            ("i1", "identify", None, "web"),
            ("p1", "page", "Home", "web"),
            ("t1", "track", "Order Completed", "web"),
            ("t2", "track", "Coupon Entered", "web"),
        ]
        assert warehouse.query("select account_id, count_members from profiles.accounts") == [("acme", 1)]
        profile = (
            "select email, first_name, cast(revenue as text), favourite_category from profiles.profiles where is_known"
        )
        assert warehouse.query(profile) == [("jane@example.com", "Jane", "40.50", "Shoes")]


def test_a_row_that_its_loader_commits_late_is_picked_up(website: Website):
    with connect(website.project) as warehouse:
        warehouse.execute(
            "insert into website.pages values ('late', 'd3', null, timestamp '2026-11-01 09:00:00',"
            " timestamp '2026-11-01 09:05:00', 'https://x/', 'Home', null, null)"
        )
    website.dbt("build", "--select", "+events", *UNTESTED, *AGAIN)
    with connect(website.project) as warehouse:
        late = warehouse.query(
            "select count(*), max(loaded_at) > timestamp '2026-11-01 10:05:00' from events.events"
            " where event_id = 'late'"
        )
        assert late == [(1, True)]
        assert warehouse.query("select count(*) from events.events") == [(5,)]


def test_a_schema_in_another_layout_is_refused_by_name(website: Website):
    try:
        result = run_dbt(
            website.project,
            ["run", "--select", "stg_segment_warehouse__calls"],
            {"segment_warehouse_schemas": ["events"]},
            website.manifest,
        )
        message = " ".join(node.message for node in result.nodes)
    except CdiError as error:
        message = str(error)
    assert "Schema events of var segment_warehouse_schemas has no table tracks" in message
