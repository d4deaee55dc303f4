"""The raw tables in the warehouse: made where missing, widened, and refused where they are not ours."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from cdi.errors import UsageError
from cdi.landing.check import METADATA
from cdi.landing.sources import RawTable
from cdi.warehouse import Warehouse, quote

LOADS = {
    "load_id": "text", "source": "text", "source_table": "text", "source_file": "text", "file_sha256": "text",
    "file_bytes": "bigint", "rows_landed": "bigint", "rows_rejected": "bigint", "loaded_at": "timestamp",
    "rows_suppressed": "bigint",
}  # fmt: skip
REJECTED = {
    "load_id": "text", "loaded_at": "timestamp", "source": "text", "source_table": "text", "source_file": "text",
    "source_line": "bigint", "reason": "text", "text": "text",
}  # fmt: skip

_JSON_TYPE = {"duckdb": "json", "postgres": "jsonb"}
# As information_schema calls them.
_SAME_TYPES = {
    "text": {"text", "varchar", "character varying"},
    "json": {"json", "jsonb"},
    "bigint": {"bigint"},
    "timestamp": {"timestamp", "timestamp without time zone"},
}


def ensure_tables(warehouse: Warehouse, tables: Iterable[RawTable]) -> None:
    """Make the raw tables, raw.loads and raw.rejected where missing, and add the columns that they lack.

    Raises UsageError where one of them is a view or has a column of another type.
    """
    with warehouse.transaction():
        _ensure_table(warehouse, "raw", "loads", LOADS)
        _ensure_table(warehouse, "raw", "rejected", REJECTED)
        for table in tables:
            _ensure_table(warehouse, table.schema, table.identifier, {**table.columns, **METADATA})


def next_load_time(warehouse: Warehouse) -> datetime:
    """The `loaded_at` of the next load, UTC: later than that of every load in raw.loads.

    The order of loads is the order of arrival: it must not depend on a clock that was set back.
    """
    now = datetime.now(UTC).replace(tzinfo=None)
    newest = warehouse.query("select max(loaded_at) from raw.loads")[0][0]
    return max(now, newest + timedelta(microseconds=1)) if newest else now


def add_columns(warehouse: Warehouse, table: RawTable, names: Iterable[str]) -> None:
    """Add text columns that the raw table does not have yet."""
    present = set(warehouse.column_names(table.schema, table.identifier))
    for name in names:
        if name not in present:
            warehouse.execute(f"alter table {quote(table.schema, table.identifier)} add column {quote(name)} text")


def _ensure_table(warehouse: Warehouse, schema: str, name: str, columns: dict[str, str]) -> None:
    relation = quote(schema, name)
    types = {column: _JSON_TYPE[warehouse.dialect] if kind == "json" else kind for column, kind in columns.items()}
    kinds = warehouse.query(
        "select table_type from information_schema.tables where table_schema = $schema and table_name = $name",
        {"schema": schema, "name": name},
    )
    if not kinds:
        definitions = ", ".join(f"{quote(column)} {kind}" for column, kind in types.items())
        # Asking PostgreSQL for a schema that exists needs the right to make one.
        if not warehouse.query(
            "select 1 from information_schema.schemata where schema_name = $schema", {"schema": schema}
        ):
            warehouse.execute(f"create schema {quote(schema)}")
        warehouse.execute(f"create table {relation} ({definitions})")
        return
    if kinds[0][0] != "BASE TABLE":
        raise UsageError(
            f"{schema}.{name} is a {kinds[0][0].lower()}, but cdi land writes a table of that name.",
            "Rename or drop it, or give the table another identifier in the source's YAML.",
        )
    present = dict(
        warehouse.query(
            "select column_name, lower(data_type) from information_schema.columns"
            " where table_schema = $schema and table_name = $name",
            {"schema": schema, "name": name},
        )
    )
    wrong = [
        f"{column} is {present[column]}, not {types[column]}"
        for column, kind in columns.items()
        if column in present and present[column] not in _SAME_TYPES[kind]
    ]
    if wrong:
        raise UsageError(
            f"{schema}.{name} has columns of another type than declared: {'; '.join(wrong)}.",
            "Change their type, or rename the table: cdi land then makes it anew.",
        )
    for column, kind in types.items():
        if column not in present:
            warehouse.execute(f"alter table {relation} add column {quote(column)} {kind}")
