"""What a tool has to offer to be synced to."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import pyarrow as pa

from cdi.errors import CdiError, UsageError


class RefusedError(CdiError):
    """The tool did not confirm rows; the message is its own words, without the values of any row.

    `in_doubt` says that it may hold the rows all the same: an answer that never came, an error half-way. `is_final`
    says that it would refuse every other row too: wrong credentials, an audience that is not there.
    """

    def __init__(self, message: str, in_doubt: bool = False, is_final: bool = False) -> None:
        super().__init__(message)
        self.in_doubt = in_doubt
        self.is_final = is_final


class NotSetUpError(UsageError):
    """A variable of the environment is missing without which the tool cannot be reached."""


@dataclass(frozen=True)
class Failure:
    """Why a row was not delivered."""

    reason: str
    in_doubt: bool = False
    """Whether the tool may hold it all the same."""
    is_rejected: bool = False
    """Whether the row itself is the reason, rather than the tool, its account or the way there."""


@dataclass
class Outcome:
    """What became of a batch: every row was delivered but these."""

    failures: dict[int, Failure] = field(default_factory=dict)
    """Index of the row in the batch to what happened."""
    is_over: bool = False
    """Whether it makes no sense to send the tool anything else in this run."""

    @property
    def problem(self) -> str:
        """What was said last; empty where every row was delivered."""
        return next(reversed(self.failures.values())).reason if self.failures else ""

    @classmethod
    def of_all(cls, count: int, error: RefusedError, is_over: bool = False) -> Outcome:
        """None of the rows was confirmed."""
        failure = Failure(error.message, error.in_doubt)
        return cls(dict.fromkeys(range(count), failure), is_over or error.is_final)


@dataclass(frozen=True)
class Option:
    """What may stand in meta.sync for a tool."""

    type: type = str
    required: bool = False
    choices: tuple[str, ...] = ()
    default: Any = None


@dataclass(frozen=True)
class Delivery:
    """What a tool knows of the run that it delivers for."""

    sync: str
    key: str
    """The field that identifies a row."""
    root: Path
    """The project's folder."""
    run_id: str
    sequence: int
    """1 more than the runs of this sync that delivered something."""
    mode: str = "mirror"
    fields: tuple[str, ...] = ()
    """Names of the fields of every row, as the tool gets them; empty where a declaration maps none."""
    json_fields: frozenset[str] = frozenset()
    """Of these, the ones whose text is JSON."""
    skips_null: frozenset[str] = frozenset()
    """Of these, the ones that are left out of a row where they are null."""


@dataclass(frozen=True)
class Batch:
    """Rows of one kind of change."""

    operation: str
    """upsert, remove (no longer in the model) or delete (to be forgotten, by law)."""
    rows: pa.RecordBatch
    """The fields by the tool's names; of removed rows only the key is filled, rows to delete have only the key."""
    message_ids: list[str]
    """One per row: the same when the row is sent again because nobody knows whether it arrived, and never else."""
    unchanged: list[frozenset[str]] = field(default_factory=list)
    """One per row, for tools that `sends_deltas`: the fields that the tool holds as they are. Empty for others."""


SYNC_KEYS = ("tool", "object", "key", "mode", "fields", "nulls", "guards", "schedule", "time", "since")
"""What may stand in meta.sync for every tool; everything else is an option of the tool."""

MODES = {
    "mirror": "what the model holds is in the tool, and what left the model is removed from there",
    "upsert": "what the model holds is created or changed; nothing is removed but profiles that became part of another",
    "update": "as upsert, but nothing is created",
    "create": "what is new is created; nothing is changed afterwards",
    "audience": "as mirror: rows are members of an audience, and those who left the model leave it",
    "append": "each row is sent once, and never changed or removed: events",
}
"""What meta.sync.mode can be."""


class Tool:
    """Delivers batches of one sync in one run.

    A subclass names its `options` and says with `commits_batches` whether a batch is delivered when `send` returns,
    or only when `finish` does. Making a tool has no effect but to check the options: it raises UsageError for one
    that cannot be.
    """

    options: ClassVar[dict[str, Option]] = {}
    modes: ClassVar[tuple[str, ...]] = ("mirror", "upsert")
    """The first is what a declaration without a mode means."""
    commits_batches: ClassVar[bool] = True
    can_delete: ClassVar[bool] = False
    """Whether it can be asked to forget people, which is more than to take them off a list."""
    knows_repeats: ClassVar[bool] = True
    """Whether a row that is sent twice counts once: an upsert does, and an event by whose id the tool deduplicates."""
    sends_deltas: ClassVar[bool] = False
    """Whether the fields of a row that did not change are left out, because the tool charges for each."""
    account: str = ""
    """What limits are shared by: syncs of the same account never run side by side."""
    batch_rows: int = 500

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        self.delivery = delivery
        self.given = {name: option.default for name, option in self.options.items()} | options

    def refuse(self, problem: str, hint: str = "") -> NoReturn:
        """Raises UsageError: the declaration cannot be."""
        raise UsageError(problem, hint)

    def environment(self, option: str) -> str:
        """The value of the variable that an option names; raises NotSetUpError where it is not set."""
        name = self.given.get(option)
        value = os.environ.get(name or "", "")
        if not value:
            raise NotSetUpError(f"{option}: the environment variable {name} is not set.", "Set it and sync again.")
        return value

    def require_field(self, name: str, why: str = "") -> None:
        """Raises UsageError where the declaration does not map a field that the tool cannot do without."""
        if name not in self.delivery.fields:
            raise UsageError(f"fields must have '{name}'{': ' + why if why else ''}.")

    def require_key(self, *names: str) -> None:
        """Raises UsageError where the key is not sent as one of these fields."""
        if self.delivery.key not in names:
            raise UsageError(
                f"the key is sent as '{self.delivery.key}', but this tool identifies rows by {' or '.join(names)}.",
                f"Map it: fields: {{{names[0]}: <the key's column>}}.",
            )

    def start(self, added: int, changed: int, removed: int) -> None:
        """A run is about to send so many rows."""

    def send(self, batch: Batch) -> Outcome:
        """Deliver a batch and say what became of each row; raises RefusedError when none of it was taken."""
        raise NotImplementedError

    def prepared(self, batch: Batch) -> Callable[[], Outcome]:
        """What `send` does before the tool is asked: a call that does the rest. The batch before may be on its way."""
        return partial(self.send, batch)

    def delete(self, batch: Batch) -> Outcome:
        """Have the people of a batch (operation `delete`) forgotten."""
        return self.send(batch)

    def finish(self) -> None:
        """All batches were sent."""

    def abandon(self) -> None:
        """The run stopped; what was not delivered must leave no trace."""
