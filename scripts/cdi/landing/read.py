"""Files as lines of JSON, in Arrow batches: newline-delimited JSON, JSON arrays, CSV and Parquet, gzipped or not."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cdi.errors import CdiError

CHUNK = 16 * 1024 * 1024

LINES = pa.schema({"source_line": pa.int64(), "line": pa.string(), "problem": pa.string()})
"""One line or record of a file; problem says why it cannot even be read as text."""

_UNREADABLE = (OSError, EOFError, zlib.error, duckdb.Error, pa.ArrowException)


class UnreadableFileError(CdiError):
    """A file that gives no lines at all, or stops giving them."""


def read_lines(path: Path, progress: Callable[[int], None] = lambda _: None) -> Iterator[pa.RecordBatch]:
    """Yield a file's records as batches of LINES, in the file's order, in constant memory.

    `progress` is told how many bytes of the file have been read since it was last told. Empty lines count but are
    not given. Raises UnreadableFileError naming the file.
    """
    try:
        kind = _kind(path)
        if kind == "lines":
            yield from _read_newline_delimited(path, progress)
        else:
            yield from _read_with_duckdb(path, kind)
            progress(path.stat().st_size)
    except _UNREADABLE as error:
        reason = str(error).strip().split("\n", 1)[0] or type(error).__name__
        raise UnreadableFileError(f"{path} cannot be read: {reason}") from None


def _open(path: Path) -> tuple[IO[bytes], IO[bytes]]:
    """The file's bytes, unzipped, and the file itself, whose position tells how far reading got."""
    raw = path.open("rb")
    zipped = raw.read(2) == b"\x1f\x8b"
    raw.seek(0)
    return (gzip.GzipFile(fileobj=raw) if zipped else raw), raw  # type: ignore[return-value]


def _kind(path: Path) -> str:
    """lines, array, csv or parquet: by the name, and by the content where a name like .json leaves it open."""
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    suffix = suffixes[-1] if suffixes else ""
    content, raw = _open(path)
    with raw:
        start = content.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"PAR1"):
        return "parquet"
    if suffix in (".ndjson", ".jsonl"):
        return "lines"
    if start.startswith(b"["):
        return "array"
    if start.startswith(b"{") or suffix == ".json":
        return "lines"
    if suffix in (".csv", ".tsv"):
        return "csv"
    return "lines"


def _read_newline_delimited(path: Path, progress: Callable[[int], None]) -> Iterator[pa.RecordBatch]:
    content, raw = _open(path)
    with raw:
        line_number, rest, position = 1, b"", 0
        first = True
        while chunk := content.read(CHUNK):
            if first:
                chunk, first = chunk.removeprefix(b"\xef\xbb\xbf"), False
            progress(raw.tell() - position)
            position = raw.tell()
            complete, newline, tail = chunk.rpartition(b"\n")
            if not newline:
                # A line longer than a chunk; joined once, when its end comes, would be faster for giant lines.
                rest += chunk
                continue
            batch, count = _lines(rest + complete, line_number)
            rest, line_number = tail, line_number + count
            yield batch
        if rest:
            yield _lines(rest, line_number)[0]


def _lines(block: bytes, first_line: int) -> tuple[pa.RecordBatch, int]:
    """A block of whole lines as a batch of LINES, and how many lines it had."""
    values = pc.split_pattern(pa.array([block], pa.large_binary()), pattern=b"\n").flatten()
    count = len(values)
    numbers = pa.array(np.arange(first_line, first_line + count))
    problems = pa.nulls(count, pa.string())
    try:
        text = values.cast(pa.large_string())
    except pa.ArrowInvalid:
        text, problems = _decode_one_by_one(values)
    # A raw null byte is no JSON anywhere and no text in PostgreSQL.
    has_null = pc.match_substring(text, "\x00")
    if pc.any(has_null).as_py():
        problems = pc.if_else(has_null, "contains a null byte", problems)
        text = pc.replace_substring(text, "\x00", "\ufffd")
    text = pc.utf8_trim_whitespace(text)
    keep = pc.greater(pc.binary_length(text), 0)
    columns = [pc.filter(column, keep) for column in (numbers, text.cast(pa.string()), problems)]
    return pa.RecordBatch.from_arrays(columns, schema=LINES), count


def _decode_one_by_one(values: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Lines of a block that is not all UTF-8, which is rare: broken bytes replaced, and the reason."""
    texts, problems = [], []
    for value in values.to_pylist():
        try:
            texts.append(value.decode())
            problems.append(None)
        except UnicodeDecodeError as error:
            texts.append(value.decode(errors="replace"))
            problems.append(f"not UTF-8 at byte {error.start + 1}")
    return pa.array(texts, pa.large_string()), pa.array(problems, pa.string())


def _read_with_duckdb(path: Path, kind: str) -> Iterator[pa.RecordBatch]:
    """Records of a JSON array, CSV or Parquet file as JSON text; CSV lines that do not fit come with their problem."""
    parameters = {"path": str(path)}
    if kind == "csv":
        parameters.update(delimiter="\t" if ".tsv" in path.suffixes else ",", quote='"')
    with duckdb.connect() as engine:
        if kind == "array":
            relation = (
                "select json as line from read_json_objects($path, format = 'array',"
                " maximum_object_size = 134217728)"
            )
        elif kind == "parquet":
            relation = "select to_json(record)::varchar as line from read_parquet($path) as record"
        else:
            relation = (
                "select to_json(record)::varchar as line from read_csv($path, header = true, all_varchar = true,"
                " delim = $delimiter, quote = $quote, escape = $quote, store_rejects = true, rejects_limit = 0,"
                " max_line_size = 16777216) as record"
            )
        header = 1 if kind == "csv" else 0
        reader = engine.sql(
            f"select row_number() over () + {header} as source_line, line::varchar as line,"
            f" null::varchar as problem from ({relation})",
            params=parameters,
        ).to_arrow_reader(50_000)
        for batch in reader:
            yield pa.RecordBatch.from_arrays(batch.columns, schema=LINES)
        if kind == "csv":
            rejects = engine.sql(
                "select any_value(line) as source_line, coalesce(any_value(csv_line), '') as line,"
                " any_value(error_message) as problem from reject_errors group by line order by 1"
            ).to_arrow_table()
            for batch in rejects.to_batches():
                yield pa.RecordBatch.from_arrays(
                    [column.cast(kind_.type) for column, kind_ in zip(batch.columns, LINES, strict=True)],
                    schema=LINES,
                )


