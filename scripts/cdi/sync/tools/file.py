"""Files on disk: each run that has changes writes one, with the operation in front of the model's columns.

A file is written beside its place and renamed when it is whole. Its name, <number>-<time>-<run id>, sorts in the order
of the deliveries whatever the clock says, and is never used twice: who reads the files need not look at one again.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from cdi.sync.tools.base import Batch, Delivery, Option, Outcome, RefusedError, Tool
from cdi.sync.tools.json_values import to_json

FORMATS = ("csv", "ndjson", "parquet")


class Files(Tool):
    """Writes changes as CSV, NDJSON or Parquet below the folder `path` (from the project's root)."""

    options: ClassVar[dict[str, Option]] = {
        "format": Option(required=True, choices=FORMATS),
        "path": Option(required=True),
    }
    modes = ("mirror", "upsert", "create", "audience", "append")
    commits_batches = False
    can_delete = True
    batch_rows = 50_000

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        super().__init__(options, delivery)
        self.format = options["format"]
        self.folder = delivery.root / options["path"]
        written_at = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        self.place = self.folder / f"{delivery.sequence:06d}-{written_at}-{delivery.run_id}.{self.format}"
        # The same for every run, so that what a killed one left behind is written over.
        self.partial = self.folder / f".{delivery.sync}.{self.format}.partial"
        self.writer: pa_csv.CSVWriter | pa_parquet.ParquetWriter | None = None
        self.file: BinaryIO | None = None
        self.deleted: set[str] = set()

    def send(self, batch: Batch) -> Outcome:
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
        return Outcome()

    def delete(self, batch: Batch) -> Outcome:
        """Write a batch of people to forget; what earlier files say of them goes when the file is finished."""
        self.deleted |= set(batch.rows.column(self.delivery.key).cast(pa.string()).to_pylist())
        return self.send(batch)

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
            for path in sorted(self.folder.glob(f"[0-9]*.{self.format}")) if self.deleted else []:
                self._take_out(path)
            self.partial.rename(self.place)
        except OSError as error:
            raise RefusedError(f"{self.place} cannot be written: {error.strerror or error}") from None

    def _take_out(self, path: Path) -> None:
        """Write an earlier file anew without the rows of people to forget, whatever became of them there."""
        key, keys = self.delivery.key, pa.array(sorted(self.deleted), pa.string())
        unfinished = path.with_name(f".{path.name}.partial")
        if self.format == "ndjson":
            lines = path.read_bytes().splitlines(keepends=True)
            kept = [line for line in lines if str(orjson.loads(line).get(key)) not in self.deleted]
            if len(kept) == len(lines):
                return
            unfinished.write_bytes(b"".join(kept))
        else:
            if self.format == "csv":
                # As text, so that every other row stays as it was written.
                names = pa_csv.open_csv(path).schema.names
                convert = pa_csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                )  # fmt: skip
                rows = pa_csv.read_csv(path, convert_options=convert)
            else:
                rows = pa_parquet.read_table(path)
            if key not in rows.column_names:
                return
            kept_rows = rows.filter(pc.invert(pc.is_in(rows[key].cast(pa.string()), keys)))
            if kept_rows.num_rows == rows.num_rows:
                return
            if self.format == "csv":
                pa_csv.write_csv(kept_rows, unfinished)
            else:
                pa_parquet.write_table(kept_rows, unfinished)
        unfinished.rename(path)

    def abandon(self) -> None:
        """Remove the unfinished file."""
        if self.file is not None:
            self.file.close()
            self.partial.unlink(missing_ok=True)
