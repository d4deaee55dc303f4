"""dbt made quicker, for tests only: what it makes again and again in one process, to the same end, is made once.

Nothing here changes what dbt compiles, runs, says or raises. dbt spends tens of milliseconds of processor on each node,
a build of this project has hundreds of nodes, and a third of that time would be this work.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from types import CodeType, MappingProxyType
from typing import Any

from dbt.artifacts.resources import FileHash
from dbt.clients.jinja import MacroGenerator
from dbt.constants import PARTIAL_PARSE_FILE_NAME
from dbt.context.base import BaseContext
from dbt.context.macro_resolver import TestMacroNamespace
from dbt.context.macros import MacroNamespace, MacroNamespaceBuilder
from dbt.context.manifest import ManifestContext
from dbt.contracts.graph.nodes import Macro
from dbt.parser.manifest import ManifestLoader
from dbt.tracking import track_behavior_change_warn
from dbt_common import behavior_flags
from dbt_common.clients import agate_helper
from dbt_common.clients.jinja import MacroFuzzEnvironment, MacroFuzzTemplate, NativeSandboxTemplate
from dbt_common.events.base_types import BaseEvent, EventLevel
from dbt_common.events.event_manager import EventManager
from support import DATABASE_NAME


def make_dbt_quick() -> None:
    """Do all of it, once a process."""
    _parse_once_for_all_warehouses()
    _make_events_that_are_read()
    _make_macros_that_are_called()
    _compile_templates_once()
    _make_type_testers_once()
    _name_the_caller_without_reading_sources()


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


class _Macros(dict[str, MacroGenerator]):
    """A package's macros for one node, each made when it is asked for."""

    def __init__(self, macros: Mapping[str, Macro], make: Callable[[Macro], MacroGenerator]) -> None:
        self.macros = macros
        self.make = make

    def __missing__(self, name: str) -> MacroGenerator:
        self[name] = self.make(self.macros[name])
        return self[name]

    def __contains__(self, name: object) -> bool:
        return dict.__contains__(self, name) or name in self.macros

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self else default  # noqa: SIM401


# As Jinja's errors call it.
_Macros.__module__, _Macros.__name__ = "builtins", "dict"


class _Context(dict[str, Any]):
    """What a node's Jinja sees: the macros are looked for in their namespace when they are asked for."""

    namespace: Mapping[str, Any] = MappingProxyType({})

    def __missing__(self, name: str) -> Any:
        self[name] = self.namespace[name]
        return self[name]

    def __contains__(self, name: object) -> bool:
        return dict.__contains__(self, name) or name in self.namespace

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self else default  # noqa: SIM401


def _make_macros_that_are_called() -> None:
    """Make for each node the macros that it calls: dbt makes all there are, a thousand, twice for most nodes."""
    begin, to_dict = BaseContext.__init__, ManifestContext.to_dict

    def begin_with_nothing(self: BaseContext, *args: Any, **options: Any) -> None:
        begin(self, *args, **options)
        self._ctx = _Context()

    def build_namespace(
        self: MacroNamespaceBuilder, macros_by_package: Mapping[str, Mapping[str, Macro]], context: dict[str, Any]
    ) -> MacroNamespace:
        def lazily(macros: Mapping[str, Macro]) -> _Macros:
            return _Macros(macros, lambda macro: MacroGenerator(macro, context, self.node, self.thread_ctx))

        of_project = {
            name: macros for name, macros in macros_by_package.items() if name not in self.internal_package_names
        }
        of_adapters: dict[str, Macro] = {}
        for name in reversed(self.internal_package_names_order):
            of_adapters |= macros_by_package.get(name, {})
        return MacroNamespace(
            local_namespace=lazily(of_project.get(self.search_package, {})),
            global_namespace=lazily(of_project.get(self.root_package, {})),
            packages={name: lazily(macros) for name, macros in of_project.items()},
            global_project_namespace=lazily(of_adapters),
        )

    def to_lazy_dict(self: ManifestContext) -> dict[str, Any]:
        if isinstance(self.namespace, TestMacroNamespace):
            return to_dict(self)
        context = super(ManifestContext, self).to_dict()
        # A macro goes before what dbt itself has under its name.
        context.update({name: self.namespace[name] for name in [*context] if name in self.namespace})
        context.namespace = self.namespace
        return context

    BaseContext.__init__ = begin_with_nothing
    MacroNamespaceBuilder.build_namespace = build_namespace
    ManifestContext.to_dict = to_lazy_dict
    # The other kind of template copies its context, with what is in it by then: it looks into it like this kind.
    NativeSandboxTemplate.new_context = MacroFuzzTemplate.new_context


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


def _name_the_caller_without_reading_sources() -> None:
    """Find the module that declares a flag of dbt by the stack alone.

    dbt reads, each time it makes an adapter, the sources of all functions on the stack, and looks for each through all
    modules there are: seconds, where tests have loaded many.
    """

    def default_source() -> str:
        frame = sys._getframe(1)
        while frame and frame.f_globals["__name__"] == behavior_flags.__name__:
            frame = frame.f_back
        return frame.f_globals["__name__"] if frame else "Unknown"

    behavior_flags.BehaviorFlagRendered._default_source = staticmethod(default_source)
