"""A file's bytes as lines, and lines as Arrow batches that say what no JSON parser would say alike everywhere."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cdi.errors import CdiError

CHUNK = 16 * 1024 * 1024

# PostgreSQL's jsonb takes no more than 256 MiB and 12 bytes for a digit and its comma, as it takes neither \u0000 nor
# numbers without bound; deep nesting ends at its stack. DuckDB keeps the same bounds so that both hold the same rows.
MAX_LINE = 16 * 1024 * 1024
MAX_DEPTH = 1000

RECORDS = pa.schema(
    {
        "source_line": pa.int64(),
        "text": pa.large_string(),
        "record": pa.large_string(),
        "problem": pa.string(),
        "suspect": pa.bool_(),
    }
)
"""Records of a file: where each stands, how it stands there, the same as JSON, why it is none, and whether it may hold
one of the things that parsers disagree on (see SUSPECT)."""

# A cheap look at all lines. Only those it finds are looked at closely: NaN, Infinity and trailing commas, which DuckDB
# reads but nobody else; the null character; numbers that may be too large. A literal ends at one of [,}\]\s].
SUSPECT = r"(?:[nN][aA][nN]|[iI][nN][fF]|[tT][yY]|[eE][+-]?[0-9]{4,})[,}\]\s]|[0-9]{100}|,\s*[}\]]|\\u0000"
STRING = r'"(?:\\.|[^"\\])*"'

_BOM = b"\xef\xbb\xbf"
_KEPT_OF_LONG_LINES = 64 * 1024


class UnreadableFileError(CdiError):
    """A file that gives no records at all, or stops giving them."""


def open_content(path: Path) -> tuple[IO[bytes], IO[bytes]]:
    """The file's bytes, unzipped, and the file itself, whose position tells how far reading got."""
    raw = path.open("rb")
    zipped = raw.read(2) == b"\x1f\x8b"
    raw.seek(0)
    return (gzip.GzipFile(fileobj=raw) if zipped else raw), raw  # type: ignore[return-value]


def read_chunks(path: Path, progress: Callable[[int], None]) -> Iterator[bytes]:
    """The unzipped bytes of a file without a byte order mark; `progress` is told the bytes of the file itself."""
    content, raw = open_content(path)
    with raw:
        position = 0
        while chunk := content.read(CHUNK):
            yield chunk.removeprefix(_BOM) if position == 0 else chunk
            progress(raw.tell() - position)
            position = raw.tell()


def read_newline_delimited(path: Path, progress: Callable[[int], None]) -> Iterator[pa.RecordBatch]:
    """Batches of RECORDS from a file that has one JSON text on a line; empty lines only count."""
    pending, first_line = b"", 1
    for chunk in read_chunks(path, progress):
        complete, newline, tail = chunk.rpartition(b"\n")
        if not newline:
            # Of a line that is longer than allowed no more is kept than shows that.
            pending = (pending + chunk)[: MAX_LINE + 1]
            continue
        batch, lines = _batch_of_lines(pending + complete + newline, first_line)
        yield batch
        pending, first_line = tail, first_line + lines
    if pending:
        yield _batch_of_lines(pending + b"\n", first_line)[0]


def _batch_of_lines(block: bytes, first_line: int) -> tuple[pa.RecordBatch, int]:
    ends = line_ends(block)
    lines = slices(block, np.concatenate(([0], ends)))
    text, problems = as_text(pc.ascii_trim_whitespace(lines.view(pa.large_string())), block)
    numbers = pa.array(np.arange(first_line, first_line + len(ends)))
    filled = pc.greater(pc.binary_length(text), 0)
    if not pc.all(filled).as_py():
        numbers, text, problems = (pc.filter(column, filled) for column in (numbers, text, problems))
    return records(numbers, text, text, problems), len(ends)


def line_ends(block: bytes) -> np.ndarray:
    """The offsets behind all line feeds."""
    return np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n")) + 1


def slices(block: bytes, offsets: np.ndarray) -> pa.LargeBinaryArray:
    """The parts of a block between offsets, without a copy."""
    return pa.Array.from_buffers(
        pa.large_binary(),
        len(offsets) - 1,
        [None, pa.py_buffer(offsets.astype(np.int64)), pa.py_buffer(block)],
    )


