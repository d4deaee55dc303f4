"""The quarantine: what waits there and why, and events let out of it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cdi.dbt import load_manifest, run_dbt
from cdi.errors import GateError, UsageError
from cdi.landing.tables import ensure_tables
from cdi.project import Project
from cdi.warehouse import Warehouse, connect, quote

RELEASES = '"raw"."quarantine_releases"'
JSON_FIELDS = ("properties", "traits", "context")
TEXT_FIELDS = ("type", "event", "user_id", "anonymous_id", "previous_id", "group_id")
"""What of an event can be mended."""

_KEPT_FIELDS = ("event_id", "source", "channel", "event_at", "received_at")

# A merge patch as in RFC 7396, which DuckDB knows by itself.
_POSTGRES_MERGE_PATCH = """
create or replace function pg_temp.json_merge_patch(target jsonb, patch jsonb) returns jsonb
language plpgsql immutable as $function$
begin
    if jsonb_typeof(patch) <> 'object' then
        return patch;
    end if;
    return (
        select coalesce(jsonb_object_agg(key, value), '{}')
        from (
            select
                coalesce(patched.key, kept.key) as key,
                case when patched.key is null then kept.value
                    else pg_temp.json_merge_patch(kept.value, patched.value) end as value
            from jsonb_each(case when jsonb_typeof(target) = 'object' then target else '{}' end) as kept
            full join jsonb_each(patch) as patched on patched.key = kept.key
            where patched.key is null or jsonb_typeof(patched.value) <> 'null'
        ) as fields
    );
end $function$
"""


@dataclass(frozen=True)
class Waiting:
    """Events that wait for the same reason."""

    type: str
    event: str | None
    owner: str | None
    planned_event: str | None
    plan_version: int | None
    rules: str
    """What they break, as `path rule` one after the other."""
    events: int
    first_received_at: datetime
    last_received_at: datetime
    example: str
    """Id of one of them."""


@dataclass(frozen=True)
class Selection:
    """Which quarantined events are meant: by id, by name, by rule, or all."""

    event_ids: tuple[str, ...] = ()
    event: str | None = None
    rule: str | None = None
    all: bool = False


@dataclass
class Release:
    """What became of a release."""

    released: int = 0
    let_in: int = 0
    still_broken: dict[str, int] = field(default_factory=dict)
    """Reason to number of events."""


@dataclass(frozen=True)
class Tables:
    """Where things lie, quoted."""

    quarantine: str
    checked_events: str
    owners: Mapping[str, str]

    @classmethod
    def of(cls, project: Project) -> Tables:
        """The tables that dbt's manifest names."""
        models = {node.name: node for node in load_manifest(project).nodes.values() if node.resource_type == "model"}
        names = {name: quote(models[name].schema, models[name].alias) for name in ("quarantine", "checked_events")}
        plans = {name: node.config.meta["plan"] for name, node in models.items() if node.config.meta.get("plan")}
        return cls(**names, owners={name: plan["owner"] for name, plan in plans.items() if plan.get("owner")})


def waiting(project: Project) -> list[Waiting]:
    """What waits in quarantine, by event and what it breaks, most events first."""
    tables = Tables.of(project)
    with connect(project) as warehouse:
        _require(warehouse, tables)
        # The value seen is the event's own: without it, reasons are the same for many.
        rules = "regexp_replace(substr(broken_rules, 2), '\\x1f[^\\x1e\\x1f]*(\\x1e|$)', '; ', 'g')"
        rows = warehouse.query(
            f"select type, event, planned_event, plan_version, rtrim(replace({rules}, chr(31), ' '), '; ') as rules,"
            f" count(*), min(received_at), max(received_at), min(event_id)"
            f" from {tables.quarantine} group by 1, 2, 3, 4, 5 order by 6 desc, 1, 2, 5"
        )
    return [
        Waiting(type_, event, tables.owners.get(planned or ""), planned, version, rules or "", *rest)
        for type_, event, planned, version, rules, *rest in rows
    ]


