"""The tracking plan: what breaks it is found, kept apart or let in, and nothing that comes stops the build."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from support import AGAIN, POSTGRES_LATER, UNTESTED, message, new_project, rows_of
from test_sameness import random_records, split

from cdi.dbt import run_dbt
from cdi.landing import land
from cdi.plan.files import as_yaml, plan_of, read_plan
from cdi.plan.infer import infer
from cdi.plan.json_schema import event_schema
from cdi.plan.model import PlannedEvent, Property
from cdi.project import Project
from cdi.quarantine import Selection, patch_of, release, shown, waiting
from cdi.warehouse import connect

AS_OF = "2026-11-05 12:00:00"
PLAN = read_plan(ROOT)
EVENTS = 10_000
SURVEYS = 150

STRINGS = [
    "", " ", "null", "NaN", "0", "12,5", "'; drop table events; --", "<script>alert('x')</script>", "😀 ünïcode \u202e",
    "\u0001\u001e\u001f\u007f", "a" * 5000, "\\", '"', "{}", "[1", "2026-13-45T99:00:00Z", "jane@example.com", "EUR",
]  # fmt: skip
NUMBERS = [0, -1, 1.5, 1e17, 1e300, 10**40, -(10**40), 1e-300, 12345678901234567890, 0.1 + 0.2]
TIMES = ["0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-02-30", "yesterday", 5, None, {}, "1969-12-31T23:59:59Z",
         "2026-11-01T00:00:00+99:00", "10000-01-01T00:00:00Z", "2026-11-01T00:00:00.123456789Z"]  # fmt: skip


def some_value(dice: random.Random) -> Any:
    """Any value at all."""
    return dice.choice(
        [
            dice.choice(STRINGS), dice.choice(NUMBERS), dice.choice([True, False, None]), [], {}, [None], [[]],
            {"a": {"b": dice.choice(STRINGS)}}, [{"product_id": 5}, "x", {"price": "1"}],
        ]
    )  # fmt: skip


def some_good_value(item: Property, dice: random.Random) -> Any:
    """A value that keeps most rules of a property."""
    if item.allowed_values:
        return dice.choice(item.allowed_values)
    kind = dice.choice(item.json_types)
    if item.pattern:
        return {"^[A-Z]{3}$": "EUR"}.get(item.pattern, "jane@example.com")
    values = {
        "string": "abc", "number": 12.5, "integer": 3, "boolean": True, "timestamp": "2026-11-01T00:00:00Z",
        "array": [{"product_id": "p", "price": 1, "quantity": 2}], "object": {}, "any": "abc",
    }  # fmt: skip
    return values[kind]


def planned_message(planned: PlannedEvent, dice: random.Random) -> dict[str, Any]:
    """A message of a planned event, each property good, of any value, or missing."""
    inside = {}
    for item in planned.properties:
        if item.column and "." not in item.path:
            luck = dice.random()
            if luck < 0.85:
                inside[item.path] = some_good_value(item, dice)
            elif luck < 0.95:
                inside[item.path] = some_value(dice)
    if isinstance(products := inside.get("products"), list) and dice.random() < 0.3:
        products.append({"product_id": some_value(dice), "price": some_value(dice), "quantity": some_value(dice)})
    if dice.random() < 0.1:
        inside[dice.choice(["extra", "it's", "a.b", "ü", ""])] = some_value(dice)
    key = "traits" if planned.type in ("identify", "group") else "properties"
    named = {"event": planned.event} if planned.type == "track" else {}
    return message(planned.type, **named, anonymousId=f"a{dice.randrange(99)}", **{key: inside})


def as_line(record: dict[str, Any]) -> str:
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False)


def broken_line(number: int, dice: random.Random) -> bytes:
    """A line that somebody's tracker could send: every kind of breakage."""
    record = planned_message(dice.choice(PLAN), dice)
    kind = number % 20
    text = ""
    if kind == 0:
        record["properties"] = {}
        depth = dice.choice([5, 200, 900, 1200])
        text = as_line(record).replace('"properties":{}', f'"properties":{"[" * depth + "]" * depth}')
    elif kind == 1:
        text = json.dumps(record | {"properties": {"order_id": "a\u0000b", "name": "\u0000"}})
    elif kind == 2:
        record[dice.choice(["originalTimestamp", "sentAt", "receivedAt", "timestamp"])] = dice.choice(TIMES)
    elif kind == 3:
        record[dice.choice(["event", "type", "userId", "anonymousId", "context", "properties"])] = some_value(dice)
    elif kind == 4:
        text = as_line(record)[:-1] + ',"event":"Order Completed","properties":{"a":1,"a":2},"type":"track"}'
    elif kind == 5:
        text = as_line(record)[: dice.randrange(1, 80)]
    elif kind == 6:
        digits = dice.choice(["1" * 400, "1e999", "-1e400", "1e99999", "0." + "3" * 300])
        record |= {"type": "track", "event": "Product Viewed", "properties": {"product_id": "p", "price": "PRICE"}}
        text = as_line(record).replace('"PRICE"', digits)
    elif kind == 7:
        record["properties"] = {name: some_value(dice) for name in STRINGS[:12] if name}
    elif kind == 8:
        record["messageId"] = dice.choice([None, "", 5, {}, "'; drop table x", "😀" * 50, record["messageId"]])
    elif kind == 9:
        record["context"] = {
            "consent": dice.choice([[], "x", {"categoryPreferences": [1]}]),
            "protocols": {"event_version": dice.choice(["2", 7, None, "x"])},
            "externalIds": dice.choice([{}, "x", [None, 5, {"id": None, "type": "email"}]]),
        }
    if number % 1000 == 77:
        record |= {"type": "track", "event": "Product Viewed", "properties": {"product_id": "p", "name": "x" * 2**20}}
    if number % 1000 == 83:
        record |= {"type": "track", "event": "Products Searched", "properties": {"query": "x" * 600}}
    if number % 1000 == 78:
        record |= {"type": "track", "event": "Product Viewed", "properties": {"price": [list("y" * 250_000)]}}
    if number % 500 == 79:
        return b'{"type":"track","messageId":"\xff\xfe","event":"\xc3\x28"}'
    if number % 500 == 80:
        return b'{"type":"track","event":"a\x00b"}'
    return (text or as_line(record)).encode()


