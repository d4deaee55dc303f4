"""Audiences without SQL: YAML forms, models/audiences/<name>.audience, as the model and YAML that a person would write.

Not .yml, since dbt reads every such file as properties of its own.
"""

from __future__ import annotations

import io
import json
import re
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.scalarint import ScalarInt

from cdi.audiences import is_audience
from cdi.errors import UsageError
from cdi.plan.files import JSON

FOLDER = Path("models/audiences")
SUFFIX = ".audience"

_OPERATORS = (
    "equals", "not_equals", "less_than", "greater_than", "at_most", "at_least", "contains", "does_not_contain",
    "starts_with", "ends_with", "exists", "does_not_exist", "before", "after", "one_of", "contains_one_of",
)  # fmt: skip
_SPAN = re.compile(r"\s*0*[1-9][0-9]*\s*(minute|hour|day|week)s?\s*")
_WINDOW = ("within", "between")
_STEP = ("within", "same", "where")
_VERBS: Mapping[str, tuple[str, ...]] = {
    "did": ("at_least", "at_most", "exactly", *_WINDOW, "where"),
    "did_not": (*_WINDOW, "where"),
    "trait": (*_OPERATORS, "within", "not_within", "more_than_ago"),
    "in_audience": (),
    "not_in_audience": (),
    "all_of": (),
    "any_of": (),
    "none_of": (),
    "sequence": _WINDOW,
}
_STEP_VERBS: Mapping[str, tuple[str, ...]] = {"first": ("where",), "then": _STEP, "then_not": (*_STEP, "wait")}
_LISTS = ("all_of", "any_of", "none_of", "sequence")
_JSON_TYPES = ("json", "jsonb", "super", "variant")


@dataclass(frozen=True)
class Column:
    """A column of `profiles`."""

    data_type: str
    description: str
    pii: bool


@dataclass(frozen=True)
class Known:
    """What forms may name: events with their properties, columns of `profiles`, audiences."""

    events: Mapping[str, frozenset[str]]
    columns: Mapping[str, Column]
    audiences: frozenset[str]

    @classmethod
    def of(cls, manifest: Any) -> Known:
        """What is in dbt's manifest."""
        events: dict[str, frozenset[str]] = {}
        models = [node for node in manifest.nodes.values() if node.resource_type == "model"]
        for node in models:
            plan = node.config.meta.get("plan")
            if plan or {"event_id", "identifier", "event_at", "loaded_at"} <= set(node.columns):
                metas = [_meta(column) for column in node.columns.values()]
                properties = {
                    *node.columns,
                    *(meta["property"] for meta in metas if "property" in meta),
                    *(path for meta in metas for path in meta.get("nested") or {}),
                }
                for name in filter(None, (node.name, (plan or {}).get("event"))):
                    events[name] = frozenset(properties) | events.get(name, frozenset())
        columns = {
            column.name: Column(
                JSON if column.data_type in _JSON_TYPES else str(column.data_type),
                column.description,
                bool(_meta(column).get("pii")),
            )
            for node in _joined_into_profiles(models)
            for column in node.columns.values()
        }
        return cls(events, columns, frozenset(node.name for node in models if is_audience(node)))


def _joined_into_profiles(models: list[Any]) -> Iterable[Any]:
    """The models whose columns `profiles` has: as the macro profile_columns."""
    by_id = {node.unique_id: node for node in models}
    for view in (node for name in ("profile_traits", "profiles") for node in models if node.name == name):
        parents = [by_id[one] for one in view.depends_on.nodes if one in by_id]
        yield from (
            node
            for node in (*parents, view)
            if "profile_id" in node.columns and node.name not in ("identity_graph", "merged_profiles")
        )


def _meta(column: Any) -> dict[str, Any]:
    return column.config.meta or column.meta or {}


@dataclass
class Compiled:
    """What compiling did: files written and removed, or, when only checked, that would be."""

    written: list[Path] = field(default_factory=list)
    removed: list[Path] = field(default_factory=list)


