"""What the events of several tools have in common: a name, a moment and properties."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from cdi.sync.tools.http import RowError


def name_of(row: dict[str, Any], field: str = "event") -> str:
    """The event's name; raises RowError where there is none."""
    if not row.get(field):
        raise RowError(f"{field} is missing")
    return str(row[field])


def moment_of(row: dict[str, Any]) -> datetime:
    """When it happened, in UTC; raises RowError where `time` is missing or no timestamp."""
    time = row.get("time")
    if not isinstance(time, datetime):
        raise RowError("time is missing or no timestamp")
    return time.replace(tzinfo=time.tzinfo or UTC)


def milliseconds(moment: datetime) -> int:
    """Since 1970."""
    return microseconds(moment) // 1000


def microseconds(moment: datetime) -> int:
    """Since 1970; exact, which a float is not."""
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def properties_of(row: dict[str, Any], own: Collection[str]) -> dict[str, Any]:
    """What is in the JSON field `properties`, and in every other field that is not the tool's own; without nulls."""
    properties = row.get("properties")
    if properties is not None and not isinstance(properties, dict):
        raise RowError("properties is no JSON object")
    others = {name: value for name, value in row.items() if name not in own and name != "properties"}
    return {name: value for name, value in ((properties or {}) | others).items() if value is not None}
