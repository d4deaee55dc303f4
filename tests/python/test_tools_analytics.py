"""Mixpanel, Amplitude, Google Analytics 4 and Optimizely hold what the models hold, whatever they say on the way."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa
import pytest
from support import activation_table, ask_to_forget, simulated

from cdi.errors import UsageError
from cdi.simulator.amplitude import Amplitude
from cdi.simulator.ga4 import MEASUREMENT_ID, PROPERTY, Ga4
from cdi.simulator.mixpanel import Mixpanel
from cdi.simulator.optimizely import Optimizely
from cdi.sync.declared import DeclaredSync, Field
from cdi.sync.deliver import run_sync
from cdi.sync.tools import amplitude as amplitude_module

NOW = datetime.now(UTC).replace(tzinfo=None, microsecond=123_000)


@pytest.fixture
def tools(monkeypatch):
    held = {kind.name: kind() for kind in (Amplitude, Ga4, Mixpanel, Optimizely)}
    with simulated(monkeypatch, *held.values()):
        monkeypatch.setattr(amplitude_module, "THROTTLED", 0.001)
        yield held


@pytest.fixture
def warehouse_kind() -> str:
    """What differs between warehouses is tested in test_sync."""
    return "duckdb"


@pytest.fixture
def warehouse(project):
    with activation_table(project, "id text, email text, tier text, score numeric(9, 2)", in_memory=True) as warehouse:
        warehouse.execute(
            "create table activation.events (event_id text, name text, at_ timestamp, user_id text, device_id text,"
            " properties json)"
        )
        yield warehouse


def fill(warehouse, rows: dict[str, dict[str, Any]]) -> None:
    """Let the model of people hold these rows and no others."""
    warehouse.execute("delete from activation.people")
    columns = {
        name: pa.array([row.get(name) for row in rows.values()], kind)
        for name, kind in (("email", pa.string()), ("tier", pa.string()), ("score", pa.decimal128(9, 2)))
    }
    warehouse.append("activation.people", pa.table({"id": pa.array(list(rows), pa.string()), **columns}).to_reader())


def add_events(warehouse, *events: dict[str, Any]) -> None:
    """Add events to the model of events."""
    for given in events:
        event = {"name": "Viewed", "at_": NOW - timedelta(minutes=5), "user_id": "user-1", "device_id": None} | given
        event["properties"] = orjson.dumps(event.get("properties", {})).decode()
        names = ", ".join(event)
        warehouse.execute(
            f"insert into activation.events ({names}) values ({', '.join('$' + name for name in event)})", event
        )


def many_events(warehouse, count: int, users: int = 1) -> None:
    """Add as many events of so many users, quickly."""
    warehouse.execute(
        "insert into activation.events select 'event-' || number, 'Viewed', cast($at as timestamp),"
        f" 'user-' || (number % {users}), null, '{{\"page\": \"home\"}}' from range({count}) as numbers(number)",
        {"at": NOW - timedelta(minutes=5)},
    )


def people(tool: str, object_name: str, key: str, mode: str = "", names=("tier", "score"), **options) -> DeclaredSync:
    fields = (Field(key, "id"), *(Field(name, name) for name in names))
    return DeclaredSync("people_sync", "activation", "people", "people.yml", tool, "id", options, object_name, mode,
                        fields)  # fmt: skip


def events(tool: str, fields: dict[str, str], **options) -> DeclaredSync:
    mapped = tuple(Field(name, column) for name, column in ({"event_id": "event_id"} | fields).items())
    return DeclaredSync("events_sync", "activation", "events", "events.yml", tool, "event_id", options, "event",
                        "append", mapped)  # fmt: skip


WEB = {"measurement_id": MEASUREMENT_ID}
MIXPANEL = people("mixpanel", "profile", "distinct_id")
MIXPANEL_MIRROR = replace(MIXPANEL, mode="mirror")
MIXPANEL_EVENTS = events(
    "mixpanel",
    {"event": "name", "time": "at_", "user_id": "user_id", "device_id": "device_id", "properties": "properties"},
)
AMPLITUDE = people("amplitude", "user", "user_id")
AMPLITUDE_COHORT = people("amplitude", "cohort", "user_id", names=(), cohort="c0h0rt1")
AMPLITUDE_EVENTS = replace(MIXPANEL_EVENTS, tool_name="amplitude")
GA4 = people("ga4", "user", "client_id", **WEB)
GA4_EVENTS = events("ga4", {"event": "name", "time": "at_", "client_id": "user_id", "properties": "properties"}, **WEB)
ODP = people("optimizely", "profile", "customer_id")
ODP_LIST = people("optimizely", "list", "email", names=(), list="newsletter")
ODP_EVENTS = events(
    "optimizely", {"type": "name", "time": "at_", "identifiers.customer_id": "user_id", "properties": "properties"}
)

# What a tool ends up with.


def given(rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Rows without what is null, as tools hold them."""
    return {
        key: {name: float(value) if name == "score" else value for name, value in row.items() if value is not None}
        for key, row in rows.items()
    }


