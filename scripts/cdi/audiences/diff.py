"""Who would enter and leave audiences if the definitions of one git revision were replaced by another's."""

from __future__ import annotations

import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

from cdi.audiences.forms import forms, require_compiled
from cdi.audiences.members import audiences_of, building_first, conditions_of, members_sql, whole
from cdi.dbt import load_manifest, run_dbt
from cdi.errors import UsageError
from cdi.project import Project
from cdi.warehouse import Warehouse, connect

WORKING_TREE = "the working tree"


@dataclass(frozen=True)
class AudienceChange:
    """An audience whose definition differs: who is in only one of the two, by today's rows."""

    audience: str
    before: int | None
    """Its size by the first definition; None where there was none."""
    after: int | None
    entering: int
    leaving: int
    examples: tuple[tuple[str, str], ...]
    """(enters or leaves, profile_id) of a few."""


def audience_changes(project: Project, first: str, second: str | None = None) -> list[AudienceChange]:
    """Compare the audiences of a git revision with those of another, or of the files as they are.

    Both definitions are evaluated by the macros and on the tables that are there now; an audience whose conditions,
    those of audiences that it names included, are the same is left out.
    """
    now = load_manifest(project)
    if second is None:
        require_compiled(project.root, now, [path.stem for path in forms(project.root)])
    with _manifest_at(project, first) as (old_project, old), _manifest_at(project, second, now) as (new_project, new):
        pairs = [
            (name, _definition(old, name), _definition(new, name))
            for name in sorted({*audiences_of(old), *audiences_of(new)})
        ]
        statements = [
            (
                name,
                _sql(old_project, old, project, now, f"{name} of {first}", before),
                _sql(new_project, new, project, now, f"{name} of {second or WORKING_TREE}", after),
            )
            for name, before, after in pairs
            if before != after
        ]
    with connect(project) as warehouse:
        return [_change(warehouse, name, before, after) for name, before, after in statements]


def _definition(manifest: Any, name: str) -> Any:
    """The conditions of an audience, those of audiences that it names included; SQL that was written by hand; None."""
    audiences = audiences_of(manifest)
    if name not in audiences:
        return None
    conditions = conditions_of(audiences[name])
    return audiences[name].raw_code if conditions is None else whole(conditions, audiences)


def _sql(at: Project, manifest: Any, project: Project, now: Any, place: str, definition: Any) -> str | None:
    if definition is None:
        return None
    if isinstance(definition, str):
        return run_dbt(at, ["compile", "--select", place.split()[0]], None, manifest).nodes[-1].compiled
    return members_sql(project, now, definition, f"audience {place}")[0]


def _change(warehouse: Warehouse, name: str, before: str | None, after: str | None) -> AudienceChange:
    nobody = "select profile_id from (select cast('' as text) as profile_id) as nobody where false"
    both = (
        f"with earlier as (select distinct profile_id from ({before or nobody}\n) as m),"
        f" later as (select distinct profile_id from ({after or nobody}\n) as m),"
        " entering as (select profile_id from later except select profile_id from earlier),"
        " leaving as (select profile_id from earlier except select profile_id from later)"
    )
    with building_first(name):
        counts = warehouse.query(
            f"{both} select (select count(*) from earlier), (select count(*) from later),"
            " (select count(*) from entering), (select count(*) from leaving)"
        )[0]
    examples = warehouse.query(
        f"{both} select 'enters' as what, profile_id from entering union all select 'leaves', profile_id from leaving"
        " order by what, profile_id limit 6"
    )
    return AudienceChange(
        audience=name,
        before=counts[0] if before else None,
        after=counts[1] if after else None,
        entering=counts[2],
        leaving=counts[3],
        examples=tuple(examples),
    )


@contextmanager
def _manifest_at(project: Project, revision: str | None, manifest: Any = None) -> Iterator[tuple[Project, Any]]:
    """The project as it is at a git revision, in a folder of its own, and its manifest."""
    if revision is None:
        yield project, manifest or load_manifest(project)
        return
    try:
        done = subprocess.run(
            ["git", "archive", "--format=tar", "--end-of-options", revision], cwd=project.root, capture_output=True,
            check=False,
        )  # fmt: skip
    except FileNotFoundError:
        raise UsageError("git is not installed, and it is git that knows revisions.", "Install git.") from None
    if done.returncode:
        raise UsageError(f"git cannot show {revision}: {done.stderr.decode().strip()}")
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
            archive.extractall(folder, filter="data")
        there = replace(project, root=Path(folder))
        yield there, load_manifest(there)