def forms(root: Path) -> list[Path]:
    """The forms of a project."""
    return sorted((root / FOLDER).glob(f"*{SUFFIX}"))


def compile_forms(root: Path, manifest: Any, check: bool = False) -> Compiled:
    """Write the model and the YAML of every form, and remove those whose form is gone; check: only say which.

    Raises UsageError with file and line of all that is wrong, and for a file in the way that was not written by this:
    then nothing is written.
    """
    known = Known.of(manifest)
    paths = forms(root)
    known = Known(known.events, known.columns, known.audiences | {path.stem for path in paths})
    problems: list[str] = []
    texts: dict[Path, str] = {}
    for path in paths:
        form = _Form(path, root, known, problems)
        if form.content is not None:
            texts |= {path.with_suffix(".sql"): form.model(), path.with_suffix(".yml"): form.sheet()}
    for target in texts:
        if target.is_file() and not _is_ours(target):
            problems.append(f"{target.relative_to(root)} is in the way: it was not written from a form")
    if problems:
        raise UsageError(f"{'; '.join(problems)}.", "docs/audiences.md says what a form can say.")
    compiled = Compiled()
    for target, text in texts.items():
        if not target.is_file() or target.read_text(encoding="utf-8") != text:
            compiled.written.append(target)
            if not check:
                target.write_text(text, encoding="utf-8")
    for target in sorted([*(root / FOLDER).glob("*.sql"), *(root / FOLDER).glob("*.yml")]):
        if target not in texts and _is_ours(target):
            compiled.removed.append(target)
            if not check:
                target.unlink()
    return compiled


def require_compiled(root: Path, manifest: Any, names: Iterable[str]) -> None:
    """Raise UsageError where an audience of these names has a form that says something else than its model."""
    stale = compile_forms(root, manifest, check=True).written
    for path in (root / FOLDER / f"{name}{SUFFIX}" for name in names):
        if path.with_suffix(".sql") in stale:
            raise UsageError(f"{path.relative_to(root)} is not compiled as it is now.", "Run `cdi audience compile`.")


def _mark(name: str) -> str:
    return f"Written by `cdi audience compile` from {name}: change that file."


def _is_ours(path: Path) -> bool:
    first = path.read_text(encoding="utf-8").split("\n", 1)[0]
    return first.lstrip("-# ").startswith("Written by `cdi audience compile` from ")


