"""Moments as people write them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cdi.errors import UsageError


def moment_in_utc(value: Any, name: str) -> datetime:
    """A date (its midnight) or a time, ISO 8601, in UTC and without a zone; an offset counts, none means UTC.

    value: text, or what YAML makes of it. Raises UsageError, in which it is called `name`, where it is neither.
    """
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        raise UsageError(
            f"{name} is '{value}', which is no date and no time.", "Write it as 2026-11-30 or 2026-11-30T12:00:00Z."
        ) from None
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
