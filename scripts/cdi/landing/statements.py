"""The statements of landing, which DuckDB and PostgreSQL write differently: lines in a temporary table become rows.

The temporary table cdi_lines has source_line, line (text), record (the line as JSON, PostgreSQL only), and reason,
which is null as long as nothing speaks against the line.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from cdi.landing.sources import RawTable
from cdi.warehouse import Warehouse, quote

Columns = Mapping[str, list[str]]
"""Column of the raw table to the keys of the record that fill it."""


class Statements(ABC):
    """What landing asks of a warehouse, in the order in which it asks."""

    json_type: str

    def __init__(self, warehouse: Warehouse) -> None:
        self.warehouse = warehouse

    def type_of(self, kind: str) -> str:
        """The type of a declared column (text or json) or of a metadata column."""
        return self.json_type if kind == "json" else kind

    def create_functions(self) -> None:
        """Make the functions that the statements need."""

    @abstractmethod
    def stage(self, reader: pa.RecordBatchReader) -> None:
        """Fill cdi_lines with the lines of a slice, and with the reason of those that are no JSON object."""

    @abstractmethod
    def keys(self) -> list[str]:
        """All keys of the records that have no reason against them."""

    @abstractmethod
    def value(self, key_parameter: str) -> str:
        """SQL for the value of a key, given as a parameter, as text."""

    @abstractmethod
    def json_value(self, key_parameter: str) -> str:
        """SQL for the value of a key as JSON; a text that holds JSON counts as what it holds."""

    @abstractmethod
    def parameter(self, key: str) -> str:
        """A key as value() and json_value() want it."""

    @abstractmethod
    def whole_record(self) -> str:
        """SQL for the whole record as JSON."""

    def reject(self, table: RawTable, columns: Columns) -> None:
        """Give a reason to the records that lack what the table needs."""
        for key, accepted in table.accepted_values.items():
            value = self.value("$key")
            names = {f"accepted_{number}": item for number, item in enumerate(accepted)}
            self.warehouse.execute(
                f"update cdi_lines set reason = case when {value} is null then $missing"
                f" else $unknown || left({value}, 100) || '\"' end"
                f" where reason is null and ({value} is null or {value} not in"
                f" ({', '.join(f'${name}' for name in names)}))",
                {
                    **names,
                    "key": self.parameter(key),
                    "missing": f'no event: "{key}" is missing',
                    "unknown": f'no event: "{key}" is "',
                },
            )
        for column in table.required:
            keys = columns.get(column, [])
            values = [self.value(f"$key_{number}") for number in range(len(keys))]
            value = f"coalesce({', '.join(values)})" if values else "null"
            self.warehouse.execute(
                f"update cdi_lines set reason = $reason where reason is null and coalesce({value}, '') = ''",
                {
                    "reason": f"required column {column} is missing or empty",
                    **{f"key_{number}": self.parameter(key) for number, key in enumerate(keys)},
                },
            )

    def keep_rejected(self, table: RawTable, load: Mapping[str, Any]) -> int:
        """Move the lines that have a reason to raw.rejected; returns their number."""
        return self.warehouse.execute(
            "insert into raw.rejected (load_id, loaded_at, source, source_table, source_file, source_line, reason,"
            " text) select $load_id, cast($loaded_at as timestamp), $source, $source_table, $source_file, source_line,"
            " reason, line from cdi_lines where reason is not null",
            {**load, "source": table.system, "source_table": table.name},
        )

    def insert(self, table: RawTable, columns: Columns, load: Mapping[str, Any]) -> int:
        """Insert the records that have no reason against them; returns their number."""
        parameters: dict[str, Any] = dict(load)
        values: dict[str, str] = {}
        if table.record_column:
            values[table.record_column] = self.whole_record()
        for column, keys in columns.items():
            found = []
            for key in keys:
                name = f"key_{len(parameters)}"
                parameters[name] = self.parameter(key)
                is_json = table.columns.get(column) == "json"
                found.append(self.json_value(f"${name}") if is_json else self.value(f"${name}"))
            values[column] = found[0] if len(found) == 1 else f"coalesce({', '.join(found)})"
        names = ", ".join(quote(name) for name in values)
        return self.warehouse.execute(
            f"insert into {quote(table.schema, table.identifier)} ({names}, load_id, loaded_at, source_file,"
            f" source_line) select {', '.join(values.values())}, $load_id, cast($loaded_at as timestamp),"
            " $source_file, source_line from cdi_lines where reason is null order by source_line",
            parameters,
        )


class DuckDBStatements(Statements):
    """Lines stay text; DuckDB reads JSON where it stands."""

    json_type = "json"

    def stage(self, reader: pa.RecordBatchReader) -> None:
        self.warehouse.execute("create or replace temporary table cdi_lines (source_line bigint, line text, problem text)")
        self.warehouse.append("cdi_lines", reader)
        # DuckDB's parser takes trailing commas, NaN and Infinity, and \\u0000, which no other does. Strings are cut
        # out before looking for them; the expensive look is only taken at lines that might have one.
        self.warehouse.execute(
            r"""
            create or replace temporary table cdi_lines as
            select source_line, line, case
                when problem is not null then problem
                when not json_valid(line) then 'not JSON'
                when json_type(line) <> 'OBJECT' then 'not a JSON object'
                when contains(line, '\u0000') and regexp_matches(line, '(^|[^\\])(\\\\)*\\u0000')
                    then 'contains the null character \u0000'
                when regexp_matches(line, ',\s*[}\]]|[nN]a[nN]|[iI]nf')
                    and regexp_matches(
                        regexp_replace(line, '"(\\.|[^"\\])*"', '""', 'g'), ',\s*[}\]]|[nN][aA][nN]|[iI][nN][fF]'
                    ) then 'not JSON'
                end as reason
            from cdi_lines
            """
        )

    def keys(self) -> list[str]:
        rows = self.warehouse.query("select distinct unnest(json_keys(line)) from cdi_lines where reason is null")
        return sorted(row[0] for row in rows)

    def parameter(self, key: str) -> str:
        return "/" + key.replace("~", "~0").replace("/", "~1")

    def value(self, key_parameter: str) -> str:
        return f"json_extract_string(line, {key_parameter})"

    def json_value(self, key_parameter: str) -> str:
        text = self.value(key_parameter)
        return (
            f"case when json_type(line, {key_parameter}) = 'VARCHAR' and json_valid({text}) then {text}"
            f" else json_extract(line, {key_parameter}) end"
        )

    def whole_record(self) -> str:
        return "line"


class PostgresStatements(Statements):
    """Lines become jsonb once, by a function that gives null where that fails."""

    json_type = "jsonb"

    def create_functions(self) -> None:
        self.warehouse.execute(
            """
            create or replace function raw.try_jsonb(value text) returns jsonb
            language plpgsql immutable parallel safe as $$
            begin
                return cast(value as jsonb);
            exception when others then
                return null;
            end $$
            """
        )

    def stage(self, reader: pa.RecordBatchReader) -> None:
        self.warehouse.execute("drop table if exists cdi_text")
        self.warehouse.execute("drop table if exists cdi_lines")
        self.warehouse.execute("create temporary table cdi_text (source_line bigint, line text, problem text)")
        self.warehouse.append("cdi_text", reader)
        self.warehouse.execute(
            r"""
            create temporary table cdi_lines as
            select source_line, line, record, case
                when problem is not null then problem
                when record is null and line ~ '(^|[^\\])(\\\\)*\\u0000' and raw.try_jsonb(
                    regexp_replace(line, '\\u0000', '', 'g')
                ) is not null then 'contains the null character \u0000'
                when record is null then 'not JSON'
                when jsonb_typeof(record) <> 'object' then 'not a JSON object'
                end as reason
            from (
                select *, case when problem is null then raw.try_jsonb(line) end as record from cdi_text offset 0
            ) as parsed
            """
        )
        self.warehouse.execute("drop table cdi_text")

    def keys(self) -> list[str]:
        rows = self.warehouse.query(
            "select distinct key from cdi_lines, jsonb_object_keys(record) as key where reason is null"
        )
        return sorted(row[0] for row in rows)

    def parameter(self, key: str) -> str:
        return key

    def value(self, key_parameter: str) -> str:
        return f"(record ->> {key_parameter}::text)"

    def json_value(self, key_parameter: str) -> str:
        return (
            f"case when jsonb_typeof(record -> {key_parameter}::text) = 'string'"
            f" then coalesce(raw.try_jsonb(record ->> {key_parameter}::text), record -> {key_parameter}::text)"
            f" else record -> {key_parameter}::text end"
        )

    def whole_record(self) -> str:
        return "record"


def statements_for(warehouse: Warehouse) -> Statements:
    """The statements of the warehouse's dialect."""
    return {"duckdb": DuckDBStatements, "postgres": PostgresStatements}[warehouse.dialect](warehouse)
