"""What changed between two states of the plan, and whom it breaks."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cdi.errors import UsageError
from cdi.plan.files import FOLDER, plan_of, read_plan
from cdi.plan.lineage import Lineage, Users
from cdi.plan.model import PlannedEvent, Property

WORKING_TREE = "the working tree"


@dataclass(frozen=True)
class Change:
    """One change of the plan."""

    event: str
    model: str
    what: str
    """In words."""
    breaks: bool
    """Whether events that were fine are not any more, or something that could be queried is gone."""
    column: str | None = None
    """The column it is about; None for the event as a whole."""
    path: str | None = None
    event_name: str | None = None


@dataclass(frozen=True)
class Effect:
    """A change and who uses what it changes."""

    change: Change
    users: Users


def plan_at(root: Path, revision: str | None) -> list[PlannedEvent]:
    """The plan as it is at a git revision, or in the files where none is given; raises UsageError for no revision."""
    if revision is None:
        return read_plan(root)
    names = _git(root, "ls-tree", "-r", "--name-only", "--end-of-options", revision, "--", f"{FOLDER.as_posix()}/")
    files = {
        f"{revision}:{name}": _git(root, "show", "--end-of-options", f"{revision}:./{name}")
        for name in names.splitlines()
        if name.endswith((".yml", ".yaml"))
    }
    return plan_of(files)


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise UsageError("git is not installed.", "`cdi plan diff` compares git revisions.") from None
    if done.returncode:
        reason = done.stderr.strip().split("\n", 1)[0].removeprefix("fatal: ")
        raise UsageError(f"git cannot show that: {reason}.", "Name a commit, branch or tag of this repository.")
    return done.stdout


def compare(before: Iterable[PlannedEvent], after: Iterable[PlannedEvent]) -> list[Change]:
    """What changed from one plan to another."""
    old = {(item.type, item.event, item.version): item for item in before}
    new = {(item.type, item.event, item.version): item for item in after}
    changes = []
    for key in sorted({*old, *new}, key=str):
        one, other = old.get(key), new.get(key)
        if one and other:
            changes += _compare_events(one, other)
        elif item := one or other:
            what = "is planned no more: such events are unplanned" if one else "is planned"
            changes.append(Change(item.title, item.model, what, bool(one), event_name=item.event))
    return changes


def _compare_events(one: PlannedEvent, other: PlannedEvent) -> Iterator[Change]:
    def change(what: str, breaks: bool, column: str | None = None, path: str | None = None) -> Change:
        return Change(other.title, one.model, what, breaks, column, path, one.event)

    if one.model != other.model:
        yield change(f"its model is called {other.model} now", True)
    for name, words in (
        ("owner", "owner"),
        ("on_violation", "policy"),
        ("unplanned_properties", "unplanned properties"),
    ):
        was, now = getattr(one, name), getattr(other, name)
        if was != now:
            yield change(
                f"{words}: {was or 'none'} → {now or 'none'}", name != "owner" and now in ("quarantine", "drop")
            )
    old = {item.path: item for item in one.properties}
    new = {item.path: item for item in other.properties}
    for path in sorted({*old, *new}):
        was, now = old.get(path), new.get(path)
        if was is None and now is not None:
            words = " and required" if now.required else ""
            yield change(f"{path} is planned{words}", now.required, now.column, path)
        elif now is None and was is not None:
            yield change(f"{path} is planned no more", True, _column(one, was), path)
        elif was is not None and now is not None:
            for what, breaks in _compare_properties(was, now):
                yield change(f"{path}: {what}", breaks, _column(one, was), path)


def _column(planned: PlannedEvent, item: Property) -> str | None:
    """The column that a property is in, of what lies inside another that one's."""
    if item.column:
        return item.column
    holder = planned.property(item.path.split("[")[0].split(".")[0])
    return holder.column if holder else None


def _compare_properties(was: Property, now: Property) -> Iterator[tuple[str, bool]]:
    if was.column != now.column:
        yield f"column {was.column} → {now.column}", True
    if was.data_type != now.data_type:
        yield f"column type {was.data_type} → {now.data_type}", True
    if set(was.json_types) != set(now.json_types):
        breaks = "any" not in now.json_types and not set(was.json_types) <= set(now.json_types)
        yield f"type {' or '.join(was.json_types)} → {' or '.join(now.json_types)}", breaks
    if was.required != now.required:
        yield ("is required now" if now.required else "is required no more"), now.required
    if was.allowed_values != now.allowed_values:
        gone = [value for value in was.allowed_values if value not in now.allowed_values]
        fewer = bool(now.allowed_values) and (not was.allowed_values or bool(gone))
        yield (
            f"allowed values {_list(was.allowed_values)} → {_list(now.allowed_values)}", fewer
        )  # fmt: skip
    if was.pattern != now.pattern:
        yield f"pattern {was.pattern or 'none'} → {now.pattern or 'none'}", now.pattern is not None
    for name, sign in (("minimum", 1), ("min_length", 1), ("maximum", -1), ("max_length", -1)):
        one, other = getattr(was, name), getattr(now, name)
        if one != other:
            narrower = other is not None and (one is None or (other - one) * sign > 0)
            yield f"{name} {_none(one)} → {_none(other)}", narrower
    if was.on_violation != now.on_violation:
        text = str(now.on_violation)
        yield (
            f"policy {was.on_violation or 'none'} → {now.on_violation or 'none'}",
            "quarantine" in text or "drop" in text,
        )
    if was.pii != now.pii:
        yield ("is personal data now" if now.pii else "is personal data no more"), False


def _list(values: tuple) -> str:
    return ", ".join(map(str, values)) or "any"


def _none(value: object) -> str:
    return "none" if value is None else str(value)


def effects(changes: Iterable[Change], lineage: Lineage) -> list[Effect]:
    """Who uses what each change is about."""
    found = []
    for change in changes:
        users = lineage.users_of(change.model, change.column)
        if change.column is None and change.event_name:
            for floor, names in lineage.naming(change.event_name).by_floor.items():
                users.by_floor.setdefault(floor, set()).update(names)
        found.append(Effect(change, users))
    return found
