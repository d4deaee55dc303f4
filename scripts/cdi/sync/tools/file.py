"""Files on disk: each run that has changes writes one, with the operation in front of the model's columns.

A file is written beside its place and renamed when it is whole. Its name, <number>-<time>-<run id>, sorts in the order
of the deliveries whatever the clock says, and is never used twice: who reads the files need not look at one again.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any, BinaryIO, ClassVar

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from cdi.errors import UsageError
from cdi.sync.tools.base import Batch, Delivery, Option, RefusedError, Tool
from cdi.sync.tools.json_values import to_json

FORMATS = ("csv", "ndjson", "parquet")


class FileTool(Tool):
    """Writes changes as CSV, NDJSON or Parquet below the folder `path` (from the project's root)."""

    options: ClassVar[dict[str, Option]] = {"format": Option(required=True), "path": Option(required=True)}
    commits_batches = False
    batch_rows = 50_000

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        super().__init__(options, delivery)
        self.format = options["format"]
        if self.format not in FORMATS:
            raise UsageError(f"format '{self.format}' is not one of {', '.join(FORMATS)}.")
        self.folder = delivery.root / options["path"]
        written_at = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        self.place = self.folder / f"{delivery.sequence:06d}-{written_at}-{delivery.run_id}.{self.format}"
        # The same for every run, so that what a killed one left behind is written over.
        self.partial = self.folder / f".{delivery.sync}.{self.format}.partial"
        self.writer: pa_csv.CSVWriter | pa_parquet.ParquetWriter | None = None
        self.file: BinaryIO | None = None

    def send(self, batch: Batch) -> None:
        """Write a batch to the unfinished file."""
        operations = pa.array([batch.operation] * batch.rows.num_rows, pa.string())
        rows = pa.RecordBatch.from_arrays(
            [operations, *batch.rows.columns], names=["operation", *batch.rows.schema.names]
        )
        try:
            if self.file is None:
                self._open(rows.schema)
            if self.writer:
                self.writer.write_batch(rows)
            else:
                self.file.writelines(to_json(row, newline=True) for row in rows.to_pylist())
        except OSError as error:
            raise RefusedError(f"{self.folder} cannot be written: {error.strerror or error}") from None

    def _open(self, schema: pa.Schema) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file = self.partial.open("wb")
        if self.format == "csv":
            self.writer = pa_csv.CSVWriter(self.file, schema)
        elif self.format == "parquet":
            self.writer = pa_parquet.ParquetWriter(self.file, schema)

    def finish(self) -> None:
        """Give the file its name."""
        if self.file is None:
            return
        try:
            if self.writer:
                self.writer.close()
            self.file.flush()
            # The state moves next: the file must outlive a power cut then.
            os.fsync(self.file.fileno())
            self.file.close()
            self.partial.rename(self.place)
        except OSError as error:
            raise RefusedError(f"{self.place} cannot be written: {error.strerror or error}") from None

    def abandon(self) -> None:
        """Remove the unfinished file."""
        if self.file is not None:
            self.file.close()
            self.partial.unlink(missing_ok=True)
