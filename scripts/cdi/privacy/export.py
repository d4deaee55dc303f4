"""All that is known of one person, as JSON."""

from __future__ import annotations

import uuid
from typing import Any

import orjson
import pyarrow as pa

from cdi.dbt import load_manifest
from cdi.identity.tables import IdentityTables
from cdi.privacy.erase import EVENTS, IDENTIFIERS, keys_of_syncs
from cdi.privacy.keys import Hasher
from cdi.privacy.people import read_identifiers, resolve
from cdi.privacy.raw import all_rows
from cdi.privacy.requests import alone, session, undone
from cdi.project import Project
from cdi.sync.tools.json_values import to_json
from cdi.warehouse import Warehouse, now, quote

_PERSON = (
    "select graph.profile_id from {graph} as graph inner join cdi.privacy_identifiers as named"
    " on graph.identifier = named.identifier where named.batch_id = $batch"
)


def export(project: Project, identifier: str) -> bytes:
    """The person of an identifier (`type=value`) as JSON: identifiers, what each model says, raw records, deliveries.

    Keys: `identifiers`; `models`, by table, with every row that is about the person's profile, identifiers or events
    (profile, traits, consent, audiences and what each tool gets among them); `raw`, by table; `delivered`, one entry
    per sync that has the person, with the time; `requests`, the privacy requests made about these identifiers. Nothing
    in the warehouse is changed. Raises UsageError for what is no identifier.
    """
    manifest = load_manifest(project)
    tables = IdentityTables.of(manifest)
    batch = {"batch": uuid.uuid4().hex}
    with alone(project), session(project, tables) as warehouse, undone(warehouse):
        named = read_identifiers(warehouse, tables, [identifier], None)
        warehouse.execute(
            "insert into cdi.privacy_identifiers select $batch, $batch, $identifier, md5($identifier), true, false",
            {**batch, "identifier": named["identifier"][0].as_py()},
        )
        resolve(warehouse, tables, batch["batch"])
        document: dict[str, Any] = {
            "exported_at": now(),
            "identifiers": [
                row[0]
                for row in warehouse.query(
                    "select distinct identifier from cdi.privacy_identifiers where batch_id = $batch order by 1", batch
                )
            ],
            "models": _models(warehouse, manifest, tables, batch),
            "raw": {},
            "delivered": _delivered(warehouse, manifest, batch),
            "requests": _requests(warehouse, batch),
        }
        for rows in all_rows(project, warehouse, EVENTS, IDENTIFIERS):
            found = document["raw"].setdefault(f"{rows.schema}.{rows.table}", [])
            for row in _rows(warehouse, rows.schema, rows.table, rows.condition, batch):
                if row not in found:
                    found.append(row)
        document["raw"] = {name: rows for name, rows in document["raw"].items() if rows}
    return orjson.dumps(orjson.Fragment(to_json(document)), option=orjson.OPT_APPEND_NEWLINE)


def _models(
    warehouse: Warehouse, manifest: Any, tables: IdentityTables, batch: dict[str, str]
) -> dict[str, list[dict[str, Any]]]:
    person = _PERSON.format(graph=tables["identity_graph"])
    of_person = "select identifier from cdi.privacy_identifiers as named where batch_id = $batch"
    about = {
        "profile_id": f"landed.profile_id in ({person})",
        "identifier": f"landed.identifier in ({of_person})",
        "event_id": f"landed.event_id in (select event_id from {EVENTS} as gone)",
    }
    found = {}
    for node in sorted(manifest.nodes.values(), key=lambda node: (node.schema, node.name)):
        floor = node.fqn[1:2]
        # What these hold, raw records say better.
        if node.resource_type != "model" or floor == ["staging"] or node.name.startswith(("arrival", "events_from_")):
            continue
        columns = warehouse.column_names(node.schema, node.alias)
        condition = next((test for column, test in about.items() if column in columns), None)
        if condition and (rows := _rows(warehouse, node.schema, node.alias, condition, batch)):
            found[f"{node.schema}.{node.alias}"] = rows
    return found


def _rows(
    warehouse: Warehouse, schema: str, table: str, condition: str, parameters: dict[str, str]
) -> list[dict[str, Any]]:
    kinds = dict(
        warehouse.query(
            "select column_name, lower(data_type) from information_schema.columns where table_schema = $schema"
            " and table_name = $table order by ordinal_position",
            {"schema": schema, "table": table},
        )
    )
    columns = ", ".join(
        f"cast({quote(name)} as text) as {quote(name)}" if kind in ("json", "jsonb") else quote(name)
        for name, kind in kinds.items()
    )
    rows = warehouse.query(f"select {columns} from {quote(schema, table)} as landed where {condition}", parameters)
    return [
        {
            name: orjson.loads(value) if value is not None and kinds[name] in ("json", "jsonb") else value
            for name, value in zip(kinds, row, strict=True)
        }
        for row in rows
    ]


def _delivered(warehouse: Warehouse, manifest: Any, batch: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {"sync": sync, "key": key, "delivered_at": delivered_at}
        for sync, keys in keys_of_syncs(warehouse, manifest)
        for key, delivered_at in warehouse.query(
            f"select key, delivered_at from cdi.sync_state where sync = $sync and number is null and key in ({keys})",
            {**batch, "sync": sync},
        )
    ]


def _requests(warehouse: Warehouse, batch: dict[str, str]) -> list[dict[str, Any]]:
    identifiers = pa.Table.from_batches(
        warehouse.fetch("select identifier from cdi.privacy_identifiers where batch_id = $batch", batch)
    )
    hashes = Hasher().hashes(identifiers)["identifier_hash"].to_pylist()
    return [
        {"regulation": regulation, "status": status, "requested_at": requested_at}
        for regulation, status, requested_at in warehouse.query(
            "select distinct regulation, status, requested_at from cdi.privacy_requests"
            " where identifier_hash = any($hashes) order by 3",
            {"hashes": hashes},
        )
    ]
