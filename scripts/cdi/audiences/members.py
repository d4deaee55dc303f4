"""Who meets an audience's conditions, found in the warehouse without building anything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from cdi.audiences import is_audience
from cdi.dbt import run_dbt
from cdi.errors import CdiError, UsageError
from cdi.project import Project
from cdi.warehouse import MISSING, first_line

Conditions = list[dict[str, Any]]
_NEXT = "-- the next statement"


def audiences_of(manifest: Any) -> dict[str, Any]:
    """The audiences of a manifest: name to node."""
    return {
        node.name: node for node in sorted(manifest.nodes.values(), key=lambda node: node.name) if is_audience(node)
    }


def conditions_of(node: Any) -> Conditions | None:
    """The conditions of an audience; None where its SQL was written by hand."""
    tree = node.config.meta.get("audience")
    return tree["conditions"] if tree else None


def whole(conditions: Iterable[Mapping[str, Any]], audiences: Mapping[str, Any]) -> Conditions:
    """Conditions in which other audiences stand with their own conditions, but for those written by hand."""
    found: Conditions = []
    for condition in conditions:
        inner = conditions_of(audiences[condition["audience"]]) if condition.get("audience") in audiences else None
        if "conditions" in condition:
            found.append({**condition, "conditions": whole(condition["conditions"], audiences)})
        elif inner is not None:
            inside = {"condition": "all_of", "conditions": whole(inner, audiences)}
            is_in = condition["condition"] == "in_audience"
            found.append(inside if is_in else {"condition": "none_of", "conditions": [inside]})
        else:
            found.append(dict(condition))
    return found


def members_sql(
    project: Project, manifest: Any, conditions: Conditions, file: str, moments: Sequence[datetime | None] = (None,)
) -> list[str]:
    """A select of the profile_ids that meet the conditions at each moment (None: now).

    Raises CdiError naming `file` and the condition where one is wrong.
    """
    calls = [
        "{{ cdi.audience_members(var('preview_conditions'), var('preview_file')"
        + (f", as_of=\"cast('{moment:%Y-%m-%d %H:%M:%S}' as timestamp)\"" if moment else "")
        + ") }}"
        for moment in moments
    ]
    variables = {"preview_conditions": conditions, "preview_file": file}
    result = run_dbt(project, ["compile", "--inline", f"\n{_NEXT}\n".join(calls)], variables, manifest)
    return [statement.strip() for statement in result.nodes[-1].compiled.split(_NEXT)]


@contextmanager
def building_first(name: str) -> Iterator[None]:
    """Say what to do where a statement inside finds that a table or column which an audience asks for is not there."""
    try:
        yield
    except MISSING as error:
        raise CdiError(
            f"{name} asks for something that has not been built yet: {first_line(error)}",
            "Build it first, with `dbt build --select` or `cdi run`.",
        ) from None


def audience_node(manifest: Any, name: str) -> Any:
    """The node of an audience; raises UsageError with the names that there are."""
    audiences = audiences_of(manifest)
    if name not in audiences:
        raise UsageError(f"There is no audience {name}.", f"There are {', '.join(audiences)}.")
    return audiences[name]