def survey(number: int) -> dict[str, Any]:
    """An event that nobody planned, the same each time but for its values."""
    properties = {
        "score": number % 7, "choice": "abc"[number % 3], "email": f"p{number}@example.com",
        "answeredAt": "2026-11-01T10:00:00Z", "answers": [{"question": "q1", "text": f"t{number}"}],
    }  # fmt: skip
    if number % 2:
        properties["comment"] = f"comment {number}"
    return message(event="Survey Answered", properties=properties, anonymousId=f"a{number}")


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def flooded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project that took ten thousand broken events, built and tested."""
    folder = tmp_path_factory.mktemp("flooded")
    with new_project(request.param, ROOT, folder) as project:
        dice = random.Random(1)
        lines = [broken_line(number, dice) for number in range(EVENTS)]
        lines += [as_line(survey(number)).encode() for number in range(SURVEYS)]
        (folder / "messages.ndjson").write_bytes(b"\n".join(lines) + b"\n")
        landed = land(project, "segment", [folder / "messages.ndjson"])
        assert landed.rows_landed + landed.rows_rejected == EVENTS + SURVEYS
        assert landed.rows_rejected > EVENTS / 20
        result = run_dbt(project, ["build", "--exclude", "path:models/predictions+"], {"as_of": AS_OF})
        assert result.success, [node for node in result.nodes if node.failed]
        yield project


def test_everything_that_came_is_somewhere(flooded: Project):
    with connect(flooded) as warehouse:
        arrived = warehouse.query("select count(distinct event_id) from events.arrivals")[0][0]
        counts = dict(warehouse.query("select verdict, count(*) from events.checked_events group by 1"))
        assert counts["passed"] > 1000
        assert counts["quarantined"] > 50
        assert sum(counts.values()) == arrived
        assert warehouse.query("select count(*) from events.events")[0][0] == counts["passed"]
        assert warehouse.query("select count(*) from governance.quarantine")[0][0] == counts["quarantined"]
        broken = warehouse.query("select broken_rules from events.checked_events where broken_rules is not null")
        seen = warehouse.query("select cast(sum(count_seen) as bigint) from governance.violations")[0][0]
        assert seen == sum(text.count("\x1e") for (text,) in broken)


def test_an_independent_validator_finds_the_same(flooded: Project):
    """jsonschema, by the plan's export, finds broken what the warehouse finds broken, event by event."""
    validators = {item.model: Draft7Validator(event_schema(item)) for item in PLAN}
    with connect(flooded) as warehouse:
        rows = warehouse.query(
            "select checked.planned_event, cast(arrivals.properties as text), cast(arrivals.traits as text),"
            " checked.broken_rules from events.checked_events as checked"
            " inner join (select event_id, properties, traits, count(*) over (partition by event_id) as copies"
            " from events.arrivals) as arrivals on checked.event_id = arrivals.event_id"
            " where checked.planned_event is not null and arrivals.copies = 1"
        )
    compared = Counter()
    for planned_event, properties, traits, broken_rules in rows:
        record = {"properties": json.loads(properties or "{}"), "traits": json.loads(traits or "{}")}
        record = {key: value if isinstance(value, dict) else {} for key, value in record.items()}
        errors = [error.message[:200] for error in validators[planned_event].iter_errors(record)]
        assert bool(errors) == (broken_rules is not None), (planned_event, record, errors, broken_rules)
        compared[bool(errors)] += 1
    assert min(compared.values()) > 500


