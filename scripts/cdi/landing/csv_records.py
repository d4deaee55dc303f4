"""CSV as records with the number of the line that each starts on, whatever quotes and line breaks it holds."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from cdi.landing.lines import MAX_LINE, as_text, line_ends, read_chunks, records, slices, with_line_feeds


def read_csv(
    path: Path, progress: Callable[[int], None], engine: duckdb.DuckDBPyConnection
) -> Iterator[pa.RecordBatch]:
    """Batches of RECORDS from a CSV file with a header; fields are texts, and an empty field is null.

    The separator is the one of comma, semicolon, tab and bar that the header has most of.
    """
    splitter: _Splitter | None = None
    pending, line = b"", 1
    chunks = read_chunks(path, progress)
    ended = False
    while not ended:
        chunk = next(chunks, None)
        ended = chunk is None
        # A line that is longer than allowed is refused by what is kept of it.
        data = pending[: MAX_LINE + 1] + (b"\n" if ended else chunk)
        if splitter is None:
            filled = data.lstrip(b"\r\n")
            line += data.count(b"\n", 0, len(data) - len(filled))
            header, newline, data = filled.partition(b"\n")
            if not newline:
                if len(header) > MAX_LINE:
                    raise pa.ArrowInvalid(f"its header is longer than {MAX_LINE // 1024**2} MiB")
                pending = header
                continue
            splitter, line = _Splitter(header), line + 1
        while True:
            starts, unclosed = splitter.record_starts(data)
            end = int(starts[-1])
            if end:
                yield splitter.parse(data[:end], starts, line, engine)
                line += data.count(b"\n", 0, end)
            pending = data[end:]
            if not unclosed or (not ended and len(pending) <= MAX_LINE):
                break
            # A quote that nothing closes would swallow all that follows: its line is no record, the next one may be.
            first, _, data = pending.partition(b"\n")
            yield splitter.broken(first, line, "a quoted field is not closed")
            line += 1
            pending = b""
            if not data:
                break


SEPARATORS = (b",", b";", b"\t", b"|")

_BARE_RETURN = re.compile(rb"\r[^\n]")


class _Splitter:
    """What the header tells: the separator and the names of the fields."""

    def __init__(self, header: bytes) -> None:
        text = header.decode(errors="replace").rstrip("\r")
        self.separator = max(map(bytes.decode, SEPARATORS), key=text.count)
        names = next(csv.reader([text], delimiter=self.separator), [])
        self.names: list[str] = []
        for position, name in enumerate(names, 1):
            name = name.strip() or f"column_{position}"
            self.names.append(f"{name}_{position}" if name in self.names else name)
        d = re.escape(self.separator)
        # What follows a closing quote within a field is odd, but part of the field.
        self.quoted_field = f'(^|{d})"(?:[^"]|"")*"'
        field = f'(?:[^"{d}][^{d}]*|"(?:[^"]|"")*"(?:[^"{d}][^{d}]*)?)?'
        opening = f'(?:{field}{d})*"(?:[^"]|"")*'
        self.opens = f"^{opening}$"
        self.stays_open = f'^(?:[^"]|"")*(?:"(?:[^"{d}][^{d}]*)?{d}{opening})?$'

    def record_starts(self, data: bytes) -> tuple[np.ndarray, bool]:
        """Offsets at which records start, with the end of the last whole one; whether a quote is open at the end.

        A line that ends within quotes goes on in the next one. Each line takes the state (out of or within quotes) to
        another: most keep it, some always end in the same one, some turn it round; so the state before a line is that
        of the last line that always ends in the same one, turned round as often as lines since then do.
        """
        ends = line_ends(data)
        starts = np.concatenate(([0], ends))
        if b'"' not in data:
            return starts, False
        quotes = np.flatnonzero(np.frombuffer(data, np.uint8) == ord('"'))
        rows = np.unique(np.searchsorted(ends, quotes, side="right"))
        rows = rows[rows < len(ends)]
        lines = slices(data, starts).take(pa.array(rows)).view(pa.large_string())
        lines = pc.ascii_rtrim(lines, "\r\n").view(pa.large_binary())
        from_outside = np.zeros(len(ends), bool)
        from_inside = np.ones(len(ends), bool)
        from_outside[rows] = pc.match_substring_regex(lines, self.opens).to_numpy(zero_copy_only=False)
        from_inside[rows] = pc.match_substring_regex(lines, self.stays_open).to_numpy(zero_copy_only=False)
        fixed = np.maximum.accumulate(np.where(from_outside == from_inside, np.arange(len(ends)), -1))
        turns = np.cumsum(from_outside & ~from_inside)
        since = turns - np.where(fixed >= 0, turns[fixed], 0)
        inside = np.where(fixed >= 0, from_outside[fixed], False) ^ (since % 2 == 1)
        whole = np.concatenate(([True], ~inside))
        return starts[whole], bool(inside[-1]) if len(inside) else False

    def parse(
        self, data: bytes, starts: np.ndarray, first_line: int, engine: duckdb.DuckDBPyConnection
    ) -> pa.RecordBatch:
        """Whole records as a batch of RECORDS."""
        numbers = first_line + np.searchsorted(line_ends(data) - 1, starts[:-1])
        text, problems = as_text(slices(data, starts), data)
        text = pc.ascii_rtrim(text, "\r\n")
        filled = pc.greater(pc.binary_length(pc.ascii_trim_whitespace(text)), 0)
        numbers = pa.array(numbers, pa.int64())
        numbers, text, problems = (pc.filter(column, filled) for column in (numbers, text, problems))
        if _BARE_RETURN.search(data):
            unquoted = pc.replace_substring_regex(text, self.quoted_field, r"\1")
            bare = pc.if_else(
                pc.match_substring(unquoted, "\r"),
                "holds a carriage return outside quotes",
                pa.scalar(None, pa.string()),
            )
            problems = pc.coalesce(problems, bare)
        good = pc.is_null(problems)
        fields, refused = self._fields(pc.filter(text, good))
        if refused:
            mask = np.zeros(len(problems), bool)
            mask[np.flatnonzero(good)[list(refused)]] = True
            problems = pc.replace_with_mask(problems, mask, pa.array(refused.values(), pa.string()))
        record = self._as_json(fields, engine)
        # Rows with a problem have no record: they keep their text.
        good = pc.is_null(problems)
        record = pc.replace_with_mask(text, good, record)
        return records(numbers, text, record, problems)

    def _fields(self, rows: pa.LargeStringArray) -> tuple[pa.Table, dict[int, str]]:
        """The fields of rows as texts, and, by position, why some rows have none."""
        refused: dict[int, str] = {}

        def refuse(row: pa_csv.InvalidRow) -> str:
            refused[row.number - 1] = f"{row.actual_columns} fields, the header has {row.expected_columns}"
            return "skip"

        if not len(rows):
            return pa.table({name: pa.array([], pa.string()) for name in self.names}), refused
        data = with_line_feeds(rows).buffers()[2]
        table = pa_csv.read_csv(
            pa.BufferReader(data),
            # Row numbers are only told without threads, and one block knows of no row that is cut.
            pa_csv.ReadOptions(column_names=self.names, use_threads=False, block_size=len(data) + 1),
            pa_csv.ParseOptions(
                delimiter=self.separator,
                newlines_in_values=True,
                ignore_empty_lines=False,
                invalid_row_handler=refuse,
            ),
            pa_csv.ConvertOptions(
                column_types=dict.fromkeys(self.names, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )
        return table, refused

    def _as_json(self, fields: pa.Table, engine: duckdb.DuckDBPyConnection) -> pa.LargeStringArray:
        engine.register("cdi_fields", fields)
        rows = engine.sql("select to_json(cdi_row)::varchar as record from cdi_fields as cdi_row").to_arrow_table()
        engine.unregister("cdi_fields")
        return rows["record"].combine_chunks().cast(pa.large_string())

    def broken(self, line: bytes, number: int, problem: str) -> pa.RecordBatch:
        """One line that is no record."""
        text, problems = as_text(pa.array([line.rstrip(b"\r")], pa.large_binary()), line)
        return records(pa.array([number]), text, text, pc.coalesce(problems, problem))