@dataclass(frozen=True)
class Case:
    """A sync, what its tool holds, and what it should hold after models that came one after the other."""

    declared: DeclaredSync
    held: Callable[[Any], Any]
    wanted: Callable[[list[dict[str, dict[str, Any]]]], Any]


def as_last(history):
    return given(history[-1])


def as_seen_last(history):
    merged: dict[str, dict[str, Any]] = {}
    for rows in history:
        merged |= rows
    return given(merged)


def who_is_in(history):
    return set(history[-1])


def who_was_in(history):
    return {key: key in history[-1] for rows in history for key in rows}


CASES = {
    "mixpanel": Case(MIXPANEL, lambda tool: tool.profiles, as_seen_last),
    "mixpanel mirror": Case(MIXPANEL_MIRROR, lambda tool: tool.profiles, as_last),
    "mixpanel groups": Case(
        people("mixpanel", "group", "group_id", "mirror", group_key="company"),
        lambda tool: {name: group for (kind, name), group in tool.groups.items() if kind == "company"},
        as_last,
    ),
    "mixpanel audience": Case(
        people("mixpanel", "profile", "distinct_id", "audience", (), audience="is_vip"),
        lambda tool: {key: profile["is_vip"] for key, profile in tool.profiles.items()},
        who_was_in,
    ),
    "amplitude": Case(AMPLITUDE, lambda tool: tool.users, as_seen_last),
    "amplitude cohort": Case(AMPLITUDE_COHORT, lambda tool: tool.cohorts["c0h0rt1"], who_is_in),
    "ga4": Case(GA4, lambda tool: tool.users, as_seen_last),
    "ga4 audience": Case(
        people("ga4", "user", "client_id", "audience", (), audience="is_vip", **WEB),
        lambda tool: {key: user["is_vip"] == "true" for key, user in tool.users.items()},
        who_was_in,
    ),
    "odp": Case(
        ODP,
        lambda tool: {key: {name: row[name] for name in row if name != "customer_id"}
                      for key, row in tool.profiles.items()},
        as_seen_last,
    ),
    "odp audience": Case(
        people("optimizely", "profile", "customer_id", "audience", (), audience="is_vip"),
        lambda tool: {key: profile["is_vip"] for key, profile in tool.profiles.items()},
        who_was_in,
    ),
    "odp list": Case(ODP_LIST, lambda tool: tool.lists["newsletter"], who_was_in),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_tool_ends_up_with_the_models_rows(project, warehouse, tools, case):
    chance = random.Random(7)
    tool = tools[case.declared.tool_name]
    ids = [f"person-{number}@example.com" for number in range(8)]
    if isinstance(tool, Amplitude):
        tool.users = {key: {} for key in ids} if case.declared.object_name == "cohort" else {}
    history = []
    for _ in range(4):
        rows = {
            key: {"tier": chance.choice(["gold", "silver", None]), "score": chance.choice([1, Decimal("2.5"), None])}
            for key in chance.sample(ids, chance.randrange(1, len(ids)))
        }
        fill(warehouse, rows)
        history.append(rows)
        tool.faults.answers = chance.choices([500, 429, "drop", "half", None], k=chance.randrange(3))
        run_sync(project, warehouse, case.declared)
        tool.faults.answers = []
        assert run_sync(project, warehouse, case.declared).failed == 0
        assert case.held(tool) == case.wanted(history)
    requests = tool.counts["requests"]
    again = run_sync(project, warehouse, case.declared)
    assert (again.added, again.changed, again.removed, tool.counts["requests"]) == (0, 0, 0, requests)
    assert tool.counts["lost"] == 0


def test_nulls_wipe_only_where_they_are_to(project, warehouse, tools):
    for name, declared, held in (
        ("mixpanel", MIXPANEL, lambda: tools["mixpanel"].profiles),
        ("amplitude", AMPLITUDE, lambda: tools["amplitude"].users),
        ("ga4", GA4, lambda: tools["ga4"].users),
        ("optimizely", ODP, lambda: tools["optimizely"].profiles),
    ):
        key, tier, score = declared.fields
        kept = replace(declared, name=f"{name}_sync", fields=(key, replace(tier, skips_null=True), score))
        fill(warehouse, {"person-1": {"tier": "gold", "score": 2}})
        run_sync(project, warehouse, kept)
        fill(warehouse, {"person-1": {}})
        run_sync(project, warehouse, kept)
        assert (held()["person-1"].get("tier"), held()["person-1"].get("score")) == ("gold", None), name


# Events.

EVENT_TOOLS = {
    "mixpanel": (MIXPANEL_EVENTS, lambda tool: [event["$insert_id"] for event in tool.events.values()]),
    "amplitude": (AMPLITUDE_EVENTS, lambda tool: [event["insert_id"] for event in tool.events.values()]),
    "ga4": (GA4_EVENTS, lambda tool: [event["client_id"] for event in tool.events]),
    "optimizely": (ODP_EVENTS, lambda tool: [event["identifiers"]["customer_id"] for event in tool.events]),
}


@pytest.mark.parametrize("name", EVENT_TOOLS)
def test_events_go_once_and_repeats_are_counted_where_the_tool_cannot_tell(project, warehouse, tools, name):
    declared, held = EVENT_TOOLS[name]
    many_events(warehouse, 60, users=2)
    tools[name].faults.answers = ["drop"]
    result = run_sync(project, warehouse, declared)
    assert (result.delivered, result.failed) == (60, 0)
    knows_repeats = declared.tool_class.knows_repeats
    assert (result.resent > 0, len(held(tools[name])) - result.resent) == (not knows_repeats, 60)
    assert warehouse.query("select resent from cdi.sync_runs") == [(result.resent,)]
    assert run_sync(project, warehouse, declared).added == 0


def test_events_are_what_they_were(project, warehouse, tools):
    add_events(warehouse, {"event_id": "event-1", "name": "Order Completed", "user_id": "user-1",
                           "properties": {"total": 12.5, "coupon": None, "page-type": "cart"}})  # fmt: skip
    for declared, _ in EVENT_TOOLS.values():
        assert run_sync(project, warehouse, replace(declared, name=declared.tool_name)).delivered == 1
    at = NOW - timedelta(minutes=5)
    milliseconds = round(at.replace(tzinfo=UTC).timestamp() * 1000)
    properties = {"total": 12.5, "page-type": "cart"}
    assert list(tools["mixpanel"].events.values()) == [
        {"event": "Order Completed", "time": milliseconds, "distinct_id": "user-1", "$user_id": "user-1",
         "$insert_id": "event-1", **properties}
    ]  # fmt: skip
    assert list(tools["amplitude"].events.values()) == [
        {"event_type": "Order Completed", "time": milliseconds, "user_id": "user-1", "insert_id": "event-1",
         "event_properties": properties}
    ]  # fmt: skip
    assert tools["ga4"].events == [
        {"name": "Order_Completed", "timestamp_micros": milliseconds * 1000, "client_id": "user-1",
         "params": {"total": 12.5, "page_type": "cart"}}
    ]  # fmt: skip
    assert tools["optimizely"].events == [
        {"type": "Order Completed", "identifiers": {"customer_id": "user-1"},
         "data": {**properties, "ts": milliseconds // 1000, "idempotence_id": "event-1"}}
    ]  # fmt: skip


DEEP = {"a": {"b": {"c": {"d": {"e": 1}}}}}
UNSENDABLE = {
    "mixpanel": [
        {"at_": datetime(1970, 5, 1)}, {"at_": NOW + timedelta(hours=2)}, {"at_": None}, {"name": None},
        {"user_id": "Anonymous"}, {"user_id": None}, {"properties": DEEP}, {"properties": {"a": [1] * 300}},
        {"properties": {f"p{number}": 1 for number in range(255)}}, {"properties": [1]},
    ],
    "amplitude": [{"at_": None}, {"name": None}, {"user_id": "abc"}, {"user_id": None}],
    "ga4": [
        {"at_": NOW - timedelta(hours=73)}, {"at_": NOW + timedelta(hours=1)}, {"at_": None}, {"user_id": None},
        {"name": "session_start"}, {"name": "1st"}, {"name": "n" * 41}, {"name": "ga_thing"},
        {"properties": {"a": {}}}, {"properties": {"a": [1]}}, {"properties": {"a": "x" * 101}},
        {"properties": {"a" * 41: 1}}, {"properties": {"google_a": 1}}, {"properties": {"a-b": 1, "a_b": 1}},
        {"properties": {"items": ["tea"]}}, {"properties": {f"p{number}": 1 for number in range(26)}},
    ],
    "optimizely": [{"at_": None}, {"name": None}, {"user_id": None}],
}  # fmt: skip


@pytest.mark.parametrize("name", UNSENDABLE)
def test_what_the_tool_would_drop_or_refuse_is_kept_back_with_the_reason(project, warehouse, tools, name):
    declared, held = EVENT_TOOLS[name]
    wrong = [{"event_id": f"wrong-{number:02d}", **each} for number, each in enumerate(UNSENDABLE[name])]
    add_events(warehouse, {"event_id": "right-1"}, *wrong)
    result = run_sync(project, warehouse, declared)
    assert (result.delivered, result.failed, len(held(tools[name]))) == (1, len(wrong), 1)
    rejected = dict(warehouse.query("select key, reason from cdi.sync_rejected"))
    assert set(rejected) == {event["event_id"] for event in wrong}
    assert all(rejected.values())
    assert tools[name].counts["lost"] == 0
    # They were no reason to ask: the tool saw one event and nothing else.
    assert tools[name].counts["requests"] == 1


# Mixpanel.


def test_mixpanel_names_the_bad_rows_and_has_taken_the_others(project, warehouse, tools):
    mixpanel = tools["mixpanel"]
    rows = {f"person-{number}": {"tier": "bad\0" if number in (3, 7) else None} for number in range(10)}
    # Each of these is two updates of a request, so the tool's indexes are not those of the rows.
    fill(warehouse, {key: row | {"score": 1} for key, row in rows.items()})
    result = run_sync(project, warehouse, MIXPANEL)
    assert (result.delivered, result.failed, mixpanel.counts["requests"]) == (8, 2, 1)
    assert {key for (key,) in warehouse.query("select key from cdi.sync_rejected")} == {"person-3", "person-7"}
    assert set(mixpanel.profiles) == set(rows) - {"person-3", "person-7"}


def test_mixpanel_that_is_not_strict_about_it_is_no_success(project, warehouse, tools, monkeypatch):
    fill(warehouse, {"person-1": {"tier": "gold"}})
    mixpanel = tools["mixpanel"]
    mixpanel.faults.answers, mixpanel.faults.words = [200], '{"status": 0, "error": "some error"}'
    result = run_sync(project, warehouse, MIXPANEL)
    assert (result.delivered, result.problem) == (0, "HTTP 200 OK: some error")
    mixpanel.faults.answers, mixpanel.faults.words = [200], "1"
    assert run_sync(project, warehouse, MIXPANEL).problem == "the answer is not the tool's own"
    assert run_sync(project, warehouse, MIXPANEL).delivered == 1


def test_mixpanels_ids_of_events_are_hashed_where_it_would_not_take_them(project, warehouse, tools):
    ids = ["0", "with spaces", "x" * 40, "plain-1"]
    add_events(warehouse, *({"event_id": each} for each in ids))
    assert run_sync(project, warehouse, MIXPANEL_EVENTS).delivered == 4
    held = {event["$insert_id"] for event in tools["mixpanel"].events.values()}
    assert len(held) == 4
    assert held & set(ids) == {"plain-1"}


def test_mixpanel_joins_devices_to_people(project, warehouse, tools):
    add_events(
        warehouse,
        {"event_id": "event-1", "user_id": None, "device_id": "device-1"},
        {"event_id": "event-2", "user_id": "user-1", "device_id": "device-1"},
    )
    run_sync(project, warehouse, MIXPANEL_EVENTS)
    held = {event["$insert_id"]: event for event in tools["mixpanel"].events.values()}
    assert (held["event-1"]["distinct_id"], held["event-2"]["distinct_id"]) == ("$device:device-1", "user-1")
    assert held["event-2"]["$device_id"] == "device-1"


def test_mixpanel_gets_as_many_as_it_takes_at_once(project, warehouse, tools):
    many_events(warehouse, 4100, users=7)
    assert run_sync(project, warehouse, MIXPANEL_EVENTS).delivered == 4100
    assert (len(tools["mixpanel"].events), tools["mixpanel"].counts["requests"]) == (4100, 3)
    # Rows of two updates each.
    fill(warehouse, {f"person-{number}": {"tier": "gold"} for number in range(2100)})
    assert run_sync(project, warehouse, MIXPANEL).delivered == 2100
    assert (len(tools["mixpanel"].profiles), tools["mixpanel"].counts["requests"]) == (2100, 6)


# Amplitude.


def test_amplitude_refuses_all_because_of_some_and_the_others_go_again(project, warehouse, tools):
    amplitude = tools["amplitude"]
    amplitude.silenced = {"d0000009"}
    many_events(warehouse, 2100)
    add_events(warehouse, {"event_id": "event-a", "name": "[Amplitude] Session"},
               {"event_id": "event-b", "device_id": "d0000009"})  # fmt: skip
    result = run_sync(project, warehouse, AMPLITUDE_EVENTS)
    assert (result.delivered, result.failed, len(amplitude.events)) == (2100, 2, 2100)
    assert dict(warehouse.query("select key, reason from cdi.sync_rejected")) == {
        "event-a": "event_type is invalid: Invalid field values on some events",
        "event-b": "the device is silenced",
    }
    # Two chunks, and the one that was refused once more: nothing was halved.
    assert amplitude.counts["requests"] <= 4


def test_amplitude_is_left_alone_while_it_is_throttled(project, warehouse, tools, monkeypatch):
    monkeypatch.setattr(amplitude_module, "THROTTLED", 0.3)
    fill(warehouse, {"person-1": {"tier": "gold"}})
    tools["amplitude"].faults.answers = [429]
    started = datetime.now(UTC)
    assert run_sync(project, warehouse, AMPLITUDE).delivered == 1
    assert datetime.now(UTC) - started >= timedelta(seconds=0.3)


def test_a_cohort_takes_one_request_at_a_time_and_only_users_that_are_there(project, warehouse, tools):
    amplitude = tools["amplitude"]
    ids = [f"person-{number:05d}" for number in range(10_500)]
    amplitude.users = {key: {} for key in ids[1:]}
    fill(warehouse, {key: {} for key in ids})
    result = run_sync(project, warehouse, AMPLITUDE_COHORT)
    assert (result.delivered, result.failed) == (10_499, 1)
    rejected = warehouse.query("select key, reason from cdi.sync_rejected")
    assert rejected == [("person-00000", "no user with this user_id is known")]
    assert amplitude.cohorts["c0h0rt1"] == set(ids[1:])
    assert amplitude.counts["requests"] == 2
    wrong = replace(AMPLITUDE_COHORT, options={"cohort": "nowhere"}, name="other_sync")
    assert run_sync(project, warehouse, wrong).problem.startswith("HTTP 404")


# Google Analytics 4.


def test_ga4_gets_events_of_one_person_by_the_25(project, warehouse, tools):
    many_events(warehouse, 130, users=2)
    assert run_sync(project, warehouse, GA4_EVENTS).delivered == 130
    assert len(tools["ga4"].events) == 130
    # 65 events of each: 25, 25 and 15.
    assert tools["ga4"].counts["requests"] == 6


def test_ga4_can_be_asked_first_what_it_thinks_of_an_event(project, warehouse, tools):
    many_events(warehouse, 20)
    add_events(warehouse, {"event_id": "event-x", "name": "forbidden", "user_id": "user-0"})
    validated = replace(GA4_EVENTS, options={**WEB, "validate": True})
    result = run_sync(project, warehouse, validated)
    assert (result.delivered, result.failed, len(tools["ga4"].events)) == (20, 1, 20)
    assert warehouse.query("select key from cdi.sync_rejected") == [("event-x",)]


def test_ga4_takes_things_that_were_bought(project, warehouse, tools):
    add_events(warehouse, {"event_id": "event-1", "name": "purchase",
                           "properties": {"items": [{"item_id": "tea", "price": 3, "variant": None}]}})  # fmt: skip
    assert run_sync(project, warehouse, GA4_EVENTS).delivered == 1
    assert tools["ga4"].events[0]["params"] == {"items": [{"item_id": "tea", "price": 3}]}


def test_ga4_is_told_what_somebody_agreed_to(project, warehouse, tools):
    add_events(
        warehouse,
        {"event_id": "event-1", "device_id": "GRANTED"},
        {"event_id": "event-2", "device_id": "DENIED"},
        {"event_id": "event-3", "device_id": "maybe"},
    )
    declared = replace(GA4_EVENTS, fields=(*GA4_EVENTS.fields, Field("ad_user_data", "device_id")))
    result = run_sync(project, warehouse, declared)
    assert (result.delivered, result.failed) == (2, 1)
    assert sorted(event["consent"]["ad_user_data"] for event in tools["ga4"].events) == ["DENIED", "GRANTED"]


# Optimizely.


def test_odp_names_no_row_so_the_bad_one_is_found_by_halving(project, warehouse, tools):
    rows = {f"person-{number:04d}": {"email": f"{number}@example.com", "tier": "gold"} for number in range(520)}
    fill(warehouse, rows | {"person-0007": {"email": "nobody"}})
    declared = people("optimizely", "profile", "customer_id", names=("email", "tier"))
    result = run_sync(project, warehouse, declared)
    assert (result.delivered, result.failed) == (519, 1)
    rejected = warehouse.query("select key, reason from cdi.sync_rejected")
    # Words that were sent are masked.
    assert rejected == [("person-0007", "HTTP 400 Bad Request: email *** is not an email")]
    assert len(tools["optimizely"].profiles) == 519


def test_odps_rate_is_kept(project, warehouse, tools):
    tools["optimizely"].keeps_limits = True
    fill(warehouse, {f"{number}@example.com": {} for number in range(14)})
    one_by_one = replace(ODP_LIST, options={"list": "newsletter", "batch_size": 1})
    assert run_sync(project, warehouse, one_by_one).delivered == 14
    # Without a limit there would be four or more; on a machine under load one may be held up on its way.
    assert tools["optimizely"].counts["too_many_requests"] <= 1


def test_who_unsubscribed_from_a_list_is_not_subscribed_anew(project, warehouse, tools):
    newsletter = tools["optimizely"].lists["newsletter"]
    rows = {f"{number}@example.com": {"tier": "gold"} for number in range(3)}
    fill(warehouse, rows)
    run_sync(project, warehouse, ODP_LIST)
    newsletter["1@example.com"] = False
    fill(warehouse, {key: {"tier": "silver"} for key in [*rows, "3@example.com"]})
    run_sync(project, warehouse, ODP_LIST)
    assert newsletter == {"0@example.com": True, "1@example.com": False, "2@example.com": True, "3@example.com": True}


# All of them.

DELETABLE = {
    "mixpanel": (MIXPANEL, lambda tool: set(tool.profiles)),
    "amplitude": (AMPLITUDE, lambda tool: set(tool.users)),
    "amplitude cohort": (AMPLITUDE_COHORT, lambda tool: tool.cohorts["c0h0rt1"]),
    "ga4": (replace(GA4, options={**WEB, "property": PROPERTY}), lambda tool: set(tool.users)),
    "odp": (ODP, lambda tool: set(tool.profiles)),
    "odp list": (ODP_LIST, lambda tool: set(tool.lists["newsletter"])),
}


@pytest.mark.parametrize("name", DELETABLE)
def test_people_to_forget_are_deleted(project, warehouse, tools, name):
    declared, held = DELETABLE[name]
    tool = tools[declared.tool_name]
    ids = [f"person-{number}@example.com" for number in range(4)]
    if name == "amplitude cohort":
        tool.users = {key: {} for key in ids}
    fill(warehouse, {key: {"tier": "gold"} for key in ids})
    run_sync(project, warehouse, declared)
    ask_to_forget(warehouse, *ids[:2])
    fill(warehouse, {key: {"tier": "gold"} for key in ids[2:]})
    assert run_sync(project, warehouse, declared).deleted == 2
    assert held(tool) == set(ids[2:])


def test_a_secret_that_only_deletions_need_is_missed_when_there_is_somebody_to_forget(
    project, warehouse, tools, monkeypatch
):
    monkeypatch.delenv("CDI_MIXPANEL_DELETION_TOKEN")
    fill(warehouse, {"person-1": {"tier": "gold"}, "person-2": {}})
    assert run_sync(project, warehouse, MIXPANEL).delivered == 2
    ask_to_forget(warehouse, "person-1")
    fill(warehouse, {"person-2": {"tier": "silver"}})
    result = run_sync(project, warehouse, MIXPANEL)
    assert "CDI_MIXPANEL_DELETION_TOKEN is not set" in result.problem
    assert (result.deleted, result.delivered, set(tools["mixpanel"].profiles)) == (0, 1, {"person-1", "person-2"})
    monkeypatch.setenv("CDI_MIXPANEL_DELETION_TOKEN", Mixpanel.environment["CDI_MIXPANEL_DELETION_TOKEN"])
    assert run_sync(project, warehouse, MIXPANEL).deleted == 1
    assert set(tools["mixpanel"].profiles) == {"person-2"}


def test_a_region_has_two_addresses(project, warehouse, tools, monkeypatch):
    monkeypatch.delenv("CDI_AMPLITUDE_APP_URL")
    fill(warehouse, {"person-1": {}})
    with pytest.raises(UsageError, match="CDI_AMPLITUDE_APP_URL is not set, but CDI_AMPLITUDE_URL is"):
        run_sync(project, warehouse, AMPLITUDE_COHORT)


MERGEABLE = {
    "mixpanel": (MIXPANEL, lambda tool: tool.profiles, None),
    "amplitude": (AMPLITUDE, lambda tool: tool.users, {}),
    "ga4": (GA4, lambda tool: tool.users, {}),
    "odp": (ODP, lambda tool: tool.profiles, {"customer_id": "person-1"}),
}


@pytest.mark.parametrize("name", MERGEABLE)
def test_a_profile_that_became_part_of_another_is_taken_out(project, warehouse, tools, name):
    declared, held, left = MERGEABLE[name]
    warehouse.execute("create view activation.merging as select id as profile_id, tier, score from activation.people")
    key, *others = declared.fields
    declared = replace(declared, table="merging", key="profile_id", fields=(replace(key, column="profile_id"), *others))
    warehouse.execute("create schema identity")
    warehouse.execute("create table identity.identity_graph as select 'person-2' as profile_id")
    fill(warehouse, {"person-1": {"tier": "gold"}, "person-2": {"tier": "gold"}})
    run_sync(project, warehouse, declared)
    fill(warehouse, {"person-2": {"tier": "gold"}})
    assert run_sync(project, warehouse, declared).removed == 1
    assert held(tools[declared.tool_name]).get("person-1") == left
    assert held(tools[declared.tool_name])["person-2"]["tier"] == "gold"


@pytest.mark.parametrize(
    ("declared", "variable", "status"),
    [
        (MIXPANEL_EVENTS, "CDI_MIXPANEL_TOKEN", "HTTP 401"),
        (AMPLITUDE_EVENTS, "CDI_AMPLITUDE_API_KEY", "HTTP 400"),
        (AMPLITUDE_COHORT, "CDI_AMPLITUDE_SECRET_KEY", "HTTP 401"),
        (ODP, "CDI_OPTIMIZELY_API_KEY", "HTTP 403"),
        (GA4_EVENTS, "CDI_GA4_API_SECRET", ""),
    ],
)
def test_a_wrong_secret_ends_the_sync_and_is_in_no_message(
    project, warehouse, tools, monkeypatch, caplog, declared, variable, status
):
    monkeypatch.setenv(variable, "wrong-secret-of-somebody")
    fill(warehouse, {f"person-{number}": {"tier": "gold"} for number in range(30)})
    many_events(warehouse, 3)
    caplog.set_level("DEBUG")
    result = run_sync(project, warehouse, declared)
    if status:
        assert (result.delivered, tools[declared.tool_name].counts["requests"]) == (0, 1)
        assert result.problem.startswith(status)
    tables = [warehouse.query(f"select * from cdi.{name}") for name in ("sync_rejected", "sync_runs", "sync_changes")]
    assert "wrong-secret" not in f"{tables} {result}"
    assert "wrong-secret" not in "".join(record.getMessage() for record in caplog.records if "cdi" in record.name)
    assert "wrong-secret" not in "".join(record.getMessage() for record in caplog.records if record.name == "httpx")
    monkeypatch.delenv(variable)
    with pytest.raises(UsageError, match=f"the environment variable {variable} is not set"):
        run_sync(project, warehouse, declared)


@pytest.mark.parametrize(
    ("declared", "problem"),
    [
        (people("mixpanel", "profile", "id"), "the key is sent as 'id'"),
        (people("mixpanel", "profile", "distinct_id", "create"), "mode 'create' is nothing that mixpanel can do"),
        (people("mixpanel", "profile", "distinct_id", "audience"), "mode audience and the option audience"),
        (people("mixpanel", "group", "group_id"), "option 'group_key' is missing"),
        (events("mixpanel", {"event": "name", "time": "at_"}), "fields must have 'distinct_id', 'user_id' or"),
        (events("mixpanel", {"event": "name", "user_id": "user_id"}), "fields must have 'time'"),
        (people("amplitude", "cohort", "user_id", cohort="c"), "members have no field but user_id"),
        (people("amplitude", "user", "email"), "identifies rows by user_id or device_id"),
        (people("amplitude", "user", "user_id", batch_size=0), "batch_size 0 is less than 1"),
        (people("ga4", "user", "client_id"), "measurement_id (of a website) or firebase_app_id"),
        (people("ga4", "user", "user_id", **WEB), "identifies rows by client_id"),
        (people("ga4", "user", "client_id", "audience", (), audience="is-vip", **WEB), "'is-vip' can be no user prop"),
        (people("ga4", "user", "client_id", event="session_start", **WEB), "event: Analytics keeps this name"),
        (events("ga4", {"event": "name", "time": "at_"}, **WEB), "fields must have 'client_id'"),
        (people("optimizely", "list", "email", list="newsletter"), "members have no field but email"),
        (events("optimizely", {"type": "name", "time": "at_"}), "fields must have an identifier"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_sent(project, warehouse, tools, declared, problem):
    with pytest.raises(UsageError) as error:
        run_sync(project, warehouse, declared)
    assert problem in str(error.value)
    assert sum(tool.counts["requests"] for tool in tools.values()) == 0
