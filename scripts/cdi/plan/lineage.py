"""Who uses a planned event's columns: models above it, followed by reference and by the names their SQL gives."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

FLOORS = {"profiles": "traits", "audiences": "audiences", "activation": "syncs"}
"""What people call what lies on a floor."""

_TOKEN = re.compile(r"'(?:[^']|'')*'|[(\[{]|[)\]}]|,|\b\w+\b|\*", re.DOTALL)


@dataclass(frozen=True)
class Model:
    """A model or exposure as lineage needs it."""

    name: str
    floor: str
    sql: str
    parents: tuple[str, ...]


@dataclass
class Users:
    """Who is affected, by floor."""

    by_floor: dict[str, set[str]] = field(default_factory=dict)

    def add(self, model: Model) -> None:
        """Count a model in."""
        self.by_floor.setdefault(FLOORS.get(model.floor, model.floor), set()).add(model.name)

    @property
    def names(self) -> set[str]:
        """All of them."""
        return set().union(*self.by_floor.values()) if self.by_floor else set()

    def __str__(self) -> str:
        return "; ".join(f"{floor}: {', '.join(sorted(names))}" for floor, names in self.by_floor.items())


class Lineage:
    """The models of a manifest, and who uses which column of which."""

    def __init__(self, models: Iterable[Model]) -> None:
        self.models = {model.name: model for model in models}
        self.children: dict[str, list[Model]] = {}
        for model in self.models.values():
            for parent in model.parents:
                self.children.setdefault(parent, []).append(model)

    @classmethod
    def of(cls, manifest: Any) -> Lineage:
        """The lineage in dbt's manifest: models and exposures."""
        nodes = [node for node in manifest.nodes.values() if node.resource_type == "model"]
        events = {
            name: node.name
            for node in nodes
            for name in (node.name, (node.config.meta.get("plan") or {}).get("event"))
            if name
        }
        models = [Model(node.name, node.fqn[1], _sql_of(node), _parents_of(node, events)) for node in nodes]
        models += [
            Model(f"exposure {node.name}", "exposures", "", tuple(_names(node.depends_on.nodes)))
            for node in manifest.exposures.values()
        ]
        return cls(models)

    def users_of(self, name: str, column: str | None = None) -> Users:
        """Who uses a column of a model, or the model as a whole, directly or through others."""
        users = Users()
        waiting: deque[tuple[str, str | None]] = deque([(name, column)])
        seen = {(name, column)}
        while waiting:
            parent, wanted = waiting.popleft()
            for child in self.children.get(parent, ()):
                outputs = {None} if wanted is None or not child.sql else set(carried(child.sql, wanted))
                if not outputs and not uses(child.sql, wanted or ""):
                    continue
                users.add(child)
                for output in outputs:
                    if (child.name, output) not in seen:
                        seen.add((child.name, output))
                        waiting.append((child.name, output))
        return users

    def naming(self, text: str) -> Users:
        """The models whose SQL holds a text, such as an event's name."""
        users = Users()
        for model in self.models.values():
            if f"'{text}'" in model.sql:
                users.add(model)
        return users


def uses(sql: str, column: str) -> bool:
    """Whether SQL names a column, comments aside."""
    return bool(re.search(rf"\b{re.escape(column)}\b", _without_comments(sql)))


def carried(sql: str, column: str) -> Iterator[str]:
    """The names under which SQL gives a column on: its own, or that of an expression it is part of."""
    names: set[str] = set()
    # A star in a step hands everything to the next step; the last select says what leaves the model.
    is_handed_on = bool(re.search(r"(^|\.|\s)\*", re.split(r"(?m)^select\b", _without_comments(sql))[-1]))
    for expression, alias in _expressions(_without_comments(sql)):
        if re.search(rf"\b{re.escape(column)}\b", expression):
            names.add(alias or column)
        elif is_handed_on and re.search(r"(^|\.|\s)\*\s*$", expression.strip()) and not alias:
            names.add(column)
    # A step of the same model may rename what another one named.
    for name in sorted(names - {column}):
        for expression, alias in _expressions(_without_comments(sql)):
            if alias and re.search(rf"\b{re.escape(name)}\b", expression):
                names.add(alias)
    yield from sorted(names)


def _expressions(sql: str) -> Iterator[tuple[str, str | None]]:
    """(text, alias) of what stands between commas and keywords at every depth of brackets."""
    start, depth, starts = 0, 0, []
    previous = None
    alias = None
    for token in _TOKEN.finditer(sql):
        text = token.group().lower()
        if text in "([{" and len(text) == 1:
            starts.append((start, alias))
            depth += 1
        elif text in ")]}" and len(text) == 1:
            if starts:
                start, alias = starts.pop()
                depth -= 1
        elif text in (",", "from", "select", "where", "union"):
            if text in (",", "from") and sql[start : token.start()].strip():
                yield sql[start : token.start()], alias
            start, alias = token.end(), None
        elif previous == "as" and re.fullmatch(r"\w+", text):
            alias = token.group()
        previous = text


def _parents_of(node: Any, events: Mapping[str, str]) -> tuple[str, ...]:
    """What a model reads; an audience reads the events that it asks about, although another model does it for it."""
    if node.name == "audience_conditions":
        return ()
    audience = node.config.meta.get("audience") or {}
    asked = {events[name] for name in asked_events(audience.get("conditions") or []) if name in events}
    return (*_names(node.depends_on.nodes), *sorted(asked))


def asked_events(conditions: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The events that conditions (config.meta.audience) ask about, as they name them."""
    for condition in conditions:
        if "event" in condition:
            yield condition["event"]
        for inner in ("conditions", "steps"):
            yield from asked_events(condition.get(inner) or [])


def _sql_of(node: Any) -> str:
    """A model's SQL, with what its macros make of its YAML (computed traits) or of the models that it joins."""
    sql = node.raw_code
    for column in node.columns.values():
        trait = (getattr(column.config, "meta", None) or column.meta or {}).get("trait")
        if isinstance(trait, dict):
            of = trait.get("of", [])
            used = [
                trait.get("property"),
                trait.get("weight"),
                *trait.get("where", {}),
                *([of] if isinstance(of, str) else of),
            ]
            words = re.findall(r"\w+", " ".join(str(word) for word in used if word))
            words += ["currency"] if trait.get("currency") else []
            sql += f"\nselect {' + '.join(words) or 'event_id'} as {column.name} from events"
    if "joined_traits(" in sql:
        sql += "\nselect traits.* from traits"
    return sql


def _without_comments(sql: str) -> str:
    return re.sub(r"--[^\n]*|\{#.*?#\}", " ", sql, flags=re.DOTALL)


def _names(unique_ids: Iterable[str]) -> Iterator[str]:
    for unique_id in unique_ids:
        if unique_id.startswith("model."):
            yield unique_id.split(".")[2]
