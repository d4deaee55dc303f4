"""What a tool has to offer to be synced to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from cdi.errors import CdiError


class RefusedError(CdiError):
    """The tool did not confirm a batch; the message is its own words, without the values of any row.

    `in_doubt` says that it may hold the rows all the same: an answer that never came, an error half-way.
    """

    def __init__(self, message: str, in_doubt: bool = False) -> None:
        super().__init__(message)
        self.in_doubt = in_doubt


@dataclass(frozen=True)
class Option:
    """What may stand in meta.sync for a tool."""

    type: type = str
    required: bool = False


@dataclass(frozen=True)
class Delivery:
    """What a tool knows of the run that it delivers for."""

    sync: str
    key: str
    """The column that identifies a row."""
    root: Path
    """The project's folder."""
    run_id: str
    sequence: int
    """1 more than the runs of this sync that delivered something."""


@dataclass(frozen=True)
class Batch:
    """Rows of one kind of change."""

    operation: str
    """upsert, remove or delete."""
    rows: pa.RecordBatch
    """The model's columns; of removed rows only the key is filled, of rows to delete there is only the key."""
    idempotency_key: str
    """The same when the same rows are sent again because nobody knows whether they arrived, and never else."""


class Tool:
    """Delivers batches of one sync in one run.

    A subclass names its `options` and says with `commits_batches` whether a batch is delivered when `send` returns,
    or only when `finish` does. Making a tool has no effect but to check the options: it raises UsageError for one
    that cannot be.
    """

    options: ClassVar[dict[str, Option]] = {}
    commits_batches: ClassVar[bool] = True
    can_delete: ClassVar[bool] = False
    """Whether it can be asked to forget people, which is more than to take them off a list."""
    batch_rows: int = 500

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        self.delivery = delivery

    def send(self, batch: Batch) -> None:
        """Deliver a batch; raises RefusedError when it was not taken."""
        raise NotImplementedError

    def delete(self, batch: Batch) -> None:
        """Have the people of a batch (operation `delete`) forgotten; raises RefusedError when it was not taken."""
        raise NotImplementedError

    def finish(self) -> None:
        """All batches were sent."""

    def abandon(self) -> None:
        """The run stopped; what was not delivered must leave no trace."""
