"""Syncs as the YAML of activation models declares them: meta.sync."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cdi.errors import UsageError
from cdi.sync.tools import TOOLS, Delivery, Tool


@dataclass(frozen=True)
class DeclaredSync:
    """One activation model and the tool it goes to."""

    name: str
    schema: str
    table: str
    path: str
    """The YAML file that declares it, from the project's root."""
    tool_name: str
    key: str
    options: dict[str, Any] = field(default_factory=dict)

    def error(self, problem: str, hint: str = "") -> UsageError:
        """An error that names file, model and problem."""
        return UsageError(f"{self.path}, model {self.name}, meta.sync: {problem}", hint)

    def open_tool(self, root: Path, run_id: str = "", sequence: int = 0) -> Tool:
        """The tool, ready to deliver for a run; raises UsageError for an option that is missing, unknown or wrong."""
        tool = TOOLS.get(self.tool_name)
        if tool is None:
            raise self.error(f"tool '{self.tool_name}' is not known.", f"Known tools: {', '.join(sorted(TOOLS))}.")
        known = tool.options
        for name, value in self.options.items():
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                raise self.error(
                    f"option '{name}' is not known.",
                    (f"Did you mean {near[0]}? " if near else "")
                    + f"{self.tool_name} takes: {', '.join(sorted(known))}.",
                )
            if type(value) is not known[name].type or value == "":
                wanted = {str: "a text", int: "a whole number"}[known[name].type]
                raise self.error(f"option '{name}' is {value!r}, but must be {wanted}.")
        if missing := [name for name, option in known.items() if option.required and name not in self.options]:
            raise self.error(f"option '{missing[0]}' is missing.")
        try:
            return tool(self.options, Delivery(self.name, self.key, root, run_id, sequence))
        except UsageError as error:
            raise self.error(error.message, error.hint) from None


def declared_syncs(manifest: Any, names: Iterable[str] = ()) -> list[DeclaredSync]:
    """The syncs of a dbt manifest, by name; raises UsageError for a wrong declaration or an unknown name."""
    nodes = {
        node.name: node
        for node in manifest.nodes.values()
        if node.resource_type == "model" and "sync" in (node.config.meta or {})
    }
    chosen = list(dict.fromkeys(names)) or sorted(nodes)
    for name in chosen:
        if name not in nodes:
            near = difflib.get_close_matches(name, nodes, n=1)
            raise UsageError(
                f"There is no sync '{name}'.",
                (f"Did you mean {near[0]}? " if near else "") + f"Known: {', '.join(sorted(nodes)) or 'none'}.",
            )
    return [_declared(nodes[name]) for name in chosen]


def _declared(node: Any) -> DeclaredSync:
    declaration = node.config.meta["sync"]
    if node.config.materialized != "activation":
        raise UsageError(
            f"{node.original_file_path} is materialized as {node.config.materialized}, not as activation: nobody's"
            " consent would count.",
            "Move the model to models/activation/ and take `materialized` out of its config.",
        )
    options = dict(declaration) if isinstance(declaration, dict) else {}
    sync = DeclaredSync(
        name=node.name,
        schema=node.schema,
        table=node.alias,
        path=(node.patch_path or node.original_file_path).split("://")[-1],
        tool_name=str(options.pop("tool", "")),
        key=options.pop("key", ""),
        options=options,
    )
    if not sync.tool_name:
        raise sync.error("tool is missing.", f"Known tools: {', '.join(sorted(TOOLS))}.")
    if not sync.key or not isinstance(sync.key, str):
        raise sync.error("key is missing.", "Name the column that identifies a row for the tool.")
    return sync
