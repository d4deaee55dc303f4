"""The suites of tests/expectations, read and spread over the tables they are about; nothing of GX is needed for it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, TemplateError

from cdi.audiences import is_audience
from cdi.errors import UsageError
from cdi.warehouse import quote

GATES = ("staging", "events", "identity", "profiles", "audiences", "activation")
"""The floors that have a gate, in the order they are built."""

FOLDER = Path("tests") / "expectations"

_SEVERITIES = {"critical": "stop", "warning": "warn", "info": "warn"}
_COLUMN_ARGUMENTS = ("column", "column_A", "column_B")


@dataclass(frozen=True)
class Table:
    """What an expectation is about: a dbt model or seed, or a table such as raw.loads that no model makes."""

    name: str
    schema: str
    alias: str
    columns: tuple[str, ...] = ()
    owner: str = ""
    is_model: bool = True
    tool: str = ""

    @property
    def relation(self) -> str:
        """Its quoted name."""
        return quote(self.schema, self.alias)


@dataclass(frozen=True)
class Expectation:
    """One expectation on one table: an entry of a suite, `*` replaced by a model and references by relations."""

    gate: str
    table: Table
    type: str
    arguments: dict[str, Any]
    severity: str
    """stop or warn."""
    description: str
    owner: str
    key: tuple[str, ...] = field(default=())
    """The columns that name a row which breaks it."""

    @property
    def column(self) -> str:
        """The column or columns it is about; empty where it is about the whole table."""
        return ", ".join(str(self.arguments[name]) for name in _COLUMN_ARGUMENTS if name in self.arguments)

    @property
    def needs_rows(self) -> bool:
        """Whether it says nothing about a table without rows."""
        return not self.type.startswith("expect_table_") and self.type != "expect_column_to_exist"


def tables_of(manifest: Any) -> dict[str, Table]:
    """Models and seeds by name."""
    found = {}
    for node in manifest.nodes.values():
        if node.resource_type in ("model", "seed", "snapshot"):
            sync = node.config.meta.get("sync") or {}
            found[node.name] = Table(
                name=node.name,
                schema=node.schema,
                alias=node.alias,
                columns=tuple(node.columns),
                owner=str(node.config.meta.get("owner", "")),
                tool=str(sync.get("tool") or (node.fqn[2] if len(node.fqn) > 3 else "")),
            )
    return found


def pii_columns(manifest: Any) -> set[str]:
    """The names of all columns that are marked as pii anywhere: their values are never shown."""
    return {
        column.name.lower()
        for node in manifest.nodes.values()
        for column in getattr(node, "columns", {}).values()
        if column.config.meta.get("pii")
    }


def read_suite(root: Path, gate: str, manifest: Any) -> list[Expectation]:
    """The expectations of a gate; raises UsageError that names the file and the entry which is wrong."""
    if gate not in GATES:
        raise UsageError(f"There is no gate '{gate}'.", f"Gates: {', '.join(GATES)}.")
    path = root / FOLDER / f"{gate}.json"
    if not path.is_file():
        return []
    try:
        suite = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise UsageError(
            f"{path}:{error.lineno}:{error.colno}: {error.msg}.", "Each expectation is one line."
        ) from None
    tables = tables_of(manifest)
    floor = [
        tables[node.name]
        for node in manifest.nodes.values()
        if node.resource_type == "model"
        and len(node.fqn) > 1
        and node.fqn[1] == gate
        and (gate != "audiences" or is_audience(node))
        # Events that are sent on are too many to be read whole in every run; their sync rejects null and double keys.
        and (node.config.meta.get("sync") or {}).get("mode") != "append"
    ]
    found: list[Expectation] = []
    for number, entry in enumerate(suite.get("expectations", []), 1):
        place = f"{path}, expectation {number}"
        if not isinstance(entry, dict) or not isinstance(entry.get("type"), str):
            raise UsageError(f"{place} has no type.", "Copy a line of the file and change it.")
        place += f" ({entry['type']})"
        severity = entry.get("severity", "critical")
        if severity not in _SEVERITIES:
            raise UsageError(f"{place} has the severity '{severity}'.", "Severities: critical (stops), warning.")
        meta, arguments = entry.get("meta") or {}, entry.get("kwargs") or {}
        key = tuple(meta.get("key", ()))
        for table in _tables(meta.get("table"), tables, floor, {*_columns_of(arguments), *key}, place):
            found.append(
                Expectation(
                    gate=gate,
                    table=table,
                    type=entry["type"],
                    arguments=_rendered(arguments, table, tables, place),
                    severity=_SEVERITIES[severity],
                    description=entry.get("description") or entry["type"].replace("_", " "),
                    owner=meta.get("owner") or table.owner or suite.get("meta", {}).get("owner", ""),
                    key=key,
                )
            )
    return found


def _tables(
    name: Any, tables: dict[str, Table], floor: Iterable[Table], columns: set[str], place: str
) -> Iterable[Table]:
    if name == "*":
        return [table for table in sorted(floor, key=lambda table: table.name) if columns <= set(table.columns)]
    if name in tables:
        return [tables[name]]
    schema, dot, table = str(name or "").partition(".")
    if dot:
        return [Table(name=str(name), schema=schema, alias=table, is_model=False)]
    raise UsageError(
        f"{place} is about {name!r}, and there is no such model.",
        'meta.table is a model, "*" for every model of the floor, or schema.table.',
    )


def _columns_of(arguments: dict[str, Any]) -> set[str]:
    return {arguments[name] for name in _COLUMN_ARGUMENTS if name in arguments}


def _rendered(arguments: dict[str, Any], table: Table, tables: dict[str, Table], place: str) -> dict[str, Any]:
    """The arguments with {{ ref('model') }}, {{ model }} and {{ tool }} in SQL replaced."""
    query = arguments.get("unexpected_rows_query")
    if query is None:
        return arguments
    if "{batch}" not in query:
        raise UsageError(f"{place} does not read {{batch}}, the table it is about.")

    def ref(name: str) -> str:
        if name not in tables:
            raise UsageError(f"{place} refers to '{name}', and there is no such model.")
        return tables[name].relation

    try:
        template = Environment(undefined=StrictUndefined, autoescape=False).from_string(query)
        return {**arguments, "unexpected_rows_query": template.render(ref=ref, model=table.name, tool=table.tool)}
    except TemplateError as error:
        raise UsageError(f"{place}: {error}.") from None
