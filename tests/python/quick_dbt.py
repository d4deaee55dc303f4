"""dbt made quicker, for tests only: what it makes again and again in one process, to the same end, is made once.

Nothing here changes what dbt compiles, runs, says or raises. dbt spends tens of milliseconds of processor on each node,
a build of this project has hundreds of nodes, and a third of that time would be this work.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any

from dbt.artifacts.resources import FileHash
from dbt.clients.jinja import MacroGenerator
from dbt.constants import PARTIAL_PARSE_FILE_NAME
from dbt.context.macros import MacroNamespace, MacroNamespaceBuilder
from dbt.parser.manifest import ManifestLoader
from dbt.tracking import track_behavior_change_warn
from dbt_common.clients import agate_helper
from dbt_common.clients.jinja import MacroFuzzEnvironment
from dbt_common.events.base_types import BaseEvent, EventLevel
from dbt_common.events.event_manager import EventManager
from support import DATABASE_NAME


def make_dbt_quick() -> None:
    """Do all of it, once a process."""
    _parse_once_for_all_warehouses()
    _make_events_that_are_read()
    _make_namespaces_at_once()
    _compile_templates_once()
    _make_type_testers_once()


def _parse_once_for_all_warehouses() -> None:
    """Let dbt use what it parsed for one warehouse for the next of the same kind: that saves several seconds each time.

    Nothing parsed depends on where a warehouse lies but for the name of a PostgreSQL database: all are of one length.
    """
    check, read = ManifestLoader.build_manifest_state_check, ManifestLoader.read_manifest_for_partial_parse

    def check_without_place(self: ManifestLoader) -> Any:
        state = check(self)
        state.profile_hash = FileHash.from_contents(self.root_project.credentials.type)
        return state

    def read_for_this_database(self: ManifestLoader) -> Any:
        parsed = Path(self.root_project.project_target_path) / PARTIAL_PARSE_FILE_NAME
        database = (self.root_project.credentials.database or "").encode()
        if DATABASE_NAME.fullmatch(database) and parsed.is_file():
            parsed.write_bytes(DATABASE_NAME.sub(database, parsed.read_bytes()))
        return read(self)

    ManifestLoader.build_manifest_state_check = check_without_place
    ManifestLoader.read_manifest_for_partial_parse = read_for_this_database


def _make_events_that_are_read() -> None:
    """Make no message of an event that only a debug log would have: dbt makes dozens for each node and drops them.

    An event keeps what it was made from until somebody looks into it.
    """
    make, set_field, fire = BaseEvent.__init__, BaseEvent.__setattr__, EventManager.fire_event

    def keep(self: BaseEvent, *args: Any, **fields: Any) -> None:
        self.__dict__["made_from"] = args, fields

    def field(self: BaseEvent, name: str) -> Any:
        # called for what is not there yet: the message itself, and its fields
        if "pb_msg" not in self.__dict__:
            args, fields = self.__dict__["made_from"]
            make(self, *args, **fields)
        message = self.__dict__["pb_msg"]
        return message if name == "pb_msg" else getattr(message, name)

    def set_field_of_message(self: BaseEvent, name: str, value: Any) -> None:
        if name != "pb_msg":
            _ = self.pb_msg
        set_field(self, name, value)

    def fire_if_read(
        self: EventManager, e: BaseEvent, level: EventLevel | None = None, node: Any = None, *args: Any, **options: Any
    ) -> None:
        debug = (EventLevel.DEBUG, EventLevel.TEST)
        if (
            (level or e.level_tag()) in debug
            and not any(logger.level in debug for logger in self.loggers)
            # it is about warnings
            and all(callback is track_behavior_change_warn for callback in self.callbacks)
        ):
            return
        fire(self, e, level, node, *args, **options)

    BaseEvent.__init__, BaseEvent.__getattr__, BaseEvent.__setattr__ = keep, field, set_field_of_message
    EventManager.fire_event = fire_if_read


class _Macro(MacroGenerator):
    """A macro in the context of a node: the same, made by one function instead of three."""

    def __init__(self, macro: Any, context: dict[str, Any], node: Any, stack: Any) -> None:
        self.macro = macro
        self.context = context
        self.node = node
        self.stack = stack


class _Namespace(MacroNamespace):
    """The macros that a node sees, the nearest first; merged when made, instead of searched for each name."""

    def __init__(self, *args: Any, **namespaces: Any) -> None:
        super().__init__(*args, **namespaces)
        self.merged = {name: macro for macros in reversed([*self._search_order()]) for name, macro in macros.items()}

    def __iter__(self) -> Iterator[str]:
        return iter(self.merged)

    def __len__(self) -> int:
        return len(self.merged)

    def __getitem__(self, name: str) -> Any:
        return self.merged[name]


def _make_namespaces_at_once() -> None:
    """Put the thousand macros that each node gets anew into their dictionaries package by package, not one by one."""

    def build_namespace(
        self: MacroNamespaceBuilder, macros_by_package: Mapping[str, Mapping[str, Any]], context: dict[str, Any]
    ) -> MacroNamespace:
        packages = {
            package: {name: _Macro(macro, context, self.node, self.thread_ctx) for name, macro in macros.items()}
            for package, macros in macros_by_package.items()
        }
        of_adapters: dict[str, Any] = {}
        for package in reversed(self.internal_package_names_order):
            of_adapters |= packages.pop(package, {})
        return _Namespace(
            global_namespace=packages.get(self.root_package, {}),
            local_namespace=packages.get(self.search_package, {}),
            global_project_namespace=of_adapters,
            packages=packages,
        )

    MacroNamespaceBuilder.build_namespace = build_namespace


def _compile_templates_once() -> None:
    """Turn the same Jinja into Python once, for all nodes and builds of this process."""
    compile_template = MacroFuzzEnvironment.compile
    compiled: dict[tuple[type, str], CodeType] = {}

    def compile_once(self: MacroFuzzEnvironment, source: str) -> CodeType:
        key = type(self), source
        if key not in compiled:
            compiled[key] = compile_template(self, source)
        return compiled[key]

    MacroFuzzEnvironment.compile = compile_once


def _make_type_testers_once() -> None:
    """Keep what finds the types of an answer's columns: each comes with a parser of dates in words."""
    make = cache(agate_helper.build_type_tester)

    def build_type_tester(text_columns: Iterable[str], string_null_values: Iterable[str] = ("null", "")) -> Any:
        return make(tuple(sorted(text_columns)), tuple(string_null_values))

    agate_helper.build_type_tester = build_type_tester
