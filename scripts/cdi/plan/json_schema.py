"""Tracking plans of other tools: JSON Schema as Segment, RudderStack and Avo keep it, read and written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cdi.errors import UsageError
from cdi.plan.files import OWN_COLUMNS
from cdi.plan.model import CALLS, PlannedEvent, Property, data_type_of, snake_case

DRAFT = "http://json-schema.org/draft-07/schema#"
OURS = "x-cdi"
"""Where an export keeps what JSON Schema has no word for."""

_COMPARED = {"pattern": "pattern", "minimum": "minimum", "maximum": "maximum"}
_UNDERSTOOD = {
    "$schema", "$id", "id", "title", "description", "type", "enum", "const", "pattern", "format", "minimum", "maximum",
    "minLength", "maxLength", "minItems", "maxItems", "properties", "required", "items", "additionalProperties",
    "examples", "default", "labels", OURS,
}  # fmt: skip


@dataclass
class Imported:
    """What a file of another tool holds."""

    planned: list[PlannedEvent] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """What could not be said in our plan, in words."""


def export_plan(planned: Iterable[PlannedEvent], name: str = "cdi") -> dict[str, Any]:
    """A tracking plan in the shape of Segment's Public API: rules with a JSON Schema (draft-07) each."""
    return {
        "name": name,
        "rules": [
            {
                "type": item.type.upper(),
                **({"key": item.event} if item.event else {}),
                "version": item.version,
                "jsonSchema": event_schema(item),
            }
            for item in planned
        ],
    }


def event_schema(planned: PlannedEvent) -> dict[str, Any]:
    """The JSON Schema of an event's message."""
    inside = "traits" if planned.type in ("identify", "group") else "properties"
    fields: dict[str, Any] = {"type": "object", "properties": {}}
    if planned.unplanned_properties not in (None, "allow"):
        fields["additionalProperties"] = False
    for item in planned.properties:
        _place(fields, item)
    required = [inside] if fields.get("required") else []
    ours = {"model": planned.model} | {
        name: getattr(planned, name)
        for name in ("owner", "on_violation", "unplanned_properties")
        if getattr(planned, name) is not None
    }
    return {
        "$schema": DRAFT,
        "type": "object",
        **({"description": planned.description} if planned.description else {}),
        "properties": {inside: fields},
        **({"required": required} if required else {}),
        OURS: ours,
    }


def _place(fields: dict[str, Any], item: Property) -> None:
    """Put a property's schema where its path says, below the schema of all fields."""
    schema = fields
    steps = [step for part in item.path.split(".") for step in _steps(part)]
    for number, (kind, key) in enumerate(steps):
        is_last = number == len(steps) - 1
        if kind == "items":
            following = schema.setdefault("items", {})
            if not is_last and item.required:
                # A list's item without the field breaks the rule, whatever it is.
                following.setdefault("type", "object")
        else:
            following = schema.setdefault("properties", {}).setdefault(key, {})
            if is_last and item.required:
                schema.setdefault("required", []).append(key)
        schema = following
    for key, value in _schema(item).items():
        schema[key] = value


def _steps(part: str) -> Iterator[tuple[str, str]]:
    name, *lists = part.split("[]")
    if name:
        yield "field", name
    for _ in lists:
        yield "items", ""


def _schema(item: Property) -> dict[str, Any]:
    types = ["string" if name == "timestamp" else name for name in item.json_types if name != "any"]
    if "any" in item.json_types:
        types = []
    schema: dict[str, Any] = {}
    if types:
        # What is null is missing, which only `required` forbids.
        types = list(dict.fromkeys(types)) + ([] if item.required else ["null"])
        schema["type"] = types[0] if len(types) == 1 else types
    if item.json_types == ("timestamp",):
        schema["format"] = "date-time"
    if item.description:
        schema["description"] = item.description
    if item.allowed_values:
        schema["enum"] = [*item.allowed_values, *([] if item.required else [None])]
    for name, key in _COMPARED.items():
        if (value := getattr(item, name)) is not None:
            schema[key] = value
    lengths = ("minItems", "maxItems") if "array" in item.json_types else ("minLength", "maxLength")
    for value, key in zip((item.min_length, item.max_length), lengths, strict=True):
        if value is not None:
            schema[key] = value
    ours = {
        name: value
        for name, value in {
            "column": item.column, "data_type": item.data_type, "type": list(item.types), "pii": item.pii,
            "on_violation": item.on_violation, "required": item.required and item.path.endswith("[]"),
        }.items()
        if value
    }  # fmt: skip
    return schema | {OURS: ours}