def shown(project: Project, event_id: str) -> dict[str, Any]:
    """A quarantined event, whole; raises UsageError where there is none of that id."""
    tables = Tables.of(project)
    with connect(project) as warehouse:
        _require(warehouse, tables)
        names = [*_KEPT_FIELDS, *TEXT_FIELDS, "planned_event", "plan_version", "verdict", "reasons", "loaded_at"]
        columns = [*names, *(f"cast({name} as text)" for name in JSON_FIELDS)]
        rows = warehouse.query(
            f"select {', '.join(columns)} from {tables.quarantine} where event_id = $event_id", {"event_id": event_id}
        )
    if not rows:
        raise UsageError(
            f"There is no event {event_id} in quarantine.", "`cdi quarantine list` names an example of each kind."
        )
    event = dict(zip([*names, *JSON_FIELDS], rows[0], strict=True))
    return {
        name: json.loads(value) if name in JSON_FIELDS and value is not None else value for name, value in event.items()
    }


def patch_of(settings: Iterable[str], patch: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A merge patch (RFC 7396) of `path=value` settings put over `patch`.

    A value is JSON where it can be read as such, else text; null takes a field away. Raises UsageError for what is no
    such setting, and for fields that an event does not have.
    """
    merged: dict[str, Any] = json.loads(json.dumps(patch or {}))
    for setting in settings:
        path, equals, text = setting.partition("=")
        keys = [key for key in path.strip().split(".") if key]
        if not equals or not keys or "[" in path:
            raise UsageError(
                f"'{setting}' is no setting.",
                "Write path=value, such as properties.order_id=W-1; lists are set whole, as JSON.",
            )
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        place = merged
        for key in keys[:-1]:
            place = place.setdefault(key, {})
            if not isinstance(place, dict):
                raise UsageError(f"'{setting}' sets a part of what another setting gives whole.")
        place[keys[-1]] = value
    for key, value in merged.items():
        if key not in (*JSON_FIELDS, *TEXT_FIELDS):
            raise UsageError(
                f"An event has no field '{key}' that could be mended.",
                f"There are {', '.join((*JSON_FIELDS, *TEXT_FIELDS))}; properties are set as properties.<name>.",
            )
        if key in JSON_FIELDS and not isinstance(value, dict):
            raise UsageError(f"'{key}' is an object: set its fields, such as {key}.name=value.")
        if key in TEXT_FIELDS and isinstance(value, dict | list):
            raise UsageError(f"'{key}' is a text.")
    return merged


def release(project: Project, selection: Selection, patch: Mapping[str, Any] | None = None) -> Release:
    """Let quarantined events out, mended by a merge patch, and hold them against the plan anew.

    They arrive once more, later than every load before: the next run takes in those that keep the plan. What breaks it
    still waits on. Raises UsageError where nothing is selected.
    """
    tables = Tables.of(project)
    load_id = f"release-{uuid.uuid4().hex}"
    with connect(project) as warehouse, warehouse.lock("land"):
        _require(warehouse, tables)
        ensure_tables(warehouse, [])
        if warehouse.dialect == "postgres":
            warehouse.execute(_POSTGRES_MERGE_PATCH)
        with warehouse.transaction():
            result = Release(released=_file(warehouse, tables, selection, patch_of((), patch), load_id))
    if not result.released:
        raise UsageError(
            "No event in quarantine is meant, or what is meant has been released and waits for the next run.",
            "`cdi quarantine list` says what waits.",
        )
    checked = run_dbt(project, ["run", "--select", "checked_events"])
    if not checked.success:
        problem = next((node.message for node in checked.nodes if node.failed), "dbt did not finish.")
        raise GateError(
            f"The events are released but could not be checked: {' '.join(problem.split())}",
            "The next `cdi run` checks them.",
        )
    with connect(project) as warehouse:
        rows = warehouse.query(
            "select checked.verdict, quarantine.reasons, count(*)"
            f" from {RELEASES} as releases inner join {tables.checked_events} as checked"
            " on releases.event_id = checked.event_id and releases.loaded_at = checked.loaded_at"
            f" left join {tables.quarantine} as quarantine on releases.event_id = quarantine.event_id"
            " where releases.load_id = $load_id group by 1, 2 order by 3 desc",
            {"load_id": load_id},
        )
    for verdict, reasons, count in rows:
        if verdict == "passed":
            result.let_in += count
        else:
            result.still_broken[reasons or ""] = count
    return result


def _file(warehouse: Warehouse, tables: Tables, selection: Selection, patch: Mapping[str, Any], load_id: str) -> int:
    """Write the release and its load; returns how many events it lets out."""
    newest = [
        warehouse.query(f"select max(loaded_at) from {table}")[0][0]
        for table in ("raw.loads", tables.checked_events, RELEASES)
    ]
    now = datetime.now(UTC).replace(tzinfo=None)
    loaded_at = max([now, *(moment + timedelta(microseconds=1) for moment in newest if moment is not None)])
    values: dict[str, Any] = {"load_id": load_id, "loaded_at": loaded_at}
    columns = [f"quarantined.{name} as {name}" for name in _KEPT_FIELDS]
    for name in TEXT_FIELDS:
        if name in patch:
            values[name] = None if patch[name] is None else str(patch[name])
            columns.append(f"cast(${name} as text) as {name}")
        else:
            columns.append(f"quarantined.{name} as {name}")
    kind, function = _by_dialect(
        warehouse, duckdb=("json", "json_merge_patch"), postgres=("jsonb", "pg_temp.json_merge_patch")
    )
    for name in JSON_FIELDS:
        if name in patch:
            values[name] = json.dumps(patch[name])
            columns.append(
                f"{function}(coalesce(quarantined.{name}, cast('{{}}' as {kind})), cast(${name} as {kind})) as {name}"
            )
        else:
            columns.append(f"quarantined.{name} as {name}")
    values["patch"] = json.dumps(patch) if patch else None
    condition = _condition(selection, values)
    names = [*_KEPT_FIELDS, *TEXT_FIELDS, *JSON_FIELDS]
    warehouse.execute(
        f"insert into {RELEASES} ({', '.join(names)}, patch, load_id, loaded_at, source_file, source_line)"
        f" select {', '.join(columns)}, cast($patch as {kind}), $load_id, cast($loaded_at as timestamp),"
        " cast(null as text), row_number() over (order by quarantined.event_id)"
        f" from {tables.quarantine} as quarantined where {condition}"
        # What has been released and not been checked yet is not released twice.
        f" and not exists (select 1 from {RELEASES} as earlier where earlier.event_id = quarantined.event_id"
        " and earlier.loaded_at > quarantined.loaded_at)",
        values,
    )
    count = warehouse.query(f"select count(*) from {RELEASES} where load_id = $load_id", {"load_id": load_id})[0][0]
    if count:
        warehouse.execute(
            "insert into raw.loads (load_id, source, source_table, rows_landed, rows_rejected, loaded_at)"
            " values ($load_id, 'quarantine', 'releases', $count, 0, $loaded_at)",
            {"load_id": load_id, "loaded_at": loaded_at, "count": count},
        )
    return count


def _condition(selection: Selection, values: dict[str, Any]) -> str:
    conditions = []
    if selection.event_ids:
        values["event_ids"] = list(selection.event_ids)
        conditions.append("quarantined.event_id = any($event_ids)")
    if selection.event:
        values["of_event"] = selection.event
        conditions.append("(quarantined.event = $of_event or quarantined.planned_event = $of_event)")
    if selection.rule:
        values["of_rule"] = selection.rule
        # Between its separators the rule is a rule, and no part of a value.
        conditions.append("position(chr(31) || $of_rule || chr(31) in quarantined.broken_rules) > 0")
    if not conditions and not selection.all:
        raise UsageError("Nothing is selected.", "Name event ids, --event or --rule, or --all.")
    return " and ".join(conditions) or "true"


def _by_dialect(warehouse: Warehouse, **values: Any) -> Any:
    return values[warehouse.dialect]


def _require(warehouse: Warehouse, tables: Tables) -> None:
    schema, table = (part.strip('"') for part in tables.quarantine.split("."))
    if not warehouse.relation_exists(schema, table):
        raise UsageError(f"{schema}.{table} is not there: it has not been built yet.", "Build it with `cdi run`.")
