"""Syncs as the YAML of activation models declares them: meta.sync."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from cdi.errors import UsageError
from cdi.sync.tools import TOOLS, Tool


@dataclass(frozen=True)
class DeclaredSync:
    """One activation model and the tool it goes to."""

    name: str
    schema: str
    table: str
    path: str
    """The YAML file that declares it, from the project's root."""
    tool: type[Tool]
    key: str
    options: dict[str, Any] = field(default_factory=dict)

    def error(self, problem: str, hint: str = "") -> UsageError:
        """An error that names file, model and problem."""
        return UsageError(f"{self.path}, model {self.name}, meta.sync: {problem}", hint)


def declared_syncs(manifest: Any, names: Iterable[str] = ()) -> list[DeclaredSync]:
    """The syncs of a dbt manifest, by name; raises UsageError for a wrong declaration or an unknown name."""
    syncs = {
        node.name: _declared(node)
        for node in manifest.nodes.values()
        if node.resource_type == "model" and "sync" in (node.config.meta or {})
    }
    chosen = list(names) or sorted(syncs)
    for name in chosen:
        if name not in syncs:
            near = difflib.get_close_matches(name, syncs, n=1)
            raise UsageError(
                f"There is no sync '{name}'.",
                (f"Did you mean {near[0]}? " if near else "") + f"Known: {', '.join(sorted(syncs)) or 'none'}.",
            )
    return [syncs[name] for name in chosen]


def _declared(node: Any) -> DeclaredSync:
    options = dict(node.config.meta["sync"] or {})
    path = (node.patch_path or node.original_file_path).split("://")[-1]
    name = options.pop("tool", None)
    tool = TOOLS.get(name)
    sync = DeclaredSync(
        name=node.name,
        schema=node.schema,
        table=node.alias,
        path=path,
        tool=tool or Tool,
        key=options.pop("key", ""),
        options=options,
    )
    if tool is None:
        raise sync.error(f"tool '{name}' is not known.", f"Known tools: {', '.join(sorted(TOOLS))}.")
    if not sync.key:
        raise sync.error("key is missing.", "Name the column that identifies a row for the tool.")
    if unknown := sorted(set(options) - set(tool.options)):
        raise sync.error(f"unknown option {', '.join(unknown)}.", f"{name} takes: {', '.join(sorted(tool.options))}.")
    if missing := [option for option, needed in tool.options.items() if needed and option not in options]:
        raise sync.error(f"option {', '.join(missing)} is missing.")
    return sync