class _Form:
    """One form; what is wrong with it is added to `problems` as file:line: sentence."""

    def __init__(self, path: Path, root: Path, known: Known, problems: list[str]) -> None:
        self.path, self.known, self.problems = path, known, problems
        self.place = path.relative_to(root)
        self.content: CommentedMap | None = None
        try:
            content = YAML().load(path.read_text(encoding="utf-8"))
        except MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            problems.append(f"{self.place}:{line}: {error.problem}")
            return
        if not isinstance(content, CommentedMap):
            problems.append(f"{self.place}:1: a form is a mapping with description, columns, and all or any")
            return
        if not re.fullmatch(r"[a-z][a-z0-9_]*", path.stem):
            problems.append(f"{self.place}:1: '{path.stem}' is no name: small letters, digits and _ only")
        self.content = content
        for key in content:
            if key not in ("description", "owner", "columns", "all", "any"):
                self._problem(content, key, f"'{key}' is nothing that a form has")
        if not isinstance(content.get("description"), str):
            self._problem(content, "description", "the description is missing: a sentence that says who is in")
        if not isinstance(content.get("columns", []), list):
            self._problem(content, "columns", "columns is a list of columns of profiles")
            content["columns"] = []
        wanted = ["profile_id"]
        for column in content.get("columns", []):
            if column not in known.columns:
                self._problem(content, "columns", f"'{column}' is no column of profiles")
            elif column in wanted:
                self._problem(content, "columns", f"'{column}' is a column of it already")
            wanted.append(column)
        if not content.get("all") and not content.get("any"):
            problems.append(f"{self.place}:1: the audience has no conditions: say all or any")

    def model(self) -> str:
        """The SQL model."""
        assert self.content is not None
        arguments = []
        for key in ("all", "any"):
            if self.content.get(key):
                arguments.append(f"    {key}={self._conditions(self.content, key, 1, _VERBS)}")
        if self.content.get("columns"):
            arguments.append(f"    columns={_literal(self.content['columns'])}")
        lines = [f"-- {_mark(self.path.name)}", *_comment(self._description), ""]
        return "\n".join([*lines, "{{ cdi.audience(", ",\n".join(arguments), ") }}", ""])

    def sheet(self) -> str:
        """The YAML beside it: description, contract, tests."""
        assert self.content is not None
        meta = CommentedMap(owner=self.content.get("owner") or "marketing")
        key = CommentedMap(
            name="profile_id",
            data_type="string",
            description=self.known.columns["profile_id"].description,
            data_tests=[
                "unique",
                "not_null",
                {"relationships": {"arguments": {"to": "ref('profiles')", "field": "profile_id"}}},
            ],
        )
        columns = [key]
        for name in self.content.get("columns", []):
            if name not in self.known.columns:
                continue
            column = self.known.columns[name]
            columns.append(CommentedMap(name=name, data_type=column.data_type, description=column.description))
            if column.pii:
                columns[-1]["config"] = _flow(meta=_flow(pii=True))
        model = CommentedMap(
            name=self.path.stem,
            description=self._description,
            config=CommentedMap(contract=_flow(enforced=True), meta=_flow(**meta)),
            columns=columns,
        )
        handler = YAML()
        handler.width = 10_000
        handler.indent(mapping=2, sequence=4, offset=2)
        sink = io.StringIO()
        handler.dump(CommentedMap(version=2, models=[model]), sink)
        return f"# {_mark(self.path.name)}\n" + sink.getvalue().replace("version: 2\n", "version: 2\n\n", 1)

    @property
    def _description(self) -> str:
        assert self.content is not None
        return " ".join(str(self.content.get("description") or "").split())

    def _problem(self, holder: Any, key: Any, sentence: str) -> None:
        try:
            line = (holder.lc.item(key) if isinstance(holder, CommentedSeq) else holder.lc.key(key))[0] + 1
        except (KeyError, AttributeError, TypeError):
            line = getattr(getattr(holder, "lc", None), "line", 0) + 1
        self.problems.append(f"{self.place}:{line}: {sentence}")

    def _conditions(self, holder: CommentedMap, key: str, depth: int, verbs: Mapping[str, tuple[str, ...]]) -> str:
        items = holder[key]
        if not isinstance(items, list) or not items:
            self._problem(holder, key, f"{key} is a list of {'steps' if verbs is _STEP_VERBS else 'conditions'}")
            return "[]"
        indent = "    " * depth
        texts = [
            indent + "    " + self._condition(items, place, depth + 1, verbs) for place in range(len(items))
        ]  # fmt: skip
        return "[\n" + ",\n".join(texts) + f"\n{indent}]"

    def _condition(self, items: Any, place: int, depth: int, verbs: Mapping[str, tuple[str, ...]]) -> str:
        item = items[place]
        found = [key for key in item if key in verbs] if isinstance(item, CommentedMap) else []
        if len(found) != 1:
            self._problem(items, place, f"say one of {', '.join(verbs)}")
            return ""
        verb = found[0]
        for key in item:
            if key != verb and key not in verbs[verb]:
                self._problem(item, key, f"'{key}' is nothing that {verb} has")
        if verbs is _STEP_VERBS and (verb == "first") != (place == 0):
            self._problem(items, place, "a sequence has one first step, and it comes first")
        self._check_values(item, verb)
        rest = [
            f"{key}={_literal(value)}" for key, value in item.items() if key != verb and key in verbs[verb]
        ]  # fmt: skip
        if verb in _LISTS:
            subject = self._conditions(item, verb, depth, _STEP_VERBS if verb == "sequence" else _VERBS)
        else:
            self._check_name(item, verb)
            subject = _literal(item[verb])
        return f"cdi.{verb}({', '.join([subject, *rest])})"

    def _check_values(self, item: CommentedMap, verb: str) -> None:
        """Spans and counts, and numbers that are none to who wrote them."""
        for key in ("within", "not_within", "more_than_ago"):
            if key in item and not _SPAN.fullmatch(str(item[key])):
                self._problem(item, key, f"'{item[key]}' is no span such as 90 days or 36 hours")
        between = item.get("between", ["1 day", "2 days"])
        if not isinstance(between, list) or [bool(_SPAN.fullmatch(str(end))) for end in between] != [True, True]:
            self._problem(item, "between", "between is a pair of spans, the nearer first, such as [30 days, 60 days]")
        for key in ("at_least", "at_most", "exactly") if verb == "did" else ():
            if not isinstance(item.get(key, 0), int) or isinstance(item.get(key), bool) or item.get(key, 0) < 0:
                self._problem(item, key, f"{key} is a whole number from 0")
        if any(map(_has_leading_zero, _values(item))):
            self._problem(item, verb, "a number that begins with 0 is a text: write it in quotes")

    def _check_name(self, item: CommentedMap, verb: str) -> None:
        name = item[verb]
        if verb == "trait":
            if name not in self.known.columns:
                self._problem(item, verb, f"'{name}' is no trait: no column of profiles")
            elif len(item) == 1:
                self._problem(item, verb, f"say what {name} has to be, such as equals or at_least")
        elif verb in ("in_audience", "not_in_audience"):
            if name not in self.known.audiences:
                self._problem(item, verb, f"'{name}' is no audience")
        elif name not in self.known.events:
            self._problem(item, verb, f"'{name}' is no event of the tracking plan")
        else:
            for key in ("where", "same"):
                given = item.get(key) or []
                if not isinstance(given, dict | list):
                    self._problem(item, key, f"{key} names properties of {name}")
                    continue
                for path in given:
                    if path not in self.known.events[name]:
                        self._problem(
                            given if isinstance(given, CommentedMap) else item,
                            path if isinstance(given, CommentedMap) else key,
                            f"'{path}' is no property of {name}",
                        )
                    for operator in given[path] if key == "where" and isinstance(given[path], dict) else ():
                        if operator not in _OPERATORS:
                            self._problem(
                                given[path],
                                operator,
                                f"'{operator}' is no condition; there are {', '.join(_OPERATORS)}",
                            )


def _values(value: Any) -> Iterable[Any]:
    """The values that stand in a condition, those of inner conditions left out."""
    if isinstance(value, dict):
        yield from (found for key, inner in value.items() if key not in _LISTS for found in _values(inner))
    elif isinstance(value, list):
        yield from (found for inner in value for found in _values(inner))
    else:
        yield value


def _has_leading_zero(value: Any) -> bool:
    # ruamel.yaml keeps how wide a number was written where it began with 0.
    return isinstance(value, ScalarInt) and getattr(value, "_width", None) is not None


def _flow(**values: Any) -> CommentedMap:
    mapping = CommentedMap(values)
    mapping.fa.set_flow_style()
    return mapping


def _comment(text: str) -> Iterable[str]:
    return [f"-- {line}" for line in textwrap.wrap(text, 115)]


def _literal(value: Any) -> str:
    """A value of YAML as Jinja writes it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_literal(key)}: {_literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_literal(item) for item in value)}]"
    return "'" + json.dumps(str(value), ensure_ascii=False)[1:-1].replace('\\"', '"').replace("'", "\\'") + "'"
