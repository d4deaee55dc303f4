"""Syncs as the YAML of activation models declares them: meta.sync (docs/activation.md)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cdi.errors import UsageError
from cdi.moments import moment_in_utc
from cdi.sync.guards import Guards
from cdi.sync.tools import MODES, SYNC_KEYS, TOOLS, Delivery, Option, Tool, tools_of

Relation = tuple[str, str]


@dataclass(frozen=True)
class Field:
    """A column, and what the tool calls it."""

    name: str
    column: str
    skips_null: bool = False
    """Whether the field is left out of a row where it is null, instead of wiping what the tool has."""


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
    """The column that identifies a row."""
    options: dict[str, Any] = field(default_factory=dict)
    object_name: str = ""
    """What the rows are in the tool; empty is the usual."""
    mode: str = ""
    """One of MODES; empty is the tool's own."""
    fields: tuple[Field, ...] = ()
    """What is sent; empty is every column by its own name."""
    skips_null: bool = False
    """Whether fields that are not mapped one by one are left out where they are null."""
    guards: Guards = field(default_factory=Guards)
    schedule: str = ""
    """When it should run, for people and schedulers to read."""
    time_column: str = ""
    """In mode append: the column with the time of a row, which `since` is about."""
    since: str = ""
    """In mode append: rows before this moment are not sent (`cdi sync --since` sends them)."""
    pii: frozenset[str] = frozenset()
    """Columns that the model's YAML calls personal."""
    events: Relation = ("events", "events")
    identity_graph: Relation = ("identity", "identity_graph")
    """Schema and table of what a sync looks at besides its model."""
    tools: Mapping[str, Mapping[str, type[Tool]]] = field(default_factory=lambda: TOOLS, repr=False, compare=False)
    """Tools that there are: those of the project too, where it declares some."""

    def error(self, problem: str, hint: str = "") -> UsageError:
        """An error that names file, model and problem."""
        return UsageError(f"{self.path}, model {self.name}, meta.sync: {problem}", hint)

    @property
    def tool_class(self) -> type[Tool]:
        """Who delivers it; raises UsageError for a tool or object that does not exist."""
        if self.tool_name not in self.tools:
            raise self.error(f"tool '{self.tool_name}' is not known.", f"Known tools: {', '.join(sorted(self.tools))}.")
        objects = self.tools[self.tool_name]
        if self.object_name and self.object_name not in objects:
            raise self.error(
                f"object '{self.object_name}' is not known.", f"{self.tool_name} has: {', '.join(objects)}."
            )
        return objects[self.object_name or next(iter(objects))]

    @property
    def real_mode(self) -> str:
        """The mode, the tool's own where none is declared."""
        return self.mode or self.tool_class.modes[0]

    @property
    def key_field(self) -> str:
        """What the tool calls the key; raises UsageError where it is not mapped though others are."""
        if not self.fields:
            return self.key
        for item in self.fields:
            if item.column == self.key:
                return item.name
        raise self.error(f"fields leaves out the key '{self.key}'.", "Map it too: the tool tells rows apart by it.")

    def open_tool(
        self, root: Path, run_id: str = "", sequence: int = 0, columns: Mapping[str, str] | None = None
    ) -> Tool:
        """The tool, ready to deliver for a run.

        Raises UsageError for an option that is missing, unknown or wrong, NotSetUpError for a variable that is not set.

        `columns` are the model's and their types, as State.columns gives them.
        """
        tool = self.tool_class
        self._check_options(tool.options)
        if self.real_mode not in tool.modes:
            raise self.error(
                f"mode '{self.real_mode}' is nothing that {self.tool_name} can do here.",
                f"It can: {', '.join(tool.modes)}.",
            )
        fields = self.fields or tuple(Field(name, name, self.skips_null) for name in columns or ())
        delivery = Delivery(
            sync=self.name,
            key=self.key_field,
            root=root,
            run_id=run_id,
            sequence=sequence,
            mode=self.real_mode,
            fields=tuple(item.name for item in fields),
            json_fields=frozenset(item.name for item in fields if (columns or {}).get(item.column) == "json"),
            skips_null=frozenset(item.name for item in fields if item.skips_null),
        )
        try:
            return tool(self.options, delivery)
        except UsageError as error:
            raise type(error)(*self.error(error.message, error.hint).args, error.hint) from None

    def _check_options(self, known: Mapping[str, Option]) -> None:
        for name, value in self.options.items():
            if name not in known:
                names = [*known, *SYNC_KEYS]
                near = difflib.get_close_matches(name, names, n=1)
                raise self.error(
                    f"option '{name}' is not known.",
                    (f"Did you mean {near[0]}? " if near else "")
                    + f"{self.tool_name} takes: {', '.join(sorted(known))}.",
                )
            option = known[name]
            if type(value) is not option.type or value == "":
                wanted = {str: "a text", int: "a whole number", bool: "true or false", dict: "a mapping",
                          list: "a list"}[option.type]  # fmt: skip
                raise self.error(f"option '{name}' is {value!r}, but must be {wanted}.")
            if option.choices and value not in option.choices:
                raise self.error(f"{name} '{value}' is not one of {', '.join(option.choices)}.")
        if missing := [name for name, option in known.items() if option.required and name not in self.options]:
            raise self.error(f"option '{missing[0]}' is missing.")