def import_plan(content: Any) -> Imported:
    """The plan in the parsed JSON of a Segment, RudderStack or Avo file; raises UsageError where it holds none."""
    result = Imported()
    for rule in _rules(content):
        _import_rule(rule, result)
    if not result.planned:
        raise UsageError(
            "The file holds no tracking plan: no rule with a JSON Schema was found in it.",
            "Segment's, RudderStack's and Avo's exports are read: a list named rules or events, whose items have a"
            " name and a schema.",
        )
    return result


def _rules(content: Any) -> Iterator[Mapping[str, Any]]:
    """The rules of a plan, wherever the tool keeps them."""
    if isinstance(content, list):
        yield from (item for item in content if isinstance(item, Mapping))
        return
    if not isinstance(content, Mapping):
        return
    for key in ("data", "trackingPlan", "tracking_plan"):
        if isinstance(content.get(key), Mapping | list):
            yield from _rules(content[key])
            return
    rules = content.get("rules")
    if isinstance(rules, list):
        yield from _rules(rules)
    elif isinstance(rules, Mapping):
        yield from _rules(rules.get("events") or [])
        for call in ("identify", "group", "page", "screen"):
            schema = rules.get(call) or rules.get(f"{call}_traits")
            if isinstance(schema, Mapping) and schema:
                yield {"type": call, "jsonSchema": schema}
    if isinstance(content.get("events"), list):
        yield from _rules(content["events"])


def _import_rule(rule: Mapping[str, Any], result: Imported) -> None:
    type_ = str(rule.get("type") or rule.get("eventType") or rule.get("event_type") or "track").lower()
    name = rule.get("key") or rule.get("name") or rule.get("event")
    schema = next(
        (rule[key] for key in ("jsonSchema", "json_schema", "schema", "rules") if isinstance(rule.get(key), Mapping)),
        None,
    )
    if type_ not in CALLS or (type_ == "track" and not name) or schema is None:
        if type_ not in ("object",):
            result.left_out.append(f"a rule of type {type_}{f' ({name})' if name else ''}: it is about no planned call")
        return
    event = str(name) if name and type_ not in ("identify", "group") else None
    ours = schema.get(OURS) or {}
    version = rule.get("version") or 1
    version = int(float(version)) if str(version).replace(".", "", 1).isdigit() else 1
    fields, names_fields = _fields(schema, type_)
    unplanned = ours.get("unplanned_properties")
    if not ours and fields.get("additionalProperties") is False:
        unplanned = "flag"
    planned_name = event or {"identify": "identified", "group": "grouped"}.get(type_, f"{type_}_viewed")
    model = ours.get("model") or snake_case(planned_name) + (f"_v{version}" if version != 1 else "")
    properties = list(_properties(fields, "", f"{planned_name}", result)) if names_fields else []
    result.planned.append(
        PlannedEvent(
            model=model,
            type=type_,
            event=event,
            version=version,
            owner=ours.get("owner") or rule.get("owner"),
            description=schema.get("description") or rule.get("description") or "",
            on_violation=ours.get("on_violation"),
            unplanned_properties=unplanned,
            properties=tuple(_with_columns(properties)),
        )
    )


