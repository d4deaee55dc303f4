"""The plan as files: a model and its YAML per planned event, in models/events/planned/."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from cdi.errors import UsageError
from cdi.plan.model import PlannedEvent, Property

FOLDER = Path("models/events/planned")
JSON = (
    "{{ {'postgres': 'jsonb', 'redshift': 'super', 'snowflake': 'variant', 'spark': 'string'}"
    ".get(target.type, 'json') }}"
)
"""The type of a JSON column, as YAML of dbt says it for every warehouse."""

OWN_COLUMNS: dict[str, tuple[str, str]] = {
    "event_id": ("string", "Id of the event."),
    "identifier": ("string", "The event's strongest identifier, `type:value`; the key to `identity_graph`."),
    "group_id": ("string", "Account the event names."),
    "channel": ("string", "web, mobile, server, store, payment or crm."),
    "event_at": ("timestamp", "When it happened, UTC."),
    "loaded_at": ("timestamp", "When it arrived in the warehouse, UTC."),
}
"""The columns that every planned event has beside its properties: data type and description."""
_RULES = ("required", "allowed_values", "pattern", "minimum", "maximum", "min_length", "max_length", "pii")


def read_plan(root: Path) -> list[PlannedEvent]:
    """The plan in a project's files; raises UsageError where one is no YAML."""
    return plan_of({str(path): path.read_text(encoding="utf-8") for path in sorted((root / FOLDER).rglob("*.y*ml"))})


def plan_of(files: Mapping[str, str]) -> list[PlannedEvent]:
    """The plan in the text of YAML files, by name of the file."""
    planned = []
    for name, text in files.items():
        try:
            content = yaml.safe_load(text) or {}
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise UsageError(f"{name}:{line}: {error.problem}.") from None
        for model in content.get("models") or []:
            if meta := (model.get("config") or {}).get("meta", {}).get("plan"):
                planned.append(_planned(model, meta))
    return sorted(planned, key=lambda item: item.model)


def _planned(model: Mapping[str, Any], meta: Mapping[str, Any]) -> PlannedEvent:
    properties: list[Property] = []
    for column in model.get("columns") or []:
        rules = dict((column.get("config") or {}).get("meta") or {})
        if "property" not in rules:
            continue
        nested = rules.pop("nested", None) or {}
        data_type = str(column.get("data_type", "string"))
        properties.append(
            _property(
                rules.pop("property"),
                rules,
                description=column.get("description") or "",
                column=column["name"],
                data_type="json" if "{{" in data_type else data_type,
            )
        )
        properties += [
            _property(path, item, description=item.get("description") or "") for path, item in nested.items()
        ]
    return PlannedEvent(
        model=model["name"],
        type=meta.get("type", "track"),
        event=meta.get("event"),
        version=meta.get("version", 1),
        owner=meta.get("owner"),
        description=model.get("description") or "",
        on_violation=meta.get("on_violation"),
        unplanned_properties=meta.get("unplanned_properties"),
        properties=tuple(properties),
    )


def _property(path: str, rules: Mapping[str, Any], **more: Any) -> Property:
    types = rules.get("type", ())
    return Property(
        path=path,
        types=(types,) if isinstance(types, str) else tuple(types),
        required=bool(rules.get("required", False)),
        allowed_values=tuple(rules.get("allowed_values") or ()),
        pii=bool(rules.get("pii", False)),
        on_violation=rules.get("on_violation"),
        **{name: rules.get(name) for name in ("pattern", "minimum", "maximum", "min_length", "max_length")},
        **more,
    )