def with_line_feeds(text: pa.LargeStringArray) -> pa.LargeStringArray:
    """Each text with a line feed behind it."""
    nothing, feed = pa.scalar("", pa.large_string()), pa.scalar("\n", pa.large_string())
    return pc.binary_join_element_wise(text, nothing, feed)


def as_text(
    values: pa.LargeBinaryArray | pa.LargeStringArray, block: bytes
) -> tuple[pa.LargeStringArray, pa.StringArray]:
    """Parts of a block as text that every warehouse takes, and the problem of those that had to be changed."""
    values = values.view(pa.large_binary())
    problems = pa.nulls(len(values), pa.string())
    long = pc.greater(pc.binary_length(values), MAX_LINE)
    if pc.any(long).as_py():
        problems = pc.if_else(long, f"longer than {MAX_LINE // 1024**2} MiB", problems)
        values = pc.if_else(long, pc.binary_slice(values, 0, _KEPT_OF_LONG_LINES), values)
    try:
        text = values.cast(pa.large_string())
    except pa.ArrowInvalid:
        text, undecodable = _decode(values)
        problems = pc.coalesce(problems, undecodable)
    if b"\x00" in block:
        null = pc.match_substring(text, "\x00")
        problems = pc.coalesce(problems, pc.if_else(null, "holds a null byte", pa.scalar(None, pa.string())))
        text = pc.replace_substring(text, "\x00", "\ufffd")
    return text, problems


def _decode(values: pa.LargeBinaryArray) -> tuple[pa.LargeStringArray, pa.StringArray]:
    """Texts of a block that is not all UTF-8, which is rare: broken bytes replaced, and the problem."""
    texts, problems = [], []
    for value in values.to_pylist():
        try:
            texts.append(value.decode())
            problems.append(None)
        except UnicodeDecodeError as error:
            texts.append(value.decode(errors="replace"))
            problems.append(f"not UTF-8 at byte {error.start + 1} of the line")
    return pa.array(texts, pa.large_string()), pa.array(problems, pa.string())


def records(
    numbers: pa.Array, text: pa.LargeStringArray, record: pa.LargeStringArray, problems: pa.StringArray
) -> pa.RecordBatch:
    """A batch of RECORDS."""
    deep = _too_deep(record)
    if deep is not None:
        problems = pc.coalesce(
            problems,
            pc.if_else(deep, f"nested deeper than {MAX_DEPTH} levels", pa.scalar(None, pa.string())),
        )
    suspect = pc.match_substring_regex(record, SUSPECT)
    return pa.RecordBatch.from_arrays([numbers, text, record, problems, suspect], schema=RECORDS)


def _too_deep(record: pa.LargeStringArray) -> pa.BooleanArray | None:
    """Whether records are nested deeper than MAX_DEPTH; None where none can be."""
    # A level takes two bytes at least, so that few lines are looked at twice.
    possible = pc.greater(pc.binary_length(record), 2 * MAX_DEPTH)
    if not pc.any(possible).as_py():
        return None
    rows = pc.indices_nonzero(possible)
    rows = rows.filter(pc.greater(pc.count_substring_regex(record.take(rows), r"[\[{]"), MAX_DEPTH))
    if not len(rows):
        return None
    bare = pc.replace_substring_regex(record.take(rows), STRING, "")
    # With a line feed each, no text is empty.
    bare = with_line_feeds(bare)
    offsets = np.frombuffer(bare.buffers()[1], np.int64)[bare.offset : bare.offset + len(bare) + 1]
    characters = np.frombuffer(bare.buffers()[2], np.uint8)[offsets[0] : offsets[-1]]
    steps = np.isin(characters, (ord("["), ord("{"))).astype(np.int32)
    steps -= np.isin(characters, (ord("]"), ord("}")))
    levels = np.cumsum(steps, dtype=np.int32)
    starts = offsets[:-1] - offsets[0]
    before = np.where(starts > 0, levels[starts - 1], 0)
    deep = np.zeros(len(record), dtype=bool)
    deep[rows.to_numpy()] = np.maximum.reduceat(levels, starts) - before > MAX_DEPTH
    return pa.array(deep)
