"""The plan as files: imported, exported, compared, and refused where it is wrong."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import jinja2
import pytest
import yaml
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from support import copy_project, new_project

from cdi.dbt import load_manifest, run_dbt
from cdi.errors import CdiError, UsageError
from cdi.plan.diff import compare, effects, plan_at
from cdi.plan.files import as_yaml, plan_of, read_plan, write_plan
from cdi.plan.json_schema import event_schema, export_plan, import_plan
from cdi.plan.lineage import Lineage
from cdi.plan.model import PlannedEvent, Property, data_type_of
from cdi.project import Project

NAMES = st.text("abcxyz_ é", min_size=1, max_size=6).map(lambda text: f"n{text}n")
POLICY = st.none() | st.sampled_from(["flag", "quarantine"]) | st.just({"type": "quarantine", "required": "flag"})
TYPES = st.lists(st.sampled_from(["string", "number", "integer", "boolean", "array", "object"]), min_size=1, max_size=2)


@st.composite
def plans(draw: st.DrawFn) -> list[PlannedEvent]:
    """Plans of a few events, with everything that a plan can say."""
    planned = []
    for number in range(draw(st.integers(1, 3))):
        type_ = draw(st.sampled_from(["track", "track", "identify", "page"]))
        properties: list[Property] = []
        for place, name in enumerate(draw(st.lists(NAMES, max_size=4, unique=True))):
            types = tuple(sorted(set(draw(TYPES))))
            data_type = data_type_of(types)
            if Property("x", data_type=data_type).json_types == types:
                types = ()
            holder = draw(rules(name, types))
            properties.append(replace(holder, column=f"column_{place}", data_type=data_type))
            for inner in draw(st.lists(st.sampled_from(["[].a", "[].b", ".c", "[]"]), max_size=2, unique=True)):
                if "[]" in inner or not any("[]" in item.path for item in properties if item.path.startswith(name)):
                    properties.append(draw(rules(name + inner, tuple(draw(TYPES)[:1]))))
        planned.append(
            PlannedEvent(
                model=f"model_{number}",
                type=type_,
                event=f"Event {number}" if type_ == "track" else None,
                version=draw(st.integers(1, 3)),
                owner=draw(st.none() | st.just("web")),
                description=draw(st.sampled_from(["", "What it means: this."])) or f"One row per Event {number}.",
                on_violation=draw(st.none() | st.sampled_from(["flag", "drop", "quarantine"])),
                unplanned_properties=draw(st.none() | st.sampled_from(["allow", "flag", "quarantine"])),
                properties=tuple(properties),
            )
        )
    return planned


@st.composite
def rules(draw: st.DrawFn, path: str, types: tuple[str, ...]) -> Property:
    return Property(
        path=path,
        description=draw(st.sampled_from(["A word: or two.", "Plain"])),
        types=types,
        required=draw(st.booleans()),
        allowed_values=tuple(draw(st.lists(st.sampled_from(["a", "b c", 1, True]), max_size=3, unique_by=str))),
        pattern=draw(st.none() | st.sampled_from(["^[A-Z]{3}$", r"\d+'\.", "#x: y"])),
        minimum=draw(st.none() | st.integers(-5, 5)),
        maximum=draw(st.none() | st.sampled_from([0, 1.5])),
        min_length=draw(st.none() | st.integers(0, 3)),
        max_length=draw(st.none() | st.integers(0, 3)),
        pii=draw(st.booleans()),
        on_violation=draw(POLICY),
    )


def in_order(planned: list[PlannedEvent]) -> list[PlannedEvent]:
    return [
        replace(item, properties=tuple(sorted(item.properties, key=lambda one: one.path)))
        for item in sorted(planned, key=lambda one: one.model)
    ]


@given(planned=plans())
@settings(max_examples=60)
def test_a_plan_comes_back_from_an_export_and_from_its_files(planned: list[PlannedEvent]):
    exported = json.loads(json.dumps(export_plan(planned)))
    for rule in exported["rules"]:
        Draft7Validator.check_schema(rule["jsonSchema"])
    imported = import_plan(exported)
    assert in_order(imported.planned) == in_order(planned)
    assert imported.left_out == []
    files = {item.model: as_yaml(item) for item in planned}
    assert in_order(plan_of(files)) == in_order(planned)
    # Written over what is there, nothing changes.
    assert {item.model: as_yaml(item, files[item.model]) for item in planned} == files


def test_the_projects_own_plan_comes_back():
    planned = read_plan(ROOT)
    assert len(planned) > 30
    assert import_plan(export_plan(planned)).planned == planned


FIELDS = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "Order ID": {"type": ["string", "null"], "description": "Number."},
        "total": {"type": "number", "minimum": 0},
        "placed at": {"type": "string", "format": "date-time"},
        "state": {"enum": ["open", "paid"], "type": "string", "$comment": "x"},
        "lines": {"type": "array", "items": {"type": "object", "required": ["sku"],
                                             "properties": {"sku": {"type": "string"}}}},
        "address": {"type": "object", "properties": {"city": {"type": "string", "maxLength": 9}}},
    },
    "required": ["total"],
}  # fmt: skip
MESSAGE = {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object",
           "properties": {"context": {}, "traits": {}, "properties": FIELDS}}  # fmt: skip
FILES: dict[str, Any] = {
    "segment, public api": {"data": {"rules": [{"type": "TRACK", "key": "Shop Ordered", "version": 1,
                                                "jsonSchema": MESSAGE}]}},
    "segment, tracking plan": {"display_name": "Plan", "rules": {"events": [{"name": "Shop Ordered", "version": 1,
                                                                             "rules": MESSAGE}], "identify": {}}},
    "rudderstack": {"name": "Plan", "version": 3, "events": [{"name": "Shop Ordered", "eventType": "track",
                                                              "identitySection": "", "rules": MESSAGE}]},
    "rudderstack, rules": {"rules": {"events": [{"name": "Shop Ordered", "eventType": "track", "rules": MESSAGE}]}},
    "avo": {"events": [{"id": "x", "name": "Shop Ordered", "rules": {"type": "object", "properties": {
        "event": {"const": "Shop Ordered"}, "properties": FIELDS}}}]},
    "a list of schemas": [{"name": "Shop Ordered", "schema": FIELDS}],
}  # fmt: skip


@pytest.mark.parametrize("tool", FILES)
def test_a_plan_of_another_tool_is_read(tool: str, tmp_path: Path):
    imported = import_plan(FILES[tool])
    (planned,) = imported.planned
    assert (planned.model, planned.event, planned.unplanned_properties) == ("shop_ordered", "Shop Ordered", "flag")
    assert {item.path: (item.column, item.data_type) for item in planned.properties if item.column} == {
        "Order ID": ("order_id", "string"), "total": ("total", "numeric(18, 4)"),
        "placed at": ("placed_at", "timestamp"), "state": ("state", "string"), "lines": ("lines", "json"),
        "address": ("address", "json"),
    }  # fmt: skip
    assert planned.property("total") == Property("total", "", "total", "numeric(18, 4)", required=True, minimum=0)
    assert planned.property("lines[].sku").required
    assert planned.property("address.city").max_length == 9
    assert planned.property("state").allowed_values == ("open", "paid")
    assert [note for note in imported.left_out if "$comment" in note]
    write_plan(tmp_path, [planned])
    assert [item.event for item in read_plan(tmp_path)] == ["Shop Ordered"]
    assert write_plan(tmp_path, [planned]) == []


@pytest.mark.parametrize("content", [{}, [], "x", {"rules": {}}, {"events": [{"name": "x"}]}])
def test_a_file_without_a_plan_is_refused(content: Any):
    with pytest.raises(UsageError, match="no tracking plan"):
        import_plan(content)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A copy of the project that a test may edit."""
    with new_project("duckdb", copy_project(ROOT, tmp_path / "project"), tmp_path) as made:
        yield made


