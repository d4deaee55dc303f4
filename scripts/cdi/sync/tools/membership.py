"""Audiences: a list of the tool's, or a property where the tool has no list that others may write."""

from __future__ import annotations

from typing import Any

from cdi.sync.tools.base import Option, Tool

AUDIENCE_OPTION = {"audience": Option()}
"""Name of the property that says whether somebody is in; for tools whose mode audience writes one."""


def audience_property(tool: Tool) -> str:
    """The property that membership is, empty in other modes; raises UsageError where mode and option do not match."""
    name = tool.given["audience"]
    if (tool.delivery.mode == "audience") != bool(name):
        tool.refuse("mode audience and the option audience (the name of a property) go together.")
    return name or ""


def with_membership(row: dict[str, Any], name: str, operation: str) -> dict[str, Any]:
    """A row that says whether it is in, where membership is a property."""
    return {**row, name: operation == "upsert"} if name else row


def require_key_alone(tool: Tool, why: str) -> None:
    """Raises UsageError where anything but the key is sent: a change of it would send members again."""
    if set(tool.delivery.fields) - {tool.delivery.key}:
        tool.refuse(f"members have no field but {tool.delivery.key}.", why)