def test_personal_values_are_masked_and_separators_are_safe(flooded: Project):
    with connect(flooded) as warehouse:
        rows = warehouse.query(
            "select rule, path, policy, value_seen, count_seen, first_seen_at <= last_seen_at"
            " from governance.violations"
        )
    assert {rule for rule, *_ in rows} >= {"required", "type", "pattern", "minimum", "max_length", "unplanned_event"}
    for rule, path, policy, value, count, in_order in rows:
        assert policy in ("flag", "drop", "quarantine")
        assert count > 0
        assert in_order
        if path == "email" and rule == "pattern":
            assert value.startswith("masked, ")
    assert "products[].product_id" in {path for _, path, *_ in rows}


def test_a_property_that_is_to_be_dropped_is_gone(flooded: Project):
    with connect(flooded) as warehouse:
        text = "cast(properties as text)"
        rows = warehouse.query(
            f"select {text} from events.checked_events where planned_event = 'order_cancelled' and verdict = 'passed'"
            " and broken_rules like '%drop%currency%'"
        )
        kept = warehouse.query(
            f"select {text} from governance.quarantine where planned_event = 'order_cancelled'"
            " and broken_rules like '%drop%currency%'"
        )
    assert rows
    for (properties,) in rows:
        assert "currency" not in json.loads(properties)
    for (properties,) in kept:
        assert "currency" in json.loads(properties)


def test_a_plan_is_drafted_from_what_landed(flooded: Project):
    (drafted,) = infer(flooded, ["Survey Answered"])
    assert (drafted.model, drafted.type, drafted.event) == ("survey_answered", "track", "Survey Answered")
    found = {item.path: item for item in drafted.properties}
    assert {path: item.data_type for path, item in found.items()} == {
        "score": "numeric(18, 4)", "choice": "string", "email": "string", "answeredAt": "timestamp",
        "answers": "json", "comment": "string", "answers[].question": None, "answers[].text": None,
    }  # fmt: skip
    assert {path for path, item in found.items() if not item.required} == {"comment"}
    assert found["choice"].allowed_values == ("a", "b", "c")
    assert found["answeredAt"].column == "answered_at"
    assert [path for path, item in found.items() if item.pii] == ["email"]
    assert found["answers[].text"].types == ("string",)
    # What it says is a plan: it comes back from its own file.
    (read,) = plan_of({"x": as_yaml(drafted)})
    sides = [{item.path: replace(item, description="") for item in side.properties} for side in (read, drafted)]
    assert sides[0] == sides[1]
    assert "Product Viewed" not in {item.event for item in infer(flooded)}


