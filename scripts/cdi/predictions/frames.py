"""Rows of a warehouse as Arrow, whatever a Python model is given: DuckDB, pandas, Snowpark, BigFrames or Spark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

BATCH_ROWS = 100_000


class Rows(Protocol):
    """A table or a query of a warehouse that has not been read yet."""

    names: list[str]
    """Its columns, in lower case."""

    def table(self, columns: Sequence[str], known: str | None = None) -> pa.Table:
        """These columns of all rows in which the column `known` is not null."""
        ...

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """These columns of all rows, a batch at a time. Every call reads anew."""
        ...


class DuckDBRows:
    """A relation of DuckDB."""

    def __init__(self, relation: Any) -> None:
        self.relation = relation
        self.names = list(relation.columns)

    def table(self, columns: Sequence[str], known: str | None = None) -> pa.Table:
        """See Rows."""
        relation = self.relation.filter(f'"{known}" is not null') if known else self.relation
        return relation.project(_quoted(columns)).to_arrow_table()

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """See Rows."""
        yield from self.relation.project(_quoted(columns)).to_arrow_reader(BATCH_ROWS)


class FrameRows:
    """A data frame: pandas, or a lazy one of Snowpark, BigFrames or Spark, of which only what is wanted is fetched."""

    def __init__(self, frame: Any) -> None:
        self.frame = frame
        # Snowflake writes names in capitals.
        self._own_names = {str(name).lower(): name for name in frame.columns}
        self.names = list(self._own_names)

    def table(self, columns: Sequence[str], known: str | None = None) -> pa.Table:
        """See Rows."""
        wanted = list(dict.fromkeys([*columns, *([known] if known else [])]))
        frame = self._select(wanted)
        for method in ("to_pandas", "toPandas"):
            if hasattr(frame, method):
                frame = getattr(frame, method)()
                break
        table = _from_pandas(frame, wanted)
        if known:
            table = table.filter(pc.is_valid(table[known]))
        return table.select(list(columns))

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """See Rows."""
        frame = self._select(columns)
        if not hasattr(frame, "to_pandas_batches"):
            yield from self.table(columns).to_batches(BATCH_ROWS)
            return
        for part in frame.to_pandas_batches():
            yield from _from_pandas(part, columns).to_batches(BATCH_ROWS)

    def _select(self, columns: Sequence[str]) -> Any:
        own = [self._own_names[name] for name in columns]
        return self.frame.select(*own) if hasattr(self.frame, "select") else self.frame[own]


def rows_of(relation: Any) -> Rows:
    """What `dbt.ref` gives in a Python model, as Rows."""
    return DuckDBRows(relation) if hasattr(relation, "to_arrow_reader") else FrameRows(relation)


def answer(relation: Any, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Any:
    """Batches as what a Python model that was given `relation` has to return."""
    if hasattr(relation, "to_arrow_reader"):
        return pa.RecordBatchReader.from_batches(schema, batches)
    return pa.Table.from_batches(list(batches), schema).to_pandas()


def matrix(rows: pa.Table | pa.RecordBatch, features: Sequence[str]) -> np.ndarray:
    """The features as 32-bit numbers, a row per row and a column per feature; NaN where nothing is known."""
    found = np.empty((rows.num_rows, len(features)), dtype=np.float32)
    for place, name in enumerate(features):
        found[:, place] = numbers(rows.column(name))
    return found


def numbers(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """A column of numbers as 64-bit ones, NaN where there is none."""
    values = pc.fill_null(pc.cast(column, pa.float64()), float("nan"))
    return values.to_numpy() if isinstance(values, pa.ChunkedArray) else values.to_numpy(zero_copy_only=False)


def _quoted(columns: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)


def _from_pandas(frame: Any, names: Sequence[str]) -> pa.Table:
    return pa.Table.from_pandas(frame, preserve_index=False).rename_columns(list(names))
