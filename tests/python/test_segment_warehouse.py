"""The warehouse layout of Segment and RudderStack is found by looking at the schema."""

from __future__ import annotations

import pytest

from cdi.dbt import run_dbt
from cdi.warehouse import connect

BUILD = ["build", "--select", "+events", "--exclude-resource-type", "test", "--exclude-resource-type", "unit_test"]
VARIABLES = {"segment_warehouse_schemas": ["website"]}
SHARED = "id text, anonymous_id text, user_id text, received_at timestamp, uuid_ts timestamp, context_page_url text"


@pytest.fixture
def website(project):
    """A schema as Segment's warehouse connector writes it: tracks, one table per event, identifies, pages."""
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
    return project


def test_calls_become_events_and_profiles(website):
    assert run_dbt(website, ["build", "--exclude-resource-type", "test"], VARIABLES).success
    with connect(website) as warehouse:
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


def test_a_row_that_its_loader_commits_late_is_picked_up(website):
    assert run_dbt(
        website,
        BUILD,
        VARIABLES,
    ).success
    with connect(website) as warehouse:
        warehouse.execute(
            "insert into website.pages values ('late', 'd3', null, timestamp '2026-11-01 09:00:00',"
            " timestamp '2026-11-01 09:05:00', 'https://x/', 'Home', null, null)"
        )
    assert run_dbt(
        website,
        BUILD,
        VARIABLES,
    ).success
    with connect(website) as warehouse:
        late = warehouse.query(
            "select count(*), max(loaded_at) > timestamp '2026-11-01 10:05:00' from events.events"
            " where event_id = 'late'"
        )
        assert late == [(1, True)]
        assert warehouse.query("select count(*) from events.events") == [(5,)]


def test_a_schema_in_another_layout_is_refused_by_name(website):
    from cdi.errors import CdiError

    try:
        result = run_dbt(
            website,
            ["run", "--select", "stg_segment_warehouse__calls"],
            {"segment_warehouse_schemas": ["events"]},
        )
        message = " ".join(node.message for node in result.nodes)
    except CdiError as error:
        message = str(error)
    assert "Schema events of var segment_warehouse_schemas has no table tracks" in message