def test_a_wrong_plan_says_model_column_and_rule(project: Project):
    file = project.root / "models/events/planned/order_refunded.yml"
    content = yaml.safe_load(file.read_text())
    content["models"][0]["config"]["meta"]["plan"] |= {"on_violation": "explode", "ower": "x", "version": 0}
    wrong = {
        "order_id": {"requierd": True, "type": "strng"},
        "total": {"minimum": "zero", "on_violation": {"minimum": "bin"}},
        "currency": {"pattern": "^[A-Z{3}$", "max_length": -1, "allowed_values": "EUR"},
    }
    for column in content["models"][0]["columns"]:
        if column["name"] in wrong:
            column["config"]["meta"] |= wrong[column["name"]]
    file.write_text(yaml.safe_dump(content))
    try:
        result = run_dbt(project, ["compile", "--select", "checked_events"], {"unplanned_events": "shout"})
        message = " ".join(node.message for node in result.nodes if node.failed)
    except CdiError as error:
        message = error.message
    message = " ".join(message.split())
    for part in (
        "order_refunded, meta.plan: on_violation is 'explode'",
        "order_refunded, meta.plan: 'ower' is nothing a plan has",
        "order_refunded, meta.plan: version '0'",
        "order_refunded, column order_id: unknown rule 'requierd'",
        "order_refunded, column order_id, rule 'type': \"strng\" is not a type (string, number",
        "order_refunded, column total, rule 'minimum': \"zero\" is not a number",
        "order_refunded, column total, on_violation of rule 'minimum': 'bin'",
        "order_refunded, column currency, rule 'pattern': ^[A-Z{3}$ has a [ or ] without the other",
        "order_refunded, column currency, rule 'max_length': -1 is not a whole number",
        "order_refunded, column currency, rule 'allowed_values': \"EUR\" is not a list of values",
        "var unplanned_events is 'shout'",
    ):
        assert part in message, (part, message)