def test_a_mended_event_is_let_in(flooded: Project):
    kinds = [item for item in waiting(flooded) if item.event == "Product Added" and "product_id required" in item.rules]
    assert kinds
    example = kinds[0].example
    assert "product_id" in shown(flooded, example)["reasons"]
    again = release(flooded, Selection(event_ids=(example,)))
    assert (again.released, again.let_in) == (1, 0)
    assert "product_id required" in next(iter(again.still_broken))
    patch = patch_of(["properties.product_id=p-1", "properties.sku=null"])
    mended = release(flooded, Selection(event_ids=(example,)), patch)
    assert (mended.released, mended.let_in) == (1, 1)
    with connect(flooded) as warehouse:
        rows = warehouse.query(
            "select cast(properties as text), loaded_at = (select max(loaded_at) from raw.loads),"
            " loaded_at = (select max(loaded_at) from events.events)"
            " from events.events where event_id = $event_id",
            {"event_id": example},
        )
        assert len(rows) == 1
        properties = json.loads(rows[0][0])
        assert properties["product_id"] == "p-1"
        assert "sku" not in properties
        assert rows[0][1:] == (True, True)
        waits = "select count(*) from governance.quarantine where event_id = $event_id"
        assert warehouse.query(waits, {"event_id": example})[0][0] == 0


TABLES = ["events.events", "governance.quarantine", "governance.violations", "events.order_completed",
          "events.product_added", "identity.identity_graph"]  # fmt: skip


@pytest.mark.parametrize("warehouse_kind", POSTGRES_LATER)
@given(seed=st.integers(0, 2**32))
@settings(max_examples=1, phases=[Phase.generate])
def test_a_full_refresh_gives_what_loads_and_releases_gave(project_factory, tmp_path: Path, seed: int):
    dice = random.Random(seed)
    project = project_factory()
    build = ["build", *UNTESTED, "--select", *(f"+{table.split('.')[1]}" for table in TABLES)]
    records = random_records(seed, 90)
    for number in range(40):
        properties = {"cart_id": f"c{number % 5}"} if number % 2 else {"revenue": dice.choice(["9,90", 5])}
        name = "Product Added" if number % 2 else "Order Completed"
        record = message(
            event=name, properties=properties, anonymousId=f"device-{number % 20}", userId=f"user-{number % 9}"
        )
        records.insert(dice.randrange(len(records)), ("segment", record))
    for number, part in enumerate(split(records, dice, loads=3)):
        for source in sorted({source for source, _ in part}):
            file = tmp_path / f"{seed}-{number}-{source}.ndjson"
            file.write_text("\n".join(json.dumps(record) for name, record in part if name == source))
            land(project, source, [file])
        assert run_dbt(project, [*build, *(AGAIN if number else ())], {"as_of": AS_OF}).success
        if number == 1:
            # A copy of what waits arrives again, some are mended, some are released as they are.
            copies = (tmp_path / f"{seed}-0-segment.ndjson").read_text().splitlines()
            (tmp_path / "copies.ndjson").write_text("\n".join(reversed(copies)))
            land(project, "segment", [tmp_path / "copies.ndjson"])
            first = release(project, Selection(event="Product Added"), patch_of(["properties.product_id=p1"]))
            assert first.released == first.let_in > 0
            assert release(project, Selection(all=True)).let_in == 0
        elif number == 2:
            setting = patch_of(["properties.order_id=mended", "properties.revenue=5", "user_id=user-3"])
            assert release(project, Selection(event="Order Completed"), setting).let_in > 0
            assert run_dbt(project, [*build, *AGAIN], {"as_of": AS_OF}).success
    with connect(project) as warehouse:
        step_by_step = {table: rows_of(warehouse, table) for table in TABLES}
    assert run_dbt(project, [*build, "--full-refresh"], {"as_of": AS_OF}).success
    with connect(project) as warehouse:
        for table in TABLES:
            assert rows_of(warehouse, table) == step_by_step[table], table