def write_plan(root: Path, planned: Iterable[PlannedEvent]) -> list[Path]:
    """Write a model and its YAML per event; returns the files that were made or changed.

    A model's SQL that is there is left alone. Its YAML keeps its comments, its tests, and the columns and settings
    that are not the plan's.
    """
    written = []
    folder = root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for item in planned:
        model, sheet = folder / f"{item.model}.sql", folder / f"{item.model}.yml"
        before = sheet.read_text(encoding="utf-8") if sheet.is_file() else None
        text = as_yaml(item, before)
        if text != before:
            sheet.write_text(text, encoding="utf-8")
            written.append(sheet)
        if not model.is_file():
            sentence = " ".join(item.description.split()) or f"One row per {item.title}"
            model.write_text(f"-- {sentence.rstrip('.')}.\n\n{{{{ cdi.planned_event() }}}}\n", encoding="utf-8")
            written.append(model)
    return written


def as_yaml(planned: PlannedEvent, before: str | None = None) -> str:
    """The YAML of a planned event; `before` is what its file holds now."""
    handler = YAML()
    handler.width = 10_000
    handler.indent(mapping=2, sequence=4, offset=2)
    handler.preserve_quotes = True
    content = handler.load(before) if before else CommentedMap(version=2, models=[])
    model = next((item for item in content["models"] if item["name"] == planned.model), None)
    if model is None:
        model = CommentedMap(name=planned.model)
        content["models"].append(model)
    _set(model, "description", planned.description or f"One row per {planned.title}.")
    _set(model, "config", model.get("config") or CommentedMap())
    _set(model["config"], "meta", model["config"].get("meta") or CommentedMap())
    model["config"]["meta"]["plan"] = CommentedMap(
        (name, value)
        for name, value in {
            "type": planned.type, "event": planned.event, "version": planned.version, "owner": planned.owner,
            "on_violation": planned.on_violation, "unplanned_properties": planned.unplanned_properties,
        }.items()
        if value is not None
    )  # fmt: skip
    old = {column["name"]: column for column in model.get("columns") or []}
    columns = [
        old.get(name) or CommentedMap(name=name, data_type=data_type, description=description)
        for name, (data_type, description) in OWN_COLUMNS.items()
    ]
    for item in planned.properties:
        if item.column is None:
            continue
        column = old.get(item.column) or CommentedMap(name=item.column)
        data_type = JSON if item.data_type == "json" else item.data_type
        if column.get("data_type") != data_type:
            _set(column, "data_type", data_type)
        _set(column, "description", item.description or item.path)
        _set(column, "config", column.get("config") or CommentedMap())
        column["config"]["meta"] = _meta(planned, item)
        columns.append(column)
    model["columns"] = columns
    sink = io.StringIO()
    handler.dump(content, sink)
    text = sink.getvalue()
    return text if before else text.replace("version: 2\n", "version: 2\n\n", 1)


def _meta(planned: PlannedEvent, item: Property) -> CommentedMap:
    meta = CommentedMap(property=item.path)
    meta.update(_rules(item))
    nested = CommentedMap()
    for inner in planned.properties:
        if inner.column is None and owner_of(planned, inner.path) is item:
            nested[inner.path] = _rules(inner)
            if inner.description:
                nested[inner.path]["description"] = inner.description
    if nested:
        meta["nested"] = nested
    return meta


def owner_of(planned: PlannedEvent, path: str) -> Property | None:
    """The property with a column that a path lies in."""
    holders = [
        item for item in planned.properties if item.column and path.startswith((f"{item.path}.", f"{item.path}["))
    ]
    return max(holders, key=lambda item: len(item.path), default=None)


def _rules(item: Property) -> CommentedMap:
    rules = CommentedMap()
    if item.types:
        rules["type"] = item.types[0] if len(item.types) == 1 else list(item.types)
    for name in _RULES:
        value = getattr(item, name)
        if value not in (None, False, ()) or (value == 0 and value is not False):
            rules[name] = list(value) if isinstance(value, tuple) else value
    if item.on_violation:
        rules["on_violation"] = item.on_violation
    return rules


def _set(mapping: Any, key: str, value: Any) -> None:
    if mapping.get(key) != value or key not in mapping:
        mapping[key] = value