class Returned(Exception):
    pass


def pattern_problem(pattern: str) -> str:
    """The macro of that name, outside dbt."""

    def give(value: str) -> None:
        raise Returned(value)

    source = (ROOT / "macros/governance/plan.sql").read_text()
    source = source[source.index("{% macro pattern_problem") :]
    environment = jinja2.Environment(extensions=["jinja2.ext.do"])
    environment.globals |= {"modules": {"re": re}, "return": give}
    try:
        environment.from_string(source).module.pattern_problem(pattern)
    except Returned as returned:
        return str(returned)
    raise AssertionError("the macro returned nothing")


@given(st.text("ab1[]()|*+?{}.^$\\d-,é'", max_size=9))
@settings(max_examples=400)
def test_a_pattern_that_is_taken_works_in_the_warehouse(pattern: str):
    if pattern_problem(pattern):
        return
    re.compile(pattern)
    with duckdb.connect() as connection:
        assert connection.execute("select regexp_matches('ab1', $pattern)", {"pattern": pattern}).fetchall()


@pytest.mark.parametrize(
    "pattern", ["^[A-Z]{3}$", r"^[^@ ]+@[^@ ]+\.[a-z]{2,}$", r"^\+?[0-9 ()/-]+$", "^(a|b)*$", "a{0,3}"]
)
def test_usual_patterns_are_taken(pattern: str):
    assert pattern_problem(pattern) == ""


def test_the_difference_between_revisions_names_whom_it_breaks(project: Project):
    root = project.root
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.com", "-C", str(root)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "models"], check=True)
    subprocess.run([*git, "commit", "-qm", "before"], check=True)
    planned = {item.model: item for item in read_plan(root)}
    order = planned["order_completed"]
    changed = replace(
        order,
        properties=tuple(
            replace(item, data_type="string") if item.path == "revenue"
            else replace(item, required=True) if item.path == "coupon" else item
            for item in order.properties
        ),
    )  # fmt: skip
    write_plan(root, [changed])
    (root / "models/events/planned/coupon_denied.yml").unlink()
    (root / "models/events/planned/coupon_denied.sql").unlink()
    changes = compare(plan_at(root, "HEAD"), plan_at(root, None))
    found = {item.change.what: item for item in effects(changes, Lineage.of(load_manifest(project)))}
    revenue = found["revenue: column type numeric(18, 4) → string"]
    assert revenue.change.breaks
    assert {"order_traits", "profiles", "high_value_customers"} <= revenue.users.names
    assert any("high_value_customers" in name for name in revenue.users.by_floor["syncs"])
    assert "profile_newsletter" not in revenue.users.names
    assert "high_value_customers" not in found["coupon: is required now"].users.names
    assert not found["is planned no more: such events are unplanned"].users.names
    assert compare(plan_at(root, "HEAD"), plan_at(root, "HEAD")) == []
    with pytest.raises(UsageError, match="git cannot show"):
        plan_at(root, "no-such-branch")
    with pytest.raises(UsageError, match="git cannot show"):
        plan_at(root, "--output=x")


def test_the_exported_schema_holds_what_the_plan_says():
    schema = event_schema(next(item for item in read_plan(ROOT) if item.model == "order_completed"))
    validator = Draft7Validator(schema)
    assert validator.is_valid({"properties": {"order_id": "1", "currency": "EUR", "revenue": None}})
    for wrong in ({}, {"properties": {}}, {"properties": {"order_id": 1}},
                  {"properties": {"order_id": "1", "currency": "euro"}},
                  {"properties": {"order_id": "1", "products": [{"price": 1}]}}):  # fmt: skip
        assert not validator.is_valid(wrong), wrong
