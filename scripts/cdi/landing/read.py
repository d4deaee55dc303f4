"""Files as batches of records: newline-delimited JSON, JSON arrays, CSV and Parquet, gzipped or not."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from cdi.landing.csv_records import SEPARATORS, read_csv
from cdi.landing.lines import (
    MAX_LINE,
    UnreadableFileError,
    as_text,
    open_content,
    read_newline_delimited,
    records,
)

_UNREADABLE = (OSError, EOFError, zlib.error, duckdb.Error, pa.ArrowException)
_KINDS = {
    ".ndjson": "lines", ".jsonl": "lines", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet",
}  # fmt: skip


def read_records(path: Path, progress: Callable[[int], None] = lambda _: None) -> Iterator[pa.RecordBatch]:
    """Yield a file's records as batches of RECORDS, in the file's order, in constant memory.

    The number of a record is that of the line it starts on; in JSON arrays and Parquet, which have no lines, its
    position. `progress` is told how many bytes of the file have been read since it was last told; it is called from
    another thread, which reads one batch ahead. Raises UnreadableFileError naming the file.
    """
    before = _stamp(path)
    with ThreadPoolExecutor(max_workers=1) as reader:
        batches = _read(path, progress)
        upcoming = reader.submit(next, batches, None)
        while True:
            try:
                batch = upcoming.result()
            except _UNREADABLE as error:
                raise UnreadableFileError(f"{path} cannot be read: {_reason(error)}.") from None
            if batch is None:
                break
            upcoming = reader.submit(next, batches, None)
            yield batch
    if _stamp(path) != before:
        raise UnreadableFileError(f"{path} changed while it was read.", "Land it again when whoever writes it is done.")


def _read(path: Path, progress: Callable[[int], None]) -> Iterator[pa.RecordBatch]:
    kind = _kind(path)
    if kind == "lines":
        yield from read_newline_delimited(path, progress)
        return
    # Nothing is to be fetched from anywhere, and times are UTC.
    with duckdb.connect(config={"autoinstall_known_extensions": "false", "threads": "1"}) as engine:
        engine.execute("set TimeZone = 'UTC'")
        if kind == "csv":
            yield from read_csv(path, progress, engine)
            return
        yield from _read_with_engine(path, kind, engine)
    progress(path.stat().st_size)


def _kind(path: Path) -> str:
    """lines, array, csv or parquet: by the name, and by the content where the name leaves it open."""
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    suffix = suffixes[-1] if suffixes else ""
    if suffix in _KINDS:
        return _KINDS[suffix]
    content, raw = open_content(path)
    with raw:
        start = content.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.startswith(b"["):
        return "array"
    if start.startswith(b"{") or suffix == ".json":
        return "lines"
    return "csv" if any(separator in start.split(b"\n")[0] for separator in SEPARATORS) else "lines"


def _read_with_engine(path: Path, kind: str, engine: duckdb.DuckDBPyConnection) -> Iterator[pa.RecordBatch]:
    """Records of a JSON array or a Parquet file, which DuckDB reads."""
    parameters: dict[str, object] = {"path": str(path)}
    if kind == "array":
        content, raw = open_content(path)
        with raw:
            parameters.update(compression="none" if content is raw else "gzip", longest=MAX_LINE)
        relation = (
            "select json::varchar as record from read_json_objects($path, format = 'array',"
            " compression = $compression, maximum_object_size = $longest)"
        )
    else:
        types = engine.execute("describe from read_parquet($path)", parameters).fetchall()
        # Timestamps as ISO 8601; NaN and Infinity are no JSON.
        replaced = [
            f"{expression} as {name}"
            for name, kind_ in ((_quote(row[0]), row[1]) for row in types)
            if (expression := _JSON_FORMS.get(kind_, "").format(name))
        ]
        columns = f"* replace ({', '.join(replaced)})" if replaced else "*"
        relation = (
            f"select to_json(cdi_row)::varchar as record from (select {columns} from read_parquet($path)) as cdi_row"
        )
    position = 1
    for batch in engine.sql(relation, params=parameters).to_arrow_reader(10_000):
        text, problems = as_text(batch.column(0).cast(pa.large_string()), b"")
        numbers = pa.array(np.arange(position, position + len(text)))
        position += len(text)
        yield records(numbers, text, text, problems)


_JSON_FORMS = {
    "TIMESTAMP": "strftime({0}, '%Y-%m-%dT%H:%M:%S.%f')",
    "TIMESTAMP_NS": "strftime({0}, '%Y-%m-%dT%H:%M:%S.%f')",
    "TIMESTAMP_MS": "strftime({0}, '%Y-%m-%dT%H:%M:%S.%f')",
    "TIMESTAMP_S": "strftime({0}, '%Y-%m-%dT%H:%M:%S')",
    "TIMESTAMP WITH TIME ZONE": "strftime({0} at time zone 'UTC', '%Y-%m-%dT%H:%M:%S.%fZ')",
    "FLOAT": "case when isfinite({0}) then {0} end",
    "DOUBLE": "case when isfinite({0}) then {0} end",
}


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise UnreadableFileError(f"{path} cannot be read: {_reason(error)}.") from None
    return status.st_size, status.st_mtime_ns


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error).strip().split("\n", 1)[0] or type(error).__name__).rstrip(".")