def _fields(schema: Mapping[str, Any], type_: str) -> tuple[Mapping[str, Any], bool]:
    """The part of a message's schema that is about properties or traits; some tools give that part alone."""
    known = schema.get("properties") or {}
    inside = ("traits", "properties") if type_ in ("identify", "group") else ("properties",)
    for name in inside:
        part = known.get(name)
        if isinstance(part, Mapping) and (isinstance(part.get("properties"), Mapping) or part.get("type") == "object"):
            return part, isinstance(part.get("properties"), Mapping)
    if isinstance(context := known.get("context"), Mapping) and type_ == "identify":
        traits = (context.get("properties") or {}).get("traits")
        if isinstance(traits, Mapping) and isinstance(traits.get("properties"), Mapping):
            return traits, True
    envelope = {"context", "traits", "properties", "messageId", "userId", "anonymousId", "event", "type"}
    return schema, bool(known) and not set(known) <= envelope


def _properties(fields: Mapping[str, Any], before: str, place: str, result: Imported) -> Iterator[Property]:
    required = fields.get("required") or []
    for name, schema in (fields.get("properties") or {}).items():
        path = f"{before}{name}"
        if any(character in name for character in ".[]"):
            result.left_out.append(f"{place}: {path}: a name with a dot or bracket cannot be a path")
            continue
        yield from _property(schema, path, name in required, place, result)


def _property(schema: Any, path: str, required: bool, place: str, result: Imported) -> Iterator[Property]:
    if not isinstance(schema, Mapping):
        schema = {}
    for key in schema:
        if key not in _UNDERSTOOD:
            result.left_out.append(f"{place}: {path}: {key} has no counterpart in the plan")
    ours = schema.get(OURS)
    types = schema.get("type") or []
    types = [types] if isinstance(types, str) else list(types)
    if schema.get("format") == "date-time":
        types = ["timestamp" if item == "string" else item for item in types]
    if "null" in types and required and ours is None:
        required = False
    types = tuple(item for item in types if item != "null")
    values = schema["enum"] if "enum" in schema else [schema["const"]] if "const" in schema else []
    if isinstance(ours, Mapping):
        types = tuple(ours.get("type", ()))
    is_list = "array" in (types or (("array",) if "items" in schema and ours is None else ()))
    lengths = ("minItems", "maxItems") if is_list else ("minLength", "maxLength")
    described = dict(ours) if isinstance(ours, Mapping) else {}
    # What only says where its fields lie has no rules of its own.
    is_container = ours is None and set(schema) <= {"properties", "required"}
    if not is_container and (ours is not None or not path.endswith("[]") or types or values):
        yield Property(
            path=path,
            description=schema.get("description") or "",
            column=described.get("column"),
            data_type=described.get("data_type"),
            types=types or (() if ours is not None else ("any",)),
            required=required or bool(described.get("required", False)),
            allowed_values=tuple(value for value in values if value is not None),
            min_length=schema.get(lengths[0]),
            max_length=schema.get(lengths[1]),
            pii=bool(described.get("pii", False)),
            on_violation=described.get("on_violation"),
            **{name: schema.get(key) for name, key in _COMPARED.items()},
        )
    if isinstance(schema.get("properties"), Mapping):
        yield from _properties(schema, f"{path}.", place, result)
    items = schema.get("items")
    if isinstance(items, Mapping) and items:
        if "[]" in path:
            result.left_out.append(f"{place}: {path}: a list in a list is not looked into")
        elif OURS in items or not isinstance(items.get("properties"), Mapping):
            yield from _property(items, f"{path}[]", False, place, result)
        else:
            yield from _properties(items, f"{path}[].", place, result)


def _with_columns(properties: list[Property]) -> Iterator[Property]:
    """The properties, those at the top with a column that no other has."""
    taken = set(OWN_COLUMNS)
    taken |= {item.column for item in properties if item.column}
    for item in properties:
        if item.column or "." in item.path or "[" in item.path:
            yield item
            continue
        column = base = snake_case(item.path)
        number = 1
        while column in taken:
            number += 1
            column = f"{base}_{number}"
        taken.add(column)
        data_type = data_type_of(item.types)
        says_all = Property(path=item.path, data_type=data_type).json_types == item.types
        yield replace(item, column=column, data_type=data_type, types=() if says_all else item.types)
