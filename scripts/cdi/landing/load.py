"""Files into raw tables: one file is one load and one transaction."""

from __future__ import annotations

import glob
import hashlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import psycopg
import pyarrow as pa
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from cdi.errors import WarehouseError, mask_secrets
from cdi.landing.check import Judge
from cdi.landing.lines import UnreadableFileError
from cdi.landing.read import read_records
from cdi.landing.sources import RawTable, find_tables, table_of_file
from cdi.landing.tables import add_columns, ensure_tables, next_load_time
from cdi.project import Project
from cdi.warehouse import Warehouse, connect, quote

if TYPE_CHECKING:
    from cdi.privacy.keep_out import Suppression

log = logging.getLogger(__name__)

# What counts in a folder; a file that is named lands whatever it is called.
_DATA_SUFFIXES = {".ndjson", ".jsonl", ".json", ".csv", ".tsv", ".parquet", ".gz", ".txt", ""}


@dataclass(frozen=True)
class FileLanding:
    """What became of one file."""

    path: Path
    table: RawTable | None
    rows_landed: int = 0
    rows_rejected: int = 0
    rows_suppressed: int = 0
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
    def rows_suppressed(self) -> int:
        """Lines of suppressed people: they were not kept."""
        return sum(item.rows_suppressed for item in self.files)

    @property
    def unreadable(self) -> list[FileLanding]:
        """Files that could not be read."""
        return [item for item in self.files if item.problem]


def land(
    project: Project, source: str, patterns: Iterable[str | Path], console: Console | None = None
) -> LandingResult:
    """Load files (paths, folders or globs) of a source (`system` or `system.table`) into the raw tables.

    A file whose content has landed before adds nothing. A line that is no record goes to raw.rejected. A file that
    cannot be read, or of which nobody knows the table, leaves nothing and is in the result with its problem, as is a
    pattern without a file; the others land. Raises UsageError for an unknown source and WarehouseError where the
    warehouse does not take part.
    """
    # What keeps people out reads how sources land.
    from cdi.privacy.keep_out import Suppression

    tables = find_tables(project.root, source)
    paths, problems = find_files(patterns)
    result = LandingResult([FileLanding(path, None, problem=problem) for path, problem in problems.items()])
    progress = Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(),
        console=console, disable=console is None, transient=True,
    )  # fmt: skip
    try:
        with connect(project) as warehouse, warehouse.lock("land"), progress:
            ensure_tables(warehouse, tables)
            judge = Judge()
            suppression = Suppression(project, warehouse)
            task = progress.add_task(f"Landing {source}", total=sum(_size(path) for path in paths))
            for path in paths:
                table = None
                try:
                    table = table_of_file(tables, path)
                    landing = land_file(
                        warehouse, judge, table, path, lambda count: progress.advance(task, count), suppression
                    )
                except UnreadableFileError as error:
                    landing = FileLanding(path, table, problem=str(error))
                log.info("landed %s", landing)
                result.files.append(landing)
    except (duckdb.Error, psycopg.Error) as error:
        sentence = mask_secrets(str(error).strip().split("\n", 1)[0])
        raise WarehouseError(
            f"Target {project.target} did not take the files: {sentence}",
            "Files before that one have landed; run again when it is mended.",
        ) from error
    return result


def find_files(patterns: Iterable[str | Path]) -> tuple[list[Path], dict[Path, str]]:
    """The files that paths, folders (the data files below them) and globs name, each once, in order.

    What names no file comes with the reason.
    """
    found: dict[Path, None] = {}
    problems: dict[Path, str] = {}
    for pattern in map(str, patterns):
        path = Path(pattern).expanduser()
        try:
            if path.is_dir():
                matches = sorted(item for item in path.rglob("*") if _is_data(item))
                reason = f"No data file lies in the folder {path}."
            elif glob.has_magic(pattern) and not path.exists():
                # Path.glob takes no absolute pattern.
                names = glob.iglob(str(path), recursive=True)  # noqa: PTH207
                matches = sorted(match for match in map(Path, names) if match.is_file())
                reason = f"No file matches {pattern}."
            else:
                matches = [path] if path.exists() else []
                reason = f"There is no file {path}."
        except OSError as error:
            matches, reason = [], f"{path} cannot be read: {error.strerror}."
        if not matches:
            problems[path] = reason
        found.update(dict.fromkeys(matches))
    return list(found), problems


def _is_data(path: Path) -> bool:
    hidden = path.name.startswith((".", "_"))
    return path.is_file() and not hidden and path.suffix.lower() in _DATA_SUFFIXES


def land_file(
    warehouse: Warehouse,
    judge: Judge,
    table: RawTable,
    path: Path,
    progress: Callable[[int], None] = lambda _: None,
    suppression: Suppression | None = None,
) -> FileLanding:
    """Load one file in one transaction; raises UnreadableFileError, with nothing loaded.

    Lines of suppressed people are taken out again before the transaction ends.
    """
    digest, size = _digest(path)
    load_id = hashlib.sha256(f"{table.full_name}\n{digest}".encode()).hexdigest()[:32]
    if warehouse.query("select 1 from raw.loads where load_id = $load_id", {"load_id": load_id}):
        progress(size)
        return FileLanding(path, table, already_landed=True)
    landed = rejected = suppressed = 0
    with warehouse.transaction():
        loaded_at = next_load_time(warehouse)
        load = {"load_id": load_id, "loaded_at": loaded_at, "source_file": str(path)}
        columns: set[str] = set(table.columns)
        for batch in read_records(path, progress):
            judged = judge.judge(batch, table, path)
            if new := [name for name in judged.landed.column_names if name not in columns]:
                add_columns(warehouse, table, new)
                columns.update(new)
            landed += _append(warehouse, quote(table.schema, table.identifier), judged.landed, load)
            rejected += _append(
                warehouse,
                "raw.rejected",
                judged.rejected,
                {**load, "source": table.system, "source_table": table.name},
            )
        if suppression:
            refused, refused_rejected = suppression.refuse_load(table, load_id, loaded_at)
            landed, rejected, suppressed = landed - refused, rejected - refused_rejected, refused + refused_rejected
        warehouse.execute(
            "insert into raw.loads (load_id, source, source_table, source_file, file_sha256, file_bytes, rows_landed,"
            " rows_rejected, loaded_at, rows_suppressed) values ($load_id, $source, $source_table, $source_file,"
            " $sha256, $size, $landed, $rejected, $loaded_at, $suppressed)",
            {
                **load,
                "source": table.system,
                "source_table": table.name,
                "sha256": digest,
                "size": size,
                "landed": landed,
                "rejected": rejected,
                "suppressed": suppressed,
            },
        )
    return FileLanding(path, table, landed, rejected, suppressed)


def _append(warehouse: Warehouse, relation: str, rows: pa.Table, constants: dict[str, Any]) -> int:
    if rows.num_rows:
        for name, value in constants.items():
            rows = rows.append_column(name, pa.repeat(value, rows.num_rows))
        warehouse.append(relation, rows.to_reader())
    return rows.num_rows


def _digest(path: Path) -> tuple[str, int]:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size
    except OSError as error:
        raise UnreadableFileError(f"{path} cannot be read: {error.strerror}.") from None


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
