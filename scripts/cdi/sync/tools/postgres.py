"""Tables of another PostgreSQL database.

Rows go by COPY into a temporary table of the target's own types, and from there to the target in one statement: one
transaction per batch. What PostgreSQL says of a row may hold its values, so messages have only the kind of error and
the column or constraint that it names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, ClassVar

import psycopg
import psycopg.conninfo
import psycopg.errors
import pyarrow as pa
from psycopg import sql

from cdi.errors import UsageError
from cdi.sync.tools.base import Batch, Delivery, Failure, Option, Outcome, RefusedError, Tool
from cdi.sync.tools.http import PAGE_ROWS, REJECTIONS

_Row = Sequence[Any]
# What a row can be the reason of: also what a trigger says, and two keys that are one to the type of the column.
_BAD_ROW = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.errors.RaiseException,
    psycopg.errors.CardinalityViolation,
)
_STAGE = sql.Identifier("pg_temp", "cdi_rows")


class Tables(Tool):
    """Rows of a table, which has the fields as columns and a unique key.

    The first batch finds out whether the table is as it should be. Only rows whose keys were sent are ever changed or
    removed.
    """

    options: ClassVar[dict[str, Option]] = {
        "url_env": Option(default="CDI_POSTGRES_URL"),
        "schema": Option(default="public"),
        "table": Option(required=True),
        "create_table": Option(bool, default=False),
    }
    modes = ("mirror", "upsert", "update", "create", "append")
    can_delete = True
    batch_rows = PAGE_ROWS

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        super().__init__(options, delivery)
        self.url = self.environment("url_env")
        try:
            psycopg.conninfo.conninfo_to_dict(self.url)
        except psycopg.ProgrammingError:
            raise UsageError(f"url_env: {self.given['url_env']} is no address of a PostgreSQL database.") from None
        self.table = sql.Identifier(self.given["schema"], self.given["table"])
        self.key = sql.Identifier(delivery.key)
        if delivery.mode == "update" and delivery.fields == (delivery.key,):
            self.refuse("mode update needs a field besides the key.")
        self._rejected_before_any = 0
        self._has_taken = False
        self._over = ""
        """Why no more is sent in this run."""

    @cached_property
    def connection(self) -> psycopg.Connection:
        """The connection to the other database; timestamps are UTC there too."""
        return psycopg.connect(self.url, autocommit=True, connect_timeout=10, options="-c timezone=UTC")

    def send(self, batch: Batch) -> Outcome:
        columns = batch.rows.schema.names if batch.operation == "upsert" else [self.delivery.key]
        rows = list(zip(*(batch.rows.column(name).to_pylist() for name in columns), strict=True))
        if self.given["create_table"] and not self._over:
            try:
                self._create(batch.rows.schema)
            except psycopg.Error as error:
                raise RefusedError(self._sentence(error), is_final=True) from None
        return Outcome(self._halved(batch.operation, columns, rows), bool(self._over))

    def _halved(self, operation: str, columns: list[str], rows: list[_Row], first: int = 0) -> dict[int, Failure]:
        """Write rows, in halves where one of them is bad: index in the batch to what happened."""
        if self._over:
            return dict.fromkeys(range(first, first + len(rows)), Failure(self._over))
        try:
            with self.connection.transaction():
                self._write(operation, columns, rows)
        except _BAD_ROW as error:
            if len(rows) > 1:
                half = len(rows) // 2
                return self._halved(operation, columns, rows[:half], first) | self._halved(
                    operation, columns, rows[half:], first + half
                )
            self._rejected_before_any += 1
            if not self._has_taken and self._rejected_before_any >= REJECTIONS:
                self._over = f"every row so far was refused: {self._sentence(error)}"
            return {first: Failure(self._sentence(error), is_rejected=True)}
        except psycopg.Error as error:
            is_lost = self._is_connected and self.connection.closed
            # A deadlock passes; a table that is not as it should be, or a connection that is gone, does not.
            if is_lost or not self._is_connected or not isinstance(error, psycopg.OperationalError):
                self._over = self._sentence(error)
            failure = Failure(self._sentence(error), in_doubt=is_lost)
            return dict.fromkeys(range(first, first + len(rows)), failure)
        self._has_taken = True
        return {}

    def _write(self, operation: str, columns: list[str], rows: Iterable[_Row]) -> None:
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        cursor = self.connection.cursor()
        cursor.execute(
            sql.SQL("create temporary table {} on commit drop as select {} from {} limit 0").format(
                _STAGE, names, self.table
            )
        )
        with cursor.copy(sql.SQL("copy {} ({}) from stdin").format(_STAGE, names)) as copy:
            for row in rows:
                copy.write_row(row)
        cursor.execute(self._statement(operation, columns, names))

    def _statement(self, operation: str, columns: list[str], names: sql.Composable) -> sql.Composable:
        parts = {"table": self.table, "names": names, "stage": _STAGE, "key": self.key}
        if operation != "upsert":
            return sql.SQL("delete from {table} where {key} in (select {key} from {stage})").format(**parts)
        others = [name for name in columns if name != self.delivery.key]
        if self.delivery.mode == "update":
            return sql.SQL(
                "update {table} as target set {changes} from {stage} as rows where target.{key} = rows.{key}"
            ).format(**parts, changes=self._changes(others, "rows"))
        insert = sql.SQL("insert into {table} as target ({names}) select {names} from {stage} on conflict ({key}) do ")
        if self.delivery.mode in ("create", "append") or not others:
            return insert.format(**parts) + sql.SQL("nothing")
        return insert.format(**parts) + sql.SQL("update set ") + self._changes(others, "excluded")

    def _changes(self, columns: list[str], source: str) -> sql.Composable:
        """What `set` says; where a null is to be skipped, what the table has stays."""
        return sql.SQL(", ").join(
            sql.SQL(
                "{0} = coalesce({1}.{0}, target.{0})" if name in self.delivery.skips_null else "{0} = {1}.{0}"
            ).format(sql.Identifier(name), sql.Identifier(source))
            for name in columns
        )

    def _create(self, schema: pa.Schema) -> None:
        """Make the table where it is missing; rows to delete have no types but the key's, and make none."""
        if not set(self.delivery.fields) <= set(schema.names) or self._exists():
            return
        columns = [
            sql.SQL("{} {}").format(
                sql.Identifier(item.name),
                sql.SQL("jsonb" if item.name in self.delivery.json_fields else _type_of(item.type)),
            )
            for item in schema
        ]
        self.connection.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(self.given["schema"])))
        self.connection.execute(
            sql.SQL("create table if not exists {} ({}, primary key ({}))").format(
                self.table, sql.SQL(", ").join(columns), self.key
            )
        )

    def _exists(self) -> bool:
        found = self.connection.execute("select to_regclass(%s)", [self.table.as_string(self.connection)])
        return bool(found.fetchone()[0])

    @property
    def _is_connected(self) -> bool:
        return "connection" in self.__dict__

    def _sentence(self, error: psycopg.Error) -> str:
        """The kind of an error and what it is about, without the values of any row."""
        kind = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()
        if isinstance(error, psycopg.ProgrammingError):
            # These sentences have names in them, of tables and columns, and no values.
            about = error.diag.message_primary
        else:
            parts = ((part, getattr(error.diag, f"{part}_name")) for part in ("column", "constraint"))
            about = ", ".join(f"{part} {name}" for part, name in parts if name)
        return f"{kind}{f': {about}' if about else ''}, at the address in {self.given['url_env']}"

    def finish(self) -> None:
        """Close the connection."""
        if self._is_connected:
            self.connection.close()

    abandon = finish


def _type_of(kind: pa.DataType) -> str:
    """PostgreSQL's type for what a column is."""
    if pa.types.is_decimal(kind):
        return f"numeric({kind.precision}, {kind.scale})"
    return next((name for fits, name in _TYPES if fits(kind)), "text")


_TYPES = (
    (pa.types.is_boolean, "boolean"),
    (lambda kind: kind in (pa.int8(), pa.int16(), pa.uint8()), "smallint"),
    (lambda kind: kind in (pa.int32(), pa.uint16()), "integer"),
    (lambda kind: kind in (pa.int64(), pa.uint32()), "bigint"),
    (pa.types.is_integer, "numeric(20, 0)"),
    (pa.types.is_float32, "real"),
    (pa.types.is_floating, "double precision"),
    (pa.types.is_date, "date"),
    (pa.types.is_timestamp, "timestamp"),
)
