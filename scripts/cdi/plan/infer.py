"""A first draft of the plan from what has landed: its events, their properties, and the rules these keep to."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from cdi.dbt import load_manifest
from cdi.errors import UsageError
from cdi.plan.files import OWN_COLUMNS, read_plan
from cdi.plan.model import PlannedEvent, Property, data_type_of, snake_case
from cdi.project import Project
from cdi.warehouse import Warehouse, connect, quote

FEW_VALUES = 8
"""So many different texts, at the most, are taken for a list of allowed values,"""
MANY_EVENTS = 100
"""if so many events, at the least, carried one."""

_PERSONAL = re.compile(
    r"e_?mail|phone|mobile|first_?name|last_?name|full_?name|birth|address|street|postal|zip_?code|iban|passport|ssn"
)
_TIME = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}"


@dataclass(frozen=True)
class _Seen:
    """A property as it was seen in the events of one kind."""

    path: str
    events: int
    types: tuple[str, ...]
    different: int
    only_times: bool
    longest: int


def infer(project: Project, events: Iterable[str] = (), sample: int = 1_000_000) -> list[PlannedEvent]:
    """Drafts for the events of these names, or for all that are not planned yet, from the newest `sample` events.

    Raises UsageError where there is none.
    """
    wanted = set(events)
    planned = {(item.type, item.event) for item in read_plan(project.root)}
    nodes = load_manifest(project).nodes.values()
    table = next(quote(node.schema, node.alias) for node in nodes if node.name == "checked_events")
    with connect(project) as warehouse:
        schema, name = (part.strip('"') for part in table.split("."))
        if not warehouse.relation_exists(schema, name):
            raise UsageError(f"{schema}.{name} is not there: nothing has been built yet.", "Run `cdi run` first.")
        found = _look(warehouse, table, sample)
        drafts = [
            _draft(warehouse, table, sample, type_, event, count, properties)
            for (type_, event), (count, properties) in sorted(found.items(), key=lambda item: -item[1][0])
            if (event in wanted if wanted else (type_, event) not in planned and (type_, None) not in planned)
        ]
    if not drafts:
        raise UsageError(
            f"No event of the name {', '.join(sorted(wanted))} has landed." if wanted
            else "Every event that landed is planned already.",
            "Name an event to draft it anew.",
        )  # fmt: skip
    return drafts


def _fields(table: str, sample: int) -> str:
    """The newest events of streams with what they say. Names of pages and screens are values, not events."""
    return (
        "select event_id, type, case when type = 'track' then event end as event,"
        " case when type in ('identify', 'group') then traits else properties end as fields"
        f" from {table} where source in ('segment', 'segment_warehouse') and type <> 'alias'"
        f" order by loaded_at desc limit {int(sample)}"
    )


def _pairs(warehouse: Warehouse, table: str, sample: int) -> str:
    """One row per event and property, and per field of a list's items; path, kind of JSON, and text."""
    if warehouse.dialect == "duckdb":
        kind = (
            "case pair.type when 'VARCHAR' then 'string' when 'BOOLEAN' then 'boolean' when 'ARRAY' then 'array'"
            " when 'OBJECT' then 'object' when 'NULL' then 'null' else 'number' end"
        )
        value, text = "pair.value", "json_extract_string(pair.value, '$')"
        each = "json_each(case when json_type({0}) = 'OBJECT' then {0} end) as pair"
        items = (
            "(select *, unnest(case when kind = 'array' then cast(value as json[]) else [] end) as item from top)"
            " as lists"
        )
    else:
        kind = "jsonb_typeof(pair.value)"
        value, text = "pair.value", "(pair.value #>> '{{}}')".replace("{{}}", "{}")
        each = "jsonb_each(case when jsonb_typeof({0}) = 'object' then {0} end) as pair (key, value)"
        items = (
            "(select top.*, items.item from top cross join lateral jsonb_array_elements("
            "case when kind = 'array' then top.value end) as items (item)) as lists"
        )
    return f"""
        rows as ({_fields(table, sample)}),
        top as (
            select
                rows.event_id, rows.type, rows.event, pair.key as path, {kind} as kind, {text} as text,
                {value} as value
            from rows cross join lateral {each.format("rows.fields")}
        ),
        inner_fields as (
            select
                lists.event_id, lists.type, lists.event, lists.path || '[].' || pair.key as path, {kind} as kind,
                {text} as text
            from {items} cross join lateral {each.format("lists.item")}
        ),
        pairs as (
            select event_id, type, event, path, kind, text from top
            union all
            select event_id, type, event, path, kind, text from inner_fields
        )
    """


