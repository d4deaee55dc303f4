"""Files into raw tables: one file is one load and one transaction."""

from __future__ import annotations

import glob
import hashlib
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from cdi.errors import CdiError, UsageError
from cdi.landing.read import LINES, read_lines
from cdi.landing.sources import RawTable, find_tables, table_of_file
from cdi.landing.statements import Statements, statements_for
from cdi.project import Project
from cdi.warehouse import Warehouse, connect, quote

log = logging.getLogger(__name__)

SLICE_BYTES = 256 * 1024 * 1024
"""How much of a file is in the staging table at a time."""


@dataclass(frozen=True)
class FileLanding:
    """What became of one file."""

    path: Path
    table: RawTable | None
    rows_landed: int = 0
    rows_rejected: int = 0
    already_landed: bool = False
    problem: str = ""
    """Why the file could not be read; it left nothing then."""


@dataclass
class LandingResult:
    """What became of all files of one call."""

    files: list[FileLanding] = field(default_factory=list)

    @property
    def rows_landed(self) -> int:
        """Records that are in raw tables now and were not before."""
        return sum(item.rows_landed for item in self.files)

    @property
    def rows_rejected(self) -> int:
        """Lines that went to raw.rejected."""
        return sum(item.rows_rejected for item in self.files)

    @property
    def unreadable(self) -> list[FileLanding]:
        """Files that could not be read."""
        return [item for item in self.files if item.problem]


def land(
    project: Project, source: str, patterns: Iterable[str | Path], console: Console | None = None
) -> LandingResult:
    """Load files (paths, folders or globs) of a source (`system` or `system.table`) into the raw tables.

    A file whose content has landed before adds nothing. A line that is no record goes to raw.rejected. A file that
    cannot be read leaves nothing and is in the result; the others land. Raises UsageError for an unknown source, for
    a pattern that matches nothing, and for a file of which nobody knows the table, before anything is loaded.
    """
    tables = find_tables(project.root, source)
    paths = find_files(patterns)
    chosen = [(path, table_of_file(tables, path)) for path in paths]
    result = LandingResult()
    progress = Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(),
        console=console, disable=console is None, transient=True,
    )  # fmt: skip
    with connect(project) as warehouse, warehouse.lock("land"), progress:
        statements = statements_for(warehouse)
        _create_tables(warehouse, statements, tables)
        task = progress.add_task(f"Landing {source}", total=sum(_size(path) for path in paths))
        for path, table in chosen:
            try:
                landing = land_file(
                    warehouse, table, path, lambda count: progress.advance(task, count), statements
                )
            except CdiError as error:
                landing = FileLanding(path, table, problem=error.message)
            log.info("landed %s", landing)
            result.files.append(landing)
    return result


def find_files(patterns: Iterable[str | Path]) -> list[Path]:
    """The files that paths, folders (all files below them) and globs name, each once, in order.

    Raises UsageError for a pattern without any file. A path that is no file is given back as it is, so that reading
    it says what is wrong with it.
    """
    found: dict[Path, None] = {}
    for pattern in map(str, patterns):
        path = Path(pattern).expanduser()
        if path.is_dir():
            matches = sorted(item for item in path.rglob("*") if item.is_file() and not item.name.startswith("."))
        elif glob.has_magic(pattern) and not path.exists():
            matches = sorted(Path(item) for item in glob.glob(str(path), recursive=True) if Path(item).is_file())
        else:
            matches = [path]
        if not matches:
            raise UsageError(f"No file matches {pattern}.", "Check the path; a glob must match at least one file.")
        found.update(dict.fromkeys(matches))
    return list(found)


def land_file(
    warehouse: Warehouse,
    table: RawTable,
    path: Path,
    progress: Callable[[int], None] = lambda _: None,
    statements: Statements | None = None,
) -> FileLanding:
    """Load one file in one transaction; raises UnreadableFileError, with nothing loaded."""
    statements = statements or statements_for(warehouse)
    digest, size = _digest(path)
    load_id = hashlib.sha256(f"{table.full_name}\n{digest}".encode()).hexdigest()[:32]
    if warehouse.query("select 1 from raw.loads where load_id = $load_id", {"load_id": load_id}):
        progress(size)
        return FileLanding(path, table, already_landed=True)
    landed = rejected = 0
    with warehouse.transaction():
        newest = warehouse.query("select max(loaded_at) from raw.loads")[0][0]
        loaded_at = datetime.now(UTC).replace(tzinfo=None)
        if newest is not None:
            # The order of loads is the order of arrival: it must not depend on a clock that was set back.
            loaded_at = max(loaded_at, newest + timedelta(microseconds=1))
        load = {"load_id": load_id, "loaded_at": loaded_at, "source_file": str(path)}
        for reader in _slices(read_lines(path, progress)):
            statements.stage(reader)
            keys = [] if table.record_column else statements.keys()
            columns = _columns(table, keys)
            _add_columns(warehouse, table, columns)
            statements.reject(table, columns)
            rejected += statements.keep_rejected(table, load)
            landed += statements.insert(table, columns, load)
        warehouse.execute(
            "insert into raw.loads (load_id, source, source_table, source_file, file_sha256, file_bytes, rows_landed,"
            " rows_rejected, loaded_at) values ($load_id, $source, $source_table, $source_file, $sha256, $size,"
            " $landed, $rejected, $loaded_at)",
            {
                **load,
                "source": table.system,
                "source_table": table.name,
                "sha256": digest,
                "size": size,
                "landed": landed,
                "rejected": rejected,
            },
        )
    return FileLanding(path, table, landed, rejected)


