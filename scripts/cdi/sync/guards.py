"""What stops a sync before anything is sent: too much at once, or data that is too old."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from cdi.errors import UsageError

SMALL = 100
"""Rows that a tool must hold for percentages to count: in a small audience each person is many percent."""
_KINDS = ("added", "changed", "removed")
_SPAN = re.compile(r"(\d+) (minute|hour|day)s?")


@dataclass(frozen=True)
class Guards:
    """Limits of one run; none where it is None."""

    max_added: int | None = None
    max_changed: int | None = None
    max_removed: int | None = None
    max_added_percent: float | None = None
    max_changed_percent: float | None = None
    max_removed_percent: float | None = 50
    """Percent of the rows that the tool holds. The default is for models that come out empty by mistake."""
    fresh_within: timedelta | None = None
    """How old the newest event may be."""

    @classmethod
    def declared(cls, given: Any) -> Guards:
        """The guards of meta.sync.guards; raises UsageError for one that is unknown or no limit."""
        if not isinstance(given, dict):
            raise UsageError("guards must be a mapping, such as guards: {max_removed: 1000}.")
        limits: dict[str, Any] = {}
        for name, value in given.items():
            if name not in cls.__dataclass_fields__:
                raise UsageError(f"guards.{name} is not known.", f"Guards are {', '.join(cls.__dataclass_fields__)}.")
            if name == "fresh_within":
                found = _SPAN.fullmatch(str(value))
                if not found:
                    raise UsageError(f"guards.fresh_within is {value!r}, but must be a span such as 6 hours.")
                limits[name] = timedelta(**{f"{found[2]}s": int(found[1])})
            elif value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value < 0):
                raise UsageError(f"guards.{name} is {value!r}, but must be a number.")
            else:
                limits[name] = value
        return cls(**limits)

    def problems(self, sent: Sequence[int], differences: Sequence[int], held: int, age: timedelta | None) -> list[str]:
        """What is too much; `held` is the rows that the tool holds, `age` that of the newest event.

        Rows that would be added, changed and removed: `sent` by the run, which limits of rows are about, and by all
        `differences`, which percentages are about: what is wrong with a model is no better in small pieces.
        """
        found = []
        for kind, count, all_of_them in zip(_KINDS, sent, differences, strict=True):
            limit = getattr(self, f"max_{kind}")
            if limit is not None and count > limit:
                found.append(f"{count:,} rows would be {kind}, more than {limit:,}")
            percent = getattr(self, f"max_{kind}_percent")
            if percent is not None and held >= SMALL and all_of_them > held * percent / 100:
                share = f"{percent:g}% of the {held:,} that the tool holds"
                piece = f" ({count:,} of them now)" if count < all_of_them else ""
                found.append(f"{all_of_them:,} rows would be {kind}{piece}, more than {share}")
        if self.fresh_within is not None and (age is None or age > self.fresh_within):
            old = f"{age.total_seconds() / 3600:,.1f} hours old" if age is not None else "not there"
            found.append(f"the newest event is {old}, but may be {self.fresh_within} old at most")
        return found
