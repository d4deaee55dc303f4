"""What a tool has to offer to be synced to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from cdi.errors import CdiError


class RefusedError(CdiError):
    """The tool did not take a batch; the message is its own words, without the values of any row."""


@dataclass(frozen=True)
class Batch:
    """Rows of one kind of change."""

    operation: str
    """upsert or remove."""
    rows: pa.RecordBatch
    """The model's columns; of removed rows only the key is filled."""
    idempotency_key: str
    """The same for the same rows with the same content."""


class Tool:
    """Delivers batches of one sync in one run.

    A subclass names its `options` (True: needed) and says with `commits_batches` whether a batch is delivered when
    `send` returns, or only when `finish` does.
    """

    options: ClassVar[dict[str, bool]] = {}
    commits_batches: ClassVar[bool] = True
    batch_rows: int = 500

    def __init__(self, sync: str, options: dict[str, Any], root: Path, run_id: str, sequence: int) -> None:
        self.sync = sync
        self.root = root
        self.run_id = run_id
        self.sequence = sequence
        """1 for the first run that delivers, and so on; a run that failed does not count."""

    def send(self, batch: Batch) -> None:
        """Deliver a batch; raises RefusedError when it was not taken."""
        raise NotImplementedError

    def finish(self) -> None:
        """All batches were sent."""

    def abandon(self) -> None:
        """The run stopped; what was not delivered must leave no trace."""
