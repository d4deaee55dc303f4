"""One small interface to the warehouses that commands read and write: DuckDB and PostgreSQL.

Statements take values as `$name` parameters on both; identifiers go through `quote`.
"""

from __future__ import annotations

import io
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pyarrow as pa
import pyarrow.csv as pa_csv

from cdi.errors import UsageError, WarehouseError, mask_secrets
from cdi.project import Project

Parameters = Mapping[str, Any]

UNAVAILABLE = (psycopg.OperationalError, duckdb.IOException, duckdb.FatalException, duckdb.TransactionException)
"""What a statement raises when the warehouse went away or cannot write: a lost connection, a disk that is full."""

MISSING = (
    duckdb.CatalogException, duckdb.BinderException, psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn,
)  # fmt: skip
"""What a statement raises that names a table or a column which is not there."""

BATCH_ROWS = 100_000
"""Rows of a batch of a large result, about."""


def quote(*names: str) -> str:
    """A dotted, quoted identifier: quote("raw", "loads") is `"raw"."loads"`."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


class Warehouse(ABC):
    """An open connection to a target. Every statement outside `transaction()` commits by itself."""

    dialect: str

    @abstractmethod
    def execute(self, sql: str, parameters: Parameters | None = None) -> int:
        """Run one statement; returns the number of rows it changed (-1 where the engine does not say)."""

    @abstractmethod
    def query(self, sql: str, parameters: Parameters | None = None) -> list[tuple[Any, ...]]:
        """Run one statement and return all of its rows: for small results."""

    @abstractmethod
    def fetch(self, sql: str, parameters: Parameters | None = None) -> list[pa.RecordBatch]:
        """Run one statement and return all of its rows as Arrow, on this connection: it sees temporary tables."""

    @abstractmethod
    def stream(self, sql: str) -> Iterator[pa.RecordBatch]:
        """Run one query and give its rows as Arrow, a batch at a time: for large results. At least one batch comes.

        Nothing else can be asked of this connection meanwhile.
        """

    @abstractmethod
    def append(self, table: str, reader: pa.RecordBatchReader) -> int:
        """Insert all rows of `reader` into a table (quoted name) that has its columns; returns their number."""

    @abstractmethod
    @contextmanager
    def transaction(self, snapshot: bool = False) -> Iterator[None]:
        """Commit everything inside at its end, or nothing when it raises.

        With `snapshot` all statements inside see the warehouse as it is at the first: not inside another transaction.
        """
        yield

    @abstractmethod
    @contextmanager
    def lock(self, name: str, wait: bool = False) -> Iterator[None]:
        """Hold a lock by name while inside; when another process holds it, wait or raise WarehouseError."""
        yield

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""

    def relation_exists(self, schema: str, table: str) -> bool:
        """Whether a table or view of that name exists."""
        return bool(
            self.query(
                "select 1 from information_schema.tables where table_schema = $schema and table_name = $table",
                {"schema": schema, "table": table},
            )
        )

    def column_names(self, schema: str, table: str) -> list[str]:
        """The columns of a table in their order; empty where there is no such table."""
        rows = self.query(
            "select column_name from information_schema.columns"
            " where table_schema = $schema and table_name = $table order by ordinal_position",
            {"schema": schema, "table": table},
        )
        return [row[0] for row in rows]

    def __enter__(self) -> Warehouse:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# DuckDB calls a database by its file's name, so that `raw.loads` could be two things.
_SCHEMAS = {
    "raw", "staging", "events", "governance", "identity", "profiles", "audiences", "activation", "seeds", "cdi",
    "masked",
}  # fmt: skip


class DuckDBWarehouse(Warehouse):
    """A DuckDB file (or `:memory:`)."""

    dialect = "duckdb"

    def __init__(self, path: str, read_only: bool = False, settings: Mapping[str, Any] | None = None) -> None:
        if Path(path).stem in _SCHEMAS:
            raise UsageError(
                f"The DuckDB file {path} has the name of a schema, and DuckDB could not tell the two apart.",
                "Give it another name, such as warehouse.duckdb.",
            )
        try:
            self.connection = duckdb.connect(path, read_only=read_only)
        except duckdb.IOException as error:
            if "lock" in str(error).lower():
                raise WarehouseError(
                    f"The DuckDB file {path} is in use by another process.",
                    "DuckDB lets one process write at a time: wait until it is done, or close it, and run again.",
                ) from None
            if read_only and not Path(path).exists():
                raise WarehouseError(
                    f"There is no DuckDB file {path} yet: nothing was built.",
                    "Make it with cdi run, or with dbt build.",
                ) from None
            raise WarehouseError(f"The DuckDB file {path} cannot be opened: {first_line(error)}") from None
        except duckdb.Error as error:
            raise WarehouseError(f"The DuckDB file {path} cannot be opened: {first_line(error)}") from None

        # The profile's own settings hold for commands as they do for dbt: above all, how much memory there is.
        for name, value in (settings or {}).items():
            text = str(value).replace("'", "''")
            self.connection.execute(f"set {quote(name)} = '{text}'")

    def execute(self, sql: str, parameters: Parameters | None = None) -> int:
        rows = self.connection.execute(sql, parameters or None).fetchall()
        # DuckDB answers a DML statement with one row that holds the count.
        return int(rows[0][0]) if len(rows) == 1 and len(rows[0]) == 1 and isinstance(rows[0][0], int) else -1

    def query(self, sql: str, parameters: Parameters | None = None) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql, parameters or None).fetchall()

    def fetch(self, sql: str, parameters: Parameters | None = None) -> list[pa.RecordBatch]:
        table = self.connection.sql(sql, params=parameters or None).to_arrow_table()
        # No rows are one batch without any: it still says which columns there are.
        return table.to_batches() or [pa.RecordBatch.from_pylist([], schema=table.schema)]

    def stream(self, sql: str) -> Iterator[pa.RecordBatch]:
        reader = self.connection.sql(sql).to_arrow_reader(BATCH_ROWS)
        yield pa.RecordBatch.from_pylist([], schema=reader.schema)
        yield from reader

    def append(self, table: str, reader: pa.RecordBatchReader) -> int:
        columns = ", ".join(quote(name) for name in reader.schema.names)
        self.connection.register("_cdi_append", reader)
        try:
            return self.execute(f"insert into {table} ({columns}) select {columns} from _cdi_append")
        finally:
            self.connection.unregister("_cdi_append")

    @contextmanager
    def transaction(self, snapshot: bool = False) -> Iterator[None]:
        # DuckDB knows no other transactions than those with a snapshot.
        self.connection.begin()
        try:
            yield
        except BaseException:
            self.connection.rollback()
            raise
        self.connection.commit()

    @contextmanager
    def lock(self, name: str, wait: bool = False) -> Iterator[None]:
        # The open file is itself the lock: no second process can write.
        yield

    def close(self) -> None:
        self.connection.close()


class PostgresWarehouse(Warehouse):
    """A PostgreSQL database."""

    dialect = "postgres"

    def __init__(self, **connection: Any) -> None:
        place = f"{connection.get('dbname')} on {connection.get('host')}:{connection.get('port')}"
        try:
            self.connection = psycopg.connect(autocommit=True, **connection)
        except psycopg.OperationalError as error:
            raise WarehouseError(
                f"PostgreSQL does not let us in to {place}: {first_line(error)}",
                "Check that the server runs, and host, port, user, password and dbname in profiles.yml.",
            ) from None

    def execute(self, sql: str, parameters: Parameters | None = None) -> int:
        return self.connection.execute(*_psycopg(sql, parameters)).rowcount

    def query(self, sql: str, parameters: Parameters | None = None) -> list[tuple[Any, ...]]:
        return self.connection.execute(*_psycopg(sql, parameters)).fetchall()

    def fetch(self, sql: str, parameters: Parameters | None = None) -> list[pa.RecordBatch]:
        cursor = self.connection.execute(*_psycopg(sql, parameters))
        schema = pa.schema([(column.name, _arrow_type(column)) for column in cursor.description or ()])
        rows = cursor.fetchall()
        columns = zip(*rows, strict=True) if rows else [() for _ in schema]
        arrays = [pa.array(values, kind.type) for values, kind in zip(columns, schema, strict=True)]
        return [pa.RecordBatch.from_arrays(arrays, schema=schema)]

    def stream(self, sql: str) -> Iterator[pa.RecordBatch]:
        # Only what the columns are: the rows come as CSV, which Arrow reads without a Python loop.
        described = self.connection.execute(f"select * from ({sql}) as described limit 0").description or ()
        schema = pa.schema([(column.name, _arrow_type(column)) for column in described])
        yield pa.RecordBatch.from_pylist([], schema=schema)
        with self.connection.cursor().copy(f"copy ({sql}) to stdout (format csv)") as copy:
            source = io.BufferedReader(_Chunks(copy), 1 << 20)
            if not source.peek(1):
                return
            yield from pa_csv.open_csv(
                source,
                pa_csv.ReadOptions(column_names=schema.names, block_size=1 << 25),
                pa_csv.ParseOptions(newlines_in_values=True),
                pa_csv.ConvertOptions(
                    column_types=schema, true_values=["t"], false_values=["f"], null_values=[""],
                    strings_can_be_null=True, quoted_strings_can_be_null=False,
                ),
            )  # fmt: skip

    def append(self, table: str, reader: pa.RecordBatchReader) -> int:
        columns = ", ".join(quote(name) for name in reader.schema.names)
        rows = 0
        # Arrow writes the CSV: no Python loop over rows. Only strings are quoted, so an empty field is null.
        options = pa_csv.WriteOptions(include_header=False, quoting_style="needed")
        with self.connection.cursor().copy(f"copy {table} ({columns}) from stdin (format csv)") as copy:
            for batch in reader:
                sink = pa.BufferOutputStream()
                pa_csv.write_csv(batch, sink, write_options=options)
                copy.write(sink.getvalue().to_pybytes())
                rows += batch.num_rows
        return rows

    @contextmanager
    def transaction(self, snapshot: bool = False) -> Iterator[None]:
        with self.connection.transaction():
            if snapshot:
                self.connection.execute("set transaction isolation level repeatable read")
            yield

    @contextmanager
    def lock(self, name: str, wait: bool = False) -> Iterator[None]:
        if wait:
            self.query("select pg_advisory_lock(hashtextextended($name, 0))", {"name": name})
        elif not self.query("select pg_try_advisory_lock(hashtextextended($name, 0))", {"name": name})[0][0]:
            raise WarehouseError(f"Another process holds the lock '{name}'.", "Wait until it is done and run again.")
        try:
            yield
        finally:
            # A connection that is gone has let go of it.
            if not self.connection.closed:
                self.query("select pg_advisory_unlock(hashtextextended($name, 0))", {"name": name})

    def close(self) -> None:
        self.connection.close()


class _Chunks(io.RawIOBase):
    """What a COPY sends, as a file."""

    def __init__(self, chunks: Iterable[Any]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk).cast("B")
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def connect(project: Project, read_only: bool = False) -> Warehouse:
    """Open the project's target.

    Raises WarehouseError where it cannot be reached or the DuckDB file is taken, UsageError for an adapter
    that commands do not write to yet.
    """
    credentials = project.credentials
    if project.dialect == "duckdb":
        return DuckDBWarehouse(credentials.path, read_only, credentials.settings)
    if project.dialect == "postgres":
        return PostgresWarehouse(
            host=credentials.host,
            port=credentials.port,
            user=credentials.user,
            password=credentials.password,
            dbname=credentials.database,
        )
    raise UsageError(
        f"Target {project.target} is {project.dialect}; this command works on DuckDB and PostgreSQL.",
        "Choose another target with --target.",
    )


def now() -> datetime:
    """This moment, in UTC and without a zone, as tables keep it."""
    return datetime.now(UTC).replace(tzinfo=None)


def _arrow_type(column: psycopg.Column) -> pa.DataType:
    """The Arrow type of a column of a result; what has no plain one becomes text."""
    name = psycopg.adapters.types.get(column.type_code)
    kind = name.name if name else "text"
    if kind == "numeric":
        return pa.decimal128(column.precision, column.scale) if column.precision else pa.decimal128(38, 9)
    return {
        "bool": pa.bool_(), "int2": pa.int32(), "int4": pa.int32(), "int8": pa.int64(), "float4": pa.float64(),
        "float8": pa.float64(), "timestamp": pa.timestamp("us"), "timestamptz": pa.timestamp("us", "UTC"),
        "date": pa.date32(),
    }.get(kind, pa.string())  # fmt: skip


_PARAMETER = re.compile(r"\$([a-z_]\w*)")


def _psycopg(sql: str, parameters: Parameters | None) -> tuple[Any, Parameters | None]:
    if not parameters:
        return sql, None
    return _PARAMETER.sub(r"%(\1)s", sql.replace("%", "%%")), parameters


def first_line(error: BaseException) -> str:
    """What a driver says first, without secrets: below it are hints and the statement."""
    return mask_secrets(str(error).strip().split("\n", 1)[0])
