"""Everything that is the same for all people of a run: its window, its calendar and how time is written."""

from __future__ import annotations

from bisect import bisect
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from itertools import accumulate
from random import Random

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_WEEKDAYS = (0.9, 0.9, 0.95, 1.0, 1.05, 1.25, 1.3)
_ONLINE_HOURS = (3, 1, 1, 1, 1, 2, 4, 7, 9, 9, 10, 11, 12, 11, 10, 10, 11, 13, 16, 20, 21, 17, 11, 6)
_STORE_HOURS = (0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 8, 10, 11, 10, 9, 10, 12, 13, 11, 6, 0, 0, 0, 0)
ONLINE_HOURS = tuple(accumulate(_ONLINE_HOURS))
STORE_HOURS = tuple(accumulate(_STORE_HOURS))

_CLOCK = [f"T{h:02d}:{m:02d}:{s:02d}." for h in range(24) for m in range(60) for s in range(60)]


class _Dates(dict[int, str]):
    """Days since 1970 as YYYY-MM-DD, each worked out once."""

    def __missing__(self, day: int) -> str:
        text = self[day] = (datetime(1970, 1, 1) + timedelta(days=day)).strftime("%Y-%m-%d")
        return text


DATES = _Dates()


def iso(milliseconds: int) -> str:
    """Milliseconds since 1970 as ISO 8601 in UTC, with milliseconds."""
    seconds, rest = divmod(milliseconds, 1000)
    day, second = divmod(seconds, 86_400)
    return f"{DATES[day]}{_CLOCK[second]}{rest:03d}Z"


def uuid(rng: Random) -> str:
    """A random (version 4) UUID."""
    digits = f"{rng.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


@dataclass(frozen=True)
class World:
    """A run's arguments; times are milliseconds since 1970, `end` is the first that has not happened yet."""

    people: int
    days: int
    seed: int
    end: int

    @property
    def start(self) -> int:
        """The first millisecond of the window."""
        return self.end - self.days * DAY

    @cached_property
    def sale(self) -> tuple[int, int]:
        """The campaign week: when it starts and ends."""
        length = min(7, max(1, self.days // 4)) * DAY
        start = self.start + (self.days * 6 // 10) * DAY
        return start, start + length

    @cached_property
    def mailings(self) -> tuple[int, ...]:
        """When the weekly newsletter went out: Tuesdays at nine."""
        first = self.start // DAY
        # Day 0 of 1970 was a Thursday.
        return tuple(
            day * DAY + 9 * HOUR
            for day in range(first, self.end // DAY + 1)
            if day % 7 == 5 and self.start <= day * DAY + 9 * HOUR < self.end
        )

    @cached_property
    def _busy(self) -> list[float]:
        """How busy the shop was from the first calendar day up to each day's end, added up."""
        first = self.start // DAY
        sale_start, sale_end = self.sale
        return list(
            accumulate(
                _WEEKDAYS[(day + 3) % 7] * (1.7 if sale_start <= day * DAY < sale_end else 1.0)
                for day in range(first, self.end // DAY + 1)
            )
        )

    def moment(self, rng: Random, start: int, end: int, hours: tuple[int, ...], utc_offset: int) -> int:
        """A random time in [start, end) that follows the calendar and the hours (added-up weights)."""
        busy, first = self._busy, self.start // DAY
        low, high = start // DAY - first, (end - 1) // DAY - first
        before = busy[low - 1] if low else 0.0
        for _ in range(4):
            day = first + bisect(busy, before + rng.random() * (busy[high] - before), low, high)
            hour = bisect(hours, rng.random() * hours[-1]) - utc_offset
            time = day * DAY + hour * HOUR + int(rng.random() * HOUR)
            if start <= time < end:
                return time
        return start + int(rng.random() * (end - start))
