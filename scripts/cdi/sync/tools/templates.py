"""Placeholders in YAML: structures whose texts may hold Jinja, filled with values of their own types.

`"{{ row.revenue }}"` is the number; `"EUR {{ row.revenue }}"` is a text. What a placeholder alone gives is never read
as code or as another type, so a postal code 01234 stays the text it is. Templates run in Jinja's sandbox.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

import jinja2
from jinja2 import meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from cdi.errors import UsageError
from cdi.sync.tools.http import RowError
from cdi.sync.tools.json_values import to_json

Context = Mapping[str, Any]
Template = Callable[[Context], Any]

_LEFT_OUT = object()


class _Environment(ImmutableSandboxedEnvironment):
    """A field is a field, also where it has the name of a method of dictionaries: row.items."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Mapping):
            return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
        return super().getattr(obj, attribute)


def _text(value: Any) -> Any:
    """A value within a text: as JSON would write it, without quotation marks."""
    if isinstance(value, str | jinja2.Undefined):
        return value
    return "" if value is None else to_json(value).decode().strip('"')


def _segment(value: Any) -> str:
    """A value within a path: it can neither be empty nor lead elsewhere."""
    if isinstance(value, jinja2.Undefined) or (text := _text(value)) in ("", ".", ".."):
        raise RowError("a value that the path needs is missing")
    return quote(text, safe="")


_JINJA = _Environment(undefined=jinja2.StrictUndefined, finalize=_text)
_PATHS = _JINJA.overlay(finalize=_segment)


def structure(value: Any, place: str) -> Template:
    """What renders a structure of YAML; raises UsageError, naming the place, for a placeholder that is none.

    An entry whose placeholder names a field that the row does not have is left out.
    """
    template = _part(value, place)

    def render(context: Context) -> Any:
        rendered = template(context)
        return None if rendered is _LEFT_OUT else rendered

    return render


def path(value: str, place: str) -> Template:
    """What renders a path, with every value quoted; raises UsageError for a placeholder that is none."""
    try:
        return _guarded(_PATHS.from_string(value).render, place)
    except jinja2.TemplateSyntaxError as error:
        raise UsageError(f"{place}: {error.message}.") from None


def names(value: Any) -> set[str]:
    """The names that the placeholders of a structure use: row, rows, ..."""
    return {name for text in _texts(value) for name in meta.find_undeclared_variables(_JINJA.parse(text))}


def fields(value: Any, name: str) -> set[str]:
    """The fields of `name` that placeholders use: email of {{ row.email }} and {{ row['email'] }}."""
    return {
        node.attr if isinstance(node, nodes.Getattr) else node.arg.value
        for text in _texts(value)
        for node in _JINJA.parse(text).find_all((nodes.Getattr, nodes.Getitem))
        if isinstance(node.node, nodes.Name)
        and node.node.name == name
        and (isinstance(node, nodes.Getattr) or isinstance(node.arg, nodes.Const))
    }


def _guarded(template: Template, place: str) -> Template:
    """A template that rejects a row which it cannot be filled with, without a word of the row."""

    def render(context: Context) -> Any:
        try:
            return template(context)
        except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError) as error:
            raise RowError(f"{place}: {type(error).__name__}") from None

    return render


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, str):
        yield value


def _part(value: Any, place: str) -> Template:
    if isinstance(value, Mapping):
        entries = {str(name): _part(each, f"{place}.{name}") for name, each in value.items()}
        return lambda context: {
            name: rendered for name, each in entries.items() if (rendered := each(context)) is not _LEFT_OUT
        }
    if isinstance(value, list):
        parts = [_part(each, f"{place}[{index}]") for index, each in enumerate(value)]
        return lambda context: [rendered for each in parts if (rendered := each(context)) is not _LEFT_OUT]
    if isinstance(value, str) and ("{{" in value or "{%" in value):
        try:
            return _guarded(_placeholder(value), place)
        except jinja2.TemplateSyntaxError as error:
            raise UsageError(f"{place}: {error.message}.") from None
    return lambda context: value


def _placeholder(text: str) -> Template:
    body = _JINJA.parse(text.strip()).body
    alone = len(body) == 1 and isinstance(body[0], nodes.Output) and len(body[0].nodes) == 1
    if not alone or isinstance(body[0].nodes[0], nodes.TemplateData):
        return _JINJA.from_string(text).render
    expression = _JINJA.compile_expression(text.strip()[2:-2].strip("+-"), undefined_to_none=False)

    def value(context: Context) -> Any:
        found = expression(context)
        return _LEFT_OUT if isinstance(found, jinja2.Undefined) else found

    return value
