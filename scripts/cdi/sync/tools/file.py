"""Files on disk: each run that has changes writes one, with the operation in front of the model's columns.

A file is written beside its place and renamed when it is whole. Its number counts the deliveries: a run that was
killed before it was written down writes the same file again.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import orjson
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from cdi.errors import UsageError
from cdi.sync.tools.base import Batch, RefusedError, Tool

FORMATS = ("csv", "ndjson", "parquet")


class FileTool(Tool):
    """Writes changes as CSV, NDJSON or Parquet below the folder `path` (from the project's root)."""

    options: ClassVar[dict[str, bool]] = {"format": True, "path": True}
    commits_batches = False
    batch_rows = 50_000

    def __init__(self, sync: str, options: dict[str, Any], root: Path, run_id: str, sequence: int) -> None:
        super().__init__(sync, options, root, run_id, sequence)
        self.format = options["format"]
        if self.format not in FORMATS:
            raise UsageError(f"Sync {sync}: format '{self.format}' is not one of {', '.join(FORMATS)}.")
        self.folder = root / options["path"]
        self.place = self.folder / f"{sequence:06d}.{self.format}"
        self.partial = self.folder / f".{self.place.name}.partial"
        self.writer: Any = None
        self.file: Any = None

    def send(self, batch: Batch) -> None:
        """Write a batch to the unfinished file."""
        operations = pa.array([batch.operation] * batch.rows.num_rows, pa.string())
        rows = pa.RecordBatch.from_arrays(
            [operations, *batch.rows.columns], names=["operation", *batch.rows.schema.names]
        )
        try:
            if self.file is None:
                self.folder.mkdir(parents=True, exist_ok=True)
                self.file = self.partial.open("wb")
                if self.format == "csv":
                    self.writer = pa_csv.CSVWriter(self.file, rows.schema)
                elif self.format == "parquet":
                    self.writer = pa_parquet.ParquetWriter(self.file, rows.schema)
            if self.writer:
                self.writer.write_batch(rows)
            else:
                self.file.write(
                    b"".join(
                        orjson.dumps(
                            row,
                            default=_plain,
                            option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z,
                        )
                        for row in rows.to_pylist()
                    )
                )
        except OSError as error:
            raise RefusedError(f"{self.folder} cannot be written: {error.strerror}") from None

    def finish(self) -> None:
        """Give the file its name."""
        if self.file is None:
            return
        try:
            if self.writer:
                self.writer.close()
            self.file.close()
            self.partial.rename(self.place)
        except OSError as error:
            raise RefusedError(f"{self.place} cannot be written: {error.strerror}") from None

    def abandon(self) -> None:
        """Remove the unfinished file."""
        if self.file is not None:
            self.file.close()
            self.partial.unlink(missing_ok=True)


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else str(value)