def _look(warehouse: Warehouse, table: str, sample: int) -> dict[tuple[str, Any], tuple[int, list[_Seen]]]:
    counts = warehouse.query(f"select type, event, count(*) from ({_fields(table, sample)}) as rows group by 1, 2")
    matches = "regexp_matches(text, $time)" if warehouse.dialect == "duckdb" else "text ~ $time"
    seen: defaultdict[tuple[str, Any], list[_Seen]] = defaultdict(list)
    rows = warehouse.query(
        f"with {_pairs(warehouse, table, sample)} select type, event, path, count(distinct event_id),"
        " string_agg(distinct kind, ','), count(distinct substr(text, 1, 60)),"
        f" coalesce(bool_and({matches}) filter (where kind = 'string'), false), max(length(text))"
        " from pairs where kind <> 'null' group by 1, 2, 3 order by 1, 2, 3",
        {"time": _TIME},
    )
    for type_, event, path, events, kinds, different, only_times, longest in rows:
        if not re.search(r"[.\[\]]", path.replace("[].", "", 1)) and path:
            types = tuple(sorted(kinds.split(",")))
            seen[type_, event].append(_Seen(path, events, types, different, only_times, longest))
    return {(type_, event): (count, seen[type_, event]) for type_, event, count in counts if type_ != "track" or event}


def _draft(
    warehouse: Warehouse, table: str, sample: int, type_: str, event: str | None, count: int, seen: list[_Seen]
) -> PlannedEvent:
    properties, taken = [], set(OWN_COLUMNS)
    in_lists = {item.path.split("[")[0]: item.events for item in seen if "[" not in item.path}
    for item in seen:
        types = ("timestamp",) if item.types == ("string",) and item.only_times else item.types
        personal = bool(_PERSONAL.search(snake_case(item.path)))
        drafted = Property(
            path=item.path,
            types=types,
            # Of a list's fields: in every event that has the list.
            required=item.events == (in_lists.get(item.path.split("[")[0], 0) if "[" in item.path else count),
            pii=personal,
        )
        if "[" not in item.path:
            column = snake_case(item.path)
            while column in taken:
                column += "_2"
            taken.add(column)
            data_type = data_type_of(types)
            says_all = Property(path=item.path, data_type=data_type).json_types == types
            drafted = replace(drafted, column=column, data_type=data_type, types=() if says_all else types)
            if types == ("string",) and not personal and item.different <= FEW_VALUES and item.events >= MANY_EVENTS:
                drafted = replace(drafted, allowed_values=_values(warehouse, table, sample, type_, event, item.path))
        properties.append(drafted)
    name = event or {"identify": "identified", "group": "grouped"}.get(type_, f"{type_}_viewed")
    return PlannedEvent(
        model=snake_case(name),
        type=type_,
        event=event,
        description=f"{event or type_}: drafted from {count:,} events; say here what it means.",
        properties=tuple(sorted(properties, key=lambda item: item.path)),
    )


def _values(warehouse: Warehouse, table: str, sample: int, type_: str, event: str | None, path: str) -> tuple[str, ...]:
    rows = warehouse.query(
        f"with {_pairs(warehouse, table, sample)} select distinct text from pairs where type = $type"
        " and coalesce(event, '') = $event and path = $path and text is not null order by 1",
        {"type": type_, "event": event or "", "path": path},
    )
    return tuple(text for (text,) in rows)
