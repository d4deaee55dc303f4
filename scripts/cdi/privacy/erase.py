"""The places that a person is deleted from, one transaction each."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cdi.dbt import run_dbt
from cdi.errors import CdiError
from cdi.identity.tables import IdentityTables
from cdi.pii import refresh_masks
from cdi.privacy.people import spellings
from cdi.privacy.raw import SHORTEST, all_rows
from cdi.project import Project
from cdi.warehouse import Warehouse, now, quote

# Bound to a batch by its parameter.
EVENTS = "(select event_id, source, load_id, source_line from cdi.privacy_events where batch_id = $batch)"
IDENTIFIERS = "(select identifier from cdi.privacy_identifiers where batch_id = $batch and not is_shared)"


def place(warehouse: Warehouse, batch_id: str, name: str, work: Callable[[], int], status: str = "FINISHED") -> None:
    """Do the work of a place once, and write down that it is done, in one transaction."""
    batch = {"batch": batch_id, "place": name}
    if warehouse.query("select 1 from cdi.privacy_request_places where batch_id = $batch and place = $place", batch):
        return
    with warehouse.transaction():
        rows = work()
        warehouse.execute(
            "insert into cdi.privacy_request_places (batch_id, place, status, count_rows, finished_at)"
            " select $batch, $place, $status, $rows, cast($now as timestamp)",
            {**batch, "status": status, "rows": max(rows, 0), "now": now()},
        )


def before_models(
    project: Project, warehouse: Warehouse, manifest: Any, tables: IdentityTables, batch_id: str, internal: bool
) -> None:
    """Everything below the models that are built anew, and what tools are to be told."""
    batch = {"batch": batch_id}
    for sync, keys in keys_of_syncs(warehouse, manifest):
        if internal:
            place(
                warehouse, batch_id, f"tool: {sync} (not told)", lambda s=sync, k=keys: _forget(warehouse, batch, s, k)
            )
        else:
            place(
                warehouse, batch_id, f"tool: {sync}", lambda s=sync, k=keys: _queue(warehouse, batch, s, k), "RUNNING"
            )
    # Several conditions may hold for one table: it is one place.
    by_table: dict[tuple[str, str], list] = {}
    for rows in all_rows(project, warehouse, EVENTS, IDENTIFIERS):
        by_table.setdefault((rows.schema, rows.table), []).append(rows)
    for (schema, table), conditions in by_table.items():
        place(warehouse, batch_id, f"{schema}.{table}", lambda c=conditions: sum(r.delete(warehouse, batch) for r in c))
    for schema, table in _tables_of_events(warehouse, manifest, tables):
        gone = f"delete from {quote(schema, table)} where event_id in (select event_id from {EVENTS} as gone)"
        place(warehouse, batch_id, f"{schema}.{table}", lambda sql=gone: warehouse.execute(sql, batch))
    # Never built anew. Whoever shares a profile with the person enters again, as what the profile is without them.
    graph = tables["identity_graph"]
    for source in [one for one in manifest.sources.values() if one.identifier == "audience_membership_history"]:
        gone = (
            f"delete from {quote(source.schema, source.identifier)} where profile_id in (select graph.profile_id from"
            f" {graph} as graph inner join {IDENTIFIERS} as named on graph.identifier = named.identifier union"
            f" select graph.first_profile_id from {graph} as graph inner join {IDENTIFIERS} as named"
            " on graph.identifier = named.identifier)"
        )
        name = f"{source.schema}.{source.identifier}"
        place(warehouse, batch_id, name, lambda sql=gone: warehouse.execute(sql, batch))
    place(warehouse, batch_id, "scratch schemas", lambda: _drop_scratch(warehouse))


def models(project: Project, tables: IdentityTables, batch_id: str, as_of: str | None) -> None:
    """Everything above events, built from its beginning, as if the person had never been."""
    from cdi.privacy.requests import session

    with session(project, tables) as warehouse:
        if not warehouse.query("select 1 from cdi.privacy_events where batch_id = $batch limit 1", {"batch": batch_id}):
            # Of somebody without an event nothing was built.
            place(warehouse, batch_id, "models", lambda: 0)
            return
    arguments = ["run", "--full-refresh", "--select", "checked_events+", "--exclude", "checked_events"]
    result = run_dbt(project, arguments, {"as_of": as_of} if as_of else None)
    if failed := [node for node in result.nodes if node.failed]:
        raise CdiError(
            f"{failed[0].name} could not be built without the person. The request is not finished.",
            "See logs/dbt.log, mend the model and run `cdi privacy resume`.",
        )
    refresh_masks(project, result.manifest)
    with session(project, tables) as warehouse:
        place(warehouse, batch_id, "models", lambda: len(result.nodes))


def after_models(project: Project, warehouse: Warehouse, batch_id: str) -> None:
    """Logs, in which a failed statement may have left a value."""
    values = warehouse.query(
        "select distinct substr(identifier, strpos(identifier, ':') + 1) from cdi.privacy_identifiers"
        " where batch_id = $batch and not is_shared",
        {"batch": batch_id},
    )
    words = {value.lower() for (value,) in values if len(value) >= SHORTEST}
    place(warehouse, batch_id, "log files", lambda: clean_logs(project.root, words))


def clean_logs(root: Path, words: set[str]) -> int:
    """Take the lines that hold one of the words out of log files; returns how many."""
    removed = 0
    pattern = spellings(words) if len(words) <= 1000 else None
    for path in sorted((root / "logs").rglob("*.log*")) if words else []:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        kept = [line for line in lines if not (pattern.search(line) if pattern else _holds(line, words))]
        if len(kept) < len(lines):
            path.write_text("".join(kept), encoding="utf-8")
            removed += len(lines) - len(kept)
    return removed


def _holds(line: str, words: set[str]) -> bool:
    return not words.isdisjoint(re.split(r"[^a-z0-9@._+-]+", line.lower()))


def scrub(warehouse: Warehouse) -> None:
    """Have the warehouse let go of deleted rows, as far as it offers that."""
    if warehouse.dialect == "duckdb":
        warehouse.execute("checkpoint")
        return
    tables = warehouse.query(
        "select schemaname, relname from pg_stat_user_tables"
        " where schemaname in ('raw', 'cdi') or relname = 'checked_events'"
    )
    for schema, table in tables:
        warehouse.execute(f"vacuum {quote(schema, table)}")


def keys_of_syncs(warehouse: Warehouse, manifest: Any) -> list[tuple[str, str]]:
    """(sync, a select of the keys that a batch's people have there) of the syncs that ever delivered something."""
    known = {
        row[0]
        for row in warehouse.query(
            "select sync from cdi.sync_state union select sync from cdi.sync_rejected"
            " union select sync from cdi.sync_changes"
        )
    }
    found = []
    graph = IdentityTables.of(manifest)["identity_graph"]
    people = (
        f"select graph.profile_id from {graph} as graph inner join cdi.privacy_identifiers as named"
        " on graph.identifier = named.identifier where named.batch_id = $batch"
    )
    nodes = {node.name: node for node in manifest.nodes.values()}
    for sync in sorted(known):
        keys = (
            f"{people} union select identifier from {IDENTIFIERS} as named"
            f" union select substr(identifier, strpos(identifier, ':') + 1) from {IDENTIFIERS} as named"
        )
        node = nodes.get(sync)
        key = node.config.meta.get("sync", {}).get("key") if node else None
        if key and key != "profile_id" and warehouse.relation_exists(node.schema, node.alias):
            keys += (
                f" union select cast({quote(key)} as text) from {quote(node.schema, node.alias)} as model"
                f" where profile_id in ({people})"
            )
        found.append((sync, keys))
    return found


def tools_of(warehouse: Warehouse, manifest: Any, batch_id: str) -> dict[str, int]:
    """How many rows of a batch's people each sync delivered."""
    counts = {
        sync: warehouse.query(
            f"select count(distinct key) from cdi.sync_state where sync = $sync and key in ({keys})",
            {"sync": sync, "batch": batch_id},
        )[0][0]
        for sync, keys in keys_of_syncs(warehouse, manifest)
    }
    return {sync: count for sync, count in counts.items() if count}


def _queue(warehouse: Warehouse, batch: dict[str, str], sync: str, keys: str) -> int:
    """Ask a tool to delete what it got; the rows of its state go when it was told."""
    _forget_history(warehouse, batch, sync, keys)
    return warehouse.execute(
        "insert into cdi.deletion_requests (batch_id, sync, key, status, requested_at)"
        " select distinct $batch, $sync, held.key, 'INITIALIZED', cast($now as timestamp)"
        " from cdi.sync_state as held left join cdi.sync_runs as run on held.run_id = run.run_id"
        # What a run that was killed planned and did not send the tool never had.
        f" where held.sync = $sync and held.key in ({keys}) and (held.number is null or held.number <= run.sent_to)",
        {**batch, "sync": sync, "now": now()},
    )


def _forget(warehouse: Warehouse, batch: dict[str, str], sync: str, keys: str) -> int:
    """The warehouse no longer knows that the tool has them, and so the tool is not told."""
    _forget_history(warehouse, batch, sync, keys)
    return warehouse.execute(
        f"delete from cdi.sync_state where sync = $sync and key in ({keys})", {**batch, "sync": sync}
    )


def _forget_history(warehouse: Warehouse, batch: dict[str, str], sync: str, keys: str) -> None:
    for table in ("sync_rejected", "sync_changes"):
        warehouse.execute(f"delete from cdi.{table} where sync = $sync and key in ({keys})", {**batch, "sync": sync})


def _tables_of_events(warehouse: Warehouse, manifest: Any, tables: IdentityTables) -> list[tuple[str, str]]:
    """Tables with a row per event that no build above `events` makes anew: `events` and what lies beside it."""
    schemas = {tables.relation("events")[0]}
    schemas |= {
        node.schema
        for node in manifest.nodes.values()
        if node.resource_type == "model" and node.fqn[1:2] == ["governance"]
    }
    return [
        (schema, table)
        for schema in sorted(schemas)
        for (table,) in warehouse.query(
            "select columns.table_name from information_schema.columns as columns"
            " inner join information_schema.tables as tables on columns.table_schema = tables.table_schema"
            " and columns.table_name = tables.table_name where columns.table_schema = $schema"
            " and columns.column_name = 'event_id' and tables.table_type = 'BASE TABLE' order by 1",
            {"schema": schema},
        )
    ]


def _drop_scratch(warehouse: Warehouse) -> int:
    """What `cdi identity plan --keep` left is a copy of everybody."""
    if not warehouse.relation_exists("cdi", "plan_schemas"):
        return 0
    names = warehouse.query("select schema_name from cdi.plan_schemas")
    for (name,) in names:
        warehouse.execute(f"drop schema if exists {quote(name)} cascade")
        warehouse.execute("delete from cdi.plan_schemas where schema_name = $name", {"name": name})
    return len(names)