def column_name(key: str) -> str:
    """A key or header as a column: CustomerID is customer_id, SystemModstamp is system_modstamp."""
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", key.strip())
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    name = re.sub(r"\W+", "_", name).strip("_").lower()
    return (name or "unnamed")[:60]


def _columns(table: RawTable, keys: list[str]) -> dict[str, list[str]]:
    """Column to the keys of the records that fill it; one key that looks like metadata gets an underscore."""
    columns: dict[str, list[str]] = {}
    for key in keys:
        name = column_name(key)
        columns.setdefault(f"{name}_" if name in METADATA else name, []).append(key)
    return columns


METADATA = {"load_id": "text", "loaded_at": "timestamp", "source_file": "text", "source_line": "bigint"}

_LOADS = {
    "load_id": "text", "source": "text", "source_table": "text", "source_file": "text", "file_sha256": "text",
    "file_bytes": "bigint", "rows_landed": "bigint", "rows_rejected": "bigint", "loaded_at": "timestamp",
}  # fmt: skip
_REJECTED = {
    "load_id": "text", "loaded_at": "timestamp", "source": "text", "source_table": "text", "source_file": "text",
    "source_line": "bigint", "reason": "text", "text": "text",
}  # fmt: skip


def _create_tables(warehouse: Warehouse, statements: Statements, tables: list[RawTable]) -> None:
    with warehouse.transaction():
        for schema in {"raw", *(table.schema for table in tables)}:
            warehouse.execute(f"create schema if not exists {quote(schema)}")
        statements.create_functions()
        for name, columns in (("loads", _LOADS), ("rejected", _REJECTED)):
            warehouse.execute(_create_table("raw", name, columns))
        for table in tables:
            warehouse.execute(
                _create_table(
                    table.schema,
                    table.identifier,
                    {name: statements.type_of(kind) for name, kind in {**table.columns, **METADATA}.items()},
                )
            )
            missing = dict.fromkeys(table.columns)
            present = set(warehouse.column_names(table.schema, table.identifier))
            for name in [name for name in missing if name not in present]:
                warehouse.execute(
                    f"alter table {quote(table.schema, table.identifier)} add column {quote(name)}"
                    f" {statements.type_of(table.columns[name])}"
                )
            if lacking := [name for name in METADATA if name not in present]:
                raise UsageError(
                    f"{table.schema}.{table.identifier} has no column {', '.join(lacking)}:"
                    " it was not made by cdi land.",
                    f"Rename that table, or let another identifier land {table.full_name} in its sources YAML.",
                )


def _create_table(schema: str, name: str, columns: dict[str, str]) -> str:
    definitions = ", ".join(f"{quote(column)} {kind}" for column, kind in columns.items())
    return f"create table if not exists {quote(schema, name)} ({definitions})"


def _add_columns(warehouse: Warehouse, table: RawTable, columns: dict[str, list[str]]) -> None:
    """Columns appear when they are first seen."""
    present = set(warehouse.column_names(table.schema, table.identifier))
    for name in columns:
        if name not in present:
            warehouse.execute(
                f"alter table {quote(table.schema, table.identifier)} add column {quote(name)} text"
            )


def _slices(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatchReader]:
    """Batches in runs of about SLICE_BYTES each."""
    for first in batches:

        def run(first: pa.RecordBatch = first) -> Iterator[pa.RecordBatch]:
            size = first.nbytes
            yield first
            while size < SLICE_BYTES and (batch := next(batches, None)) is not None:
                size += batch.nbytes
                yield batch

        yield pa.RecordBatchReader.from_batches(LINES, run())


def _digest(path: Path) -> tuple[str, int]:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size
    except OSError as error:
        raise CdiError(f"{path} cannot be read: {error.strerror}") from None


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