def declared_syncs(manifest: Any, names: Iterable[str] = (), root: Path | None = None) -> list[DeclaredSync]:
    """The syncs of a dbt manifest, by name; raises UsageError for a wrong declaration or an unknown name.

    `root` is the folder of the project, which may declare tools of its own.
    """
    tools = tools_of(root) if root else TOOLS
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
    relations = {
        node.name: (node.schema, node.alias)
        for node in manifest.nodes.values()
        if node.resource_type == "model" and node.name in ("events", "identity_graph")
    }
    return [replace(_declared(nodes[name], tools), **relations) for name in chosen]


def _declared(node: Any, tools: Mapping[str, Mapping[str, type[Tool]]]) -> DeclaredSync:
    declaration = node.config.meta["sync"]
    if node.config.materialized != "activation":
        raise UsageError(
            f"{node.original_file_path} is materialized as {node.config.materialized}, not as activation: nobody's"
            " consent would count.",
            "Move the model to models/activation/ and take `materialized` out of its config.",
        )
    given = dict(declaration) if isinstance(declaration, dict) else {}
    path = (node.patch_path or node.original_file_path).split("://")[-1]
    sync = DeclaredSync(node.name, node.schema, node.alias, path, str(given.get("tool", "")), given.get("key", ""))
    if not sync.tool_name:
        raise sync.error("tool is missing.", f"Known tools: {', '.join(sorted(tools))}.")
    if not sync.key or not isinstance(sync.key, str):
        raise sync.error("key is missing.", "Name the column that identifies a row for the tool.")
    mode = str(given.get("mode") or "")
    if mode and mode not in MODES:
        raise sync.error(f"mode '{mode}' is not known.", f"Modes are {', '.join(MODES)}.")
    skips_null = _skips_null(sync, "nulls", given.get("nulls", "send"))
    try:
        guards = Guards.declared(given.get("guards") or {})
    except UsageError as error:
        raise sync.error(error.message, error.hint) from None
    since = given.get("since") or ""
    declared = DeclaredSync(
        name=sync.name,
        schema=sync.schema,
        table=sync.table,
        path=sync.path,
        tool_name=sync.tool_name,
        key=sync.key,
        options={name: value for name, value in given.items() if name not in SYNC_KEYS},
        object_name=str(given.get("object") or ""),
        mode=mode,
        fields=_fields(sync, given.get("fields") or {}, skips_null),
        skips_null=skips_null,
        guards=guards,
        schedule=str(given.get("schedule") or ""),
        time_column=str(given.get("time") or ""),
        since=_since(sync, since) if since else "",
        pii=frozenset(
            name
            for name, column in (getattr(node, "columns", None) or {}).items()
            if (column.config.meta or column.meta or {}).get("pii")
        ),
        tools=tools,
    )
    if (declared.since or declared.time_column) and declared.real_mode != "append":
        raise sync.error("time and since go with mode append.")
    if declared.since and not declared.time_column:
        raise sync.error("since needs time: the column with the time of a row.")
    return declared


def _since(sync: DeclaredSync, value: Any) -> str:
    try:
        return moment_in_utc(value, "since").isoformat(sep=" ")
    except UsageError as error:
        raise sync.error(error.message, error.hint) from None


def _fields(sync: DeclaredSync, given: Any, skips_null: bool) -> tuple[Field, ...]:
    if not isinstance(given, dict):
        raise sync.error("fields must map the tool's field to a column: fields: {email: email}.")
    fields = []
    for name, wanted in given.items():
        described = wanted if isinstance(wanted, dict) else {"column": wanted}
        if unknown := [key for key in described if key not in ("column", "nulls")]:
            raise sync.error(f"fields.{name}: '{unknown[0]}' is not known.", "It takes column and nulls.")
        column = described.get("column", name)
        if not isinstance(column, str) or not column:
            raise sync.error(f"fields.{name} is {column!r}, but must be a column's name.")
        skips = _skips_null(sync, f"fields.{name}.nulls", described["nulls"]) if "nulls" in described else skips_null
        fields.append(Field(str(name), column, skips))
    return tuple(fields)


def _skips_null(sync: DeclaredSync, place: str, value: Any) -> bool:
    if value not in ("send", "skip"):
        raise sync.error(f"{place} is {value!r}, but must be send (null wipes what the tool has) or skip.")
    return value == "skip"
