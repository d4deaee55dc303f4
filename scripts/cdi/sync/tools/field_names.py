"""Fields whose names are the tool's own: which there are, and dots that mean a field of a field."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from cdi.sync.tools.base import Tool


def require_known(tool: Tool, names: Iterable[str], groups: Iterable[str] = ()) -> None:
    """Raises UsageError for a field that the tool does not have; one of a group is called <group>.<name>."""
    names, groups = sorted(names), sorted(groups)
    for field in tool.delivery.fields:
        group, dot, rest = field.partition(".")
        if field in names or (dot and rest and group in groups):
            continue
        known = [*names, *(f"{group}.<name>" for group in groups)]
        near = difflib.get_close_matches(field, known, n=1)
        tool.refuse(
            f"the tool has no field '{field}'.",
            (f"Did you mean {near[0]}? " if near else "") + f"It has: {', '.join(known)}.",
        )


def nested(row: dict[str, Any]) -> dict[str, Any]:
    """A row with {"a.b": 1} as {"a": {"b": 1}}."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        group, dot, rest = name.partition(".")
        if dot:
            found.setdefault(group, {})[rest] = value
        else:
            found[name] = value
    return found
