"""What the tracking plan holds."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

POLICIES = ("allow", "flag", "drop", "quarantine")
CALLS = ("track", "identify", "page", "screen", "group")

Policy = str | dict[str, str] | None
"""What happens to an event that breaks a rule: for all rules, or by rule."""


@dataclass(frozen=True)
class Property:
    """A property of an event and the rules it is held against."""

    path: str
    """price, address.city or products[].price."""
    description: str = ""
    column: str | None = None
    """Column of the event's model; None for what lies inside another property."""
    data_type: str | None = None
    """Type of the column: string, numeric(18, 4), boolean, timestamp or json."""
    types: tuple[str, ...] = ()
    """Types in JSON; empty where the column's says it all."""
    required: bool = False
    allowed_values: tuple[Any, ...] = ()
    pattern: str | None = None
    minimum: float | int | None = None
    maximum: float | int | None = None
    min_length: int | None = None
    max_length: int | None = None
    pii: bool = False
    on_violation: Policy = None

    @property
    def json_types(self) -> tuple[str, ...]:
        """The types in JSON, where none are given those that the column's type stands for."""
        if self.types:
            return self.types
        kind = (self.data_type or "any").split("(")[0]
        return ({"numeric": "number", "json": "any"}.get(kind, kind),)


@dataclass(frozen=True)
class PlannedEvent:
    """One version of an event: a model of models/events/planned/."""

    model: str
    type: str = "track"
    event: str | None = None
    version: int = 1
    owner: str | None = None
    description: str = ""
    on_violation: str | None = None
    unplanned_properties: str | None = None
    properties: tuple[Property, ...] = field(default=())

    @property
    def title(self) -> str:
        """The event as people name it."""
        name = self.event or f"{self.type} calls"
        return f"{name} (version {self.version})" if self.version != 1 else name

    def property(self, path: str) -> Property | None:
        """The property at a path."""
        return next((item for item in self.properties if item.path == path), None)


def snake_case(name: str) -> str:
    """A name as models and columns have it: Order Completed is order_completed."""
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name.strip())
    name = re.sub(r"[^0-9a-zA-Z]+", "_", name).strip("_").lower() or "unnamed"
    return f"_{name}" if name[0].isdigit() else name


def data_type_of(types: tuple[str, ...]) -> str:
    """The type of the column that holds a property of these types in JSON."""
    known = {"string": "string", "number": "numeric(18, 4)", "integer": "numeric(18, 4)", "boolean": "boolean",
             "timestamp": "timestamp"}  # fmt: skip
    columns = {known.get(item, "json") for item in types}
    if len(columns) == 1:
        return columns.pop()
    return "json" if "json" in columns or not columns else "string"
