"""What the rules as edited in seeds/ would change, found by building everything up to the audiences in scratch schemas.

Two sets of them: `plan_...` holds all models by the edited rules, from the same raw tables; `plan_before_...` holds
only what reads the identity graph, built from the graph in force. So both sides count their windows back from the same
moment and are built by the same models, and what differs is what the rules do.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from cdi.audiences import is_audience
from cdi.dbt import load_manifest, run_dbt
from cdi.errors import CdiError, GateError, UsageError, WarehouseError
from cdi.identity.tables import IdentityTables
from cdi.moments import moment_in_utc
from cdi.project import Project
from cdi.warehouse import Warehouse, connect, now, quote

log = logging.getLogger(__name__)

EXAMPLES = 5

_PREDICTED = "path:models/predictions+"
"""Predictions, and the audiences that use them: who is in these depends on what is learned next."""
_UNTESTED = ("--resource-type", "model", "--resource-type", "seed")
_ONE_FOR_A_TYPE = ("type", "match_threshold")
_REGISTRY = "cdi.plan_schemas"


@dataclass(frozen=True)
class RuleChange:
    """A rule that differs: `before` is empty for a new one, `after` for one that is gone."""

    rule: str
    identifier_type: str | None
    before: dict[str, str | None]
    after: dict[str, str | None]


@dataclass(frozen=True)
class Count:
    """How many there are by the rules in force and as edited, and how many are on one side only."""

    name: str
    before: int = 0
    after: int = 0
    appear: int = 0
    disappear: int = 0
    examples_appear: list[str] = field(default_factory=list)
    examples_disappear: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class RegroupedProfile:
    """A profile that holds identifiers of several profiles of the other side."""

    profile_id: str
    first_identifier: str
    parts: int
    identifiers: int


@dataclass(frozen=True)
class Regrouping:
    """Merges: profiles as edited that hold several in force. Splits: profiles in force that fall into several."""

    profiles: int = 0
    parts: int = 0
    """Profiles of the other side that they are made of or fall into."""
    examples: list[RegroupedProfile] = field(default_factory=list)


@dataclass(frozen=True)
class AudienceChange:
    """Who would enter and who would leave an audience; a person is followed through merges and splits."""

    name: str
    before: int
    after: int
    enter: int
    leave: int
    joined: int
    """Members in force that are one person with another member as edited."""
    examples_enter: list[str]
    examples_leave: list[str]
    """Each the first identifier of a person."""


@dataclass
class Plan:
    """What the edited rules would change."""

    as_of: str
    rules: list[RuleChange] = field(default_factory=list)
    identifiers: Count = field(default_factory=lambda: Count("identifiers"))
    profiles: Count = field(default_factory=lambda: Count("profiles"))
    merges: Regrouping = field(default_factory=Regrouping)
    splits: Regrouping = field(default_factory=Regrouping)
    audiences: list[AudienceChange] = field(default_factory=list)
    unbuilt_events: int = 0
    """Events that landed after the last build: the side as edited has them, the side in force does not."""
    kept: list[str] = field(default_factory=list)
    """The scratch schemas, where they were kept."""


@dataclass(frozen=True)
class Scratch:
    """The scratch schemas of a plan, beside those in use."""

    project: Project
    folder: Path
    """For what dbt parsed, so that the next plan need not parse."""
    manifest: Any
    as_of: str
    sides: dict[str, Any] = field(default_factory=dict)
    """The manifest of each side, once it was parsed."""

    @property
    def prefix(self) -> str:
        """What the project puts before the names of schemas."""
        node = next(node for node in self.manifest.nodes.values() if node.name == "identity_graph")
        return node.schema.removesuffix(node.config.schema)

    def schemas(self) -> list[str]:
        """All schemas that a plan may make."""
        names = {
            node.schema.removeprefix(self.prefix)
            for node in self.manifest.nodes.values()
            if node.resource_type in ("model", "seed")
        }
        return sorted(f"{side}{self.prefix}{name}" for name in names for side in ("plan_", "plan_before_"))

    def build(self, side: str, *arguments: str) -> IdentityTables:
        """Run dbt for one side; raises CdiError naming the first model that failed."""
        variables = {"schema_prefix": side + self.prefix, "as_of": self.as_of}
        result = run_dbt(
            self.project,
            ["build", "--full-refresh", *arguments, "--target-path", str(self.folder / side)],
            variables,
            self.sides.get(side),
        )
        self.sides[side] = result.manifest
        if failed := [node for node in result.nodes if node.failed]:
            first = failed[0]
            reason = " ".join(first.message.split())
            if first.resource_type == "test":
                raise GateError(
                    f"The rules as edited fail the test {first.name}: {reason}",
                    "Mend the file in seeds/ that it names. Nothing in use was touched.",
                )
            raise CdiError(
                f"{first.name} could not be built for the plan: {reason}",
                "Nothing in use was touched. See logs/dbt.log for the statement.",
            )
        if not result.success:
            raise CdiError("dbt did not finish the plan.", "Nothing in use was touched. See logs/dbt.log.")
        return IdentityTables.of(result.manifest)


def plan(project: Project, as_of: str | None = None, keep: bool = False, console: Console | None = None) -> Plan:
    """Build both sides in scratch schemas and compare them; the schemas are dropped at the end unless `keep`.

    Where no rule differs, nothing but the rules is built. Raises UsageError where nothing has been built yet or a
    scratch schema's name is taken, GateError where the edited rules fail their tests, CdiError where a model fails.
    """
    moment = (moment_in_utc(as_of, "--as-of") if as_of else now()).strftime("%Y-%m-%d %H:%M:%S")
    folder = Path(os.environ.get("DBT_TARGET_PATH", project.root / "target")) / "identity_plan"
    in_use = folder / "in_use"
    with _alone(project):
        manifest = load_manifest(project)
        manifest.write(str(in_use / "manifest.json"))
        scratch = Scratch(project, folder, manifest, moment)
        real = IdentityTables.of(manifest)
        answer = Plan(moment)
        with connect(project) as warehouse:
            real.require(warehouse, "identity_graph", "events", "identifier_rules", *_audiences(manifest))
            _claim(warehouse, scratch.schemas())
        try:
            with _status(console, "Comparing the rules"):
                edited = scratch.build(
                    "plan_", "--select", "+identifier_rules", "--indirect-selection", "cautious",
                    "--exclude-resource-type", "unit_test",
                )  # fmt: skip
                with connect(project) as warehouse:
                    answer.rules = _rules(warehouse, real, edited)
            if not answer.rules:
                return answer
            with _status(console, "Building by the rules as edited"):
                scratch.build(
                    "plan_", "--select", "+path:models/audiences", "+path:models/identity",
                    "--exclude", "path:models/activation", _PREDICTED, *_UNTESTED,
                )  # fmt: skip
            with _status(console, "Building by the rules in force"):
                before = scratch.build(
                    "plan_before_", "--select", "identity_graph+,+path:models/audiences",
                    "--exclude", "path:models/identity", _PREDICTED,
                    "--defer", "--favor-state", "--state", str(in_use), *_UNTESTED,
                )  # fmt: skip
            with _status(console, "Comparing"), connect(project) as warehouse:
                _compare(warehouse, real, before, edited, _audiences(manifest), answer)
            return answer
        finally:
            _leave(project, scratch.schemas(), keep, answer)


@contextmanager
def _alone(project: Project) -> Iterator[None]:
    """One plan at a time. An open DuckDB file would lock out dbt as well; there, dbt's own lock is what there is."""
    if project.dialect == "duckdb":
        yield
        return
    with connect(project) as warehouse, warehouse.lock("identity plan"):
        yield


def _status(console: Console | None, words: str):
    return console.status(words) if console else nullcontext()


def _schema_exists(warehouse: Warehouse, name: str) -> bool:
    return bool(
        warehouse.query("select 1 from information_schema.schemata where schema_name = $name limit 1", {"name": name})
    )


def _claim(warehouse: Warehouse, schemas: list[str]) -> None:
    """Write down which schemas are scratch, and drop what an earlier plan left; never a schema that is not ours."""
    warehouse.execute("create schema if not exists cdi")
    warehouse.execute(f"create table if not exists {_REGISTRY} (schema_name text)")
    ours = {row[0] for row in warehouse.query(f"select schema_name from {_REGISTRY}")}
    for name in schemas:
        if name not in ours and _schema_exists(warehouse, name):
            raise UsageError(
                f"The schema {name} is there already, and no plan made it.",
                "The plan builds in schemas of that name: rename yours, or set another schema_prefix.",
            )
    _drop(warehouse, [name for name in schemas if name in ours])
    for name in schemas:
        warehouse.execute(f"insert into {_REGISTRY} values ($name)", {"name": name})


def _drop(warehouse: Warehouse, schemas: list[str]) -> None:
    for name in schemas:
        warehouse.execute(f"drop schema if exists {quote(name)} cascade")
        warehouse.execute(f"delete from {_REGISTRY} where schema_name = $name", {"name": name})


def _leave(project: Project, schemas: list[str], keep: bool, answer: Plan) -> None:
    try:
        with connect(project) as warehouse:
            if not keep:
                _drop(warehouse, schemas)
            answer.kept = [name for name in schemas if _schema_exists(warehouse, name)]
    except WarehouseError as error:
        # The answer is worth more than tidiness: they are written down, and the next plan drops them.
        log.warning("scratch schemas were not dropped", extra={"error": error.message})
        answer.kept = schemas


def _rules(warehouse: Warehouse, real: IdentityTables, edited: IdentityTables) -> list[RuleChange]:
    names = [
        name
        for name in warehouse.column_names(*edited.relation("identifier_rules"))
        if name in warehouse.column_names(*real.relation("identifier_rules"))
    ]
    columns = ", ".join(f"cast({quote(name)} as text) as {quote(name)}" for name in names)
    one, other = (f"select {columns} from {tables['identifier_rules']}" for tables in (real, edited))
    sides = [
        [dict(zip(names, row, strict=True)) for row in warehouse.query(f"{first} except {second} order by 1, 2, 3")]
        for first, second in ((one, other), (other, one))
    ]
    gone, new = ([_without_nulls(row) for row in side] for side in sides)
    # There is one rule for a type: what is gone and what is new for it are one change.
    single = {(row["rule"], row.get("identifier_type")): row for row in new if row["rule"] in _ONE_FOR_A_TYPE}
    changed = [(row, single.get((row["rule"], row.get("identifier_type")), {})) for row in gone]
    matched = [after for _, after in changed]
    changed += [({}, row) for row in new if row not in matched]
    return [
        RuleChange((after or before)["rule"], (after or before).get("identifier_type"), before, after)
        for before, after in changed
    ]


def _without_nulls(row: dict[str, Any]) -> dict[str, str | None]:
    return {name: value for name, value in row.items() if value is not None}


def _audiences(manifest: Any) -> list[str]:
    return sorted(
        node.name for node in manifest.nodes.values() if is_audience(node) and not _is_predicted(manifest, node)
    )


def _is_predicted(manifest: Any, node: Any) -> bool:
    """Whether an audience, or one that it is made of, uses predictions."""
    parents = [manifest.nodes[name] for name in node.depends_on.nodes if name in manifest.nodes]
    return any(
        parent.fqn[1] == "predictions" or (parent.fqn[1] == "audiences" and _is_predicted(manifest, parent))
        for parent in parents
    )


def _compare(
    warehouse: Warehouse,
    real: IdentityTables,
    before: IdentityTables,
    edited: IdentityTables,
    audiences: list[str],
    answer: Plan,
) -> None:
    schema = edited.relation("identity_graph")[0]
    both, successors = quote(schema, "plan_identifiers"), quote(schema, "plan_successors")
    warehouse.execute(
        f"""
        create table {both} as
        select
            coalesce(edited.identifier, in_force.identifier) as identifier,
            in_force.arrival as arrival_before,
            in_force.profile_id as profile_id_before,
            md5(in_force.identifier) = in_force.profile_id as is_first_before,
            edited.profile_id as profile_id_after,
            md5(edited.identifier) = edited.profile_id as is_first_after
        from {real["identity_graph"]} as in_force
        full outer join {edited["identity_graph"]} as edited on in_force.identifier = edited.identifier
        """
    )
    # A profile lives on in the one that holds its first identifier that is left: that of its id, unless it is blocked.
    warehouse.execute(
        f"""
        create table {successors} as
        select profile_id_before, profile_id_after
        from (
            select
                profile_id_before,
                profile_id_after,
                row_number() over (partition by profile_id_before order by arrival_before, identifier) as place
            from {both}
            where profile_id_before is not null and profile_id_after is not null
        ) as places
        where place = 1
        """
    )
    if warehouse.dialect == "postgres":
        warehouse.execute(f"analyze {both}")
        warehouse.execute(f"analyze {successors}")
    answer.identifiers = _count_identifiers(warehouse, both)
    answer.profiles = _count_profiles(warehouse, both)
    answer.merges = _regrouping(warehouse, both, "after", "before")
    answer.splits = _regrouping(warehouse, both, "before", "after")
    for name in audiences:
        # What does not read the graph was not built for the side in force: there the one in use is that side.
        relation = before if before.exists(warehouse, name) else real
        if "profile_id" in warehouse.column_names(*edited.relation(name)):
            answer.audiences.append(_audience(warehouse, name, relation[name], edited[name], both, successors))
    answer.unbuilt_events = warehouse.query(
        f"select count(*) from {edited['events']} as edited"
        f" where not exists (select 1 from {real['events']} as built where built.event_id = edited.event_id)"
    )[0][0]


def _count_identifiers(warehouse: Warehouse, both: str) -> Count:
    numbers = warehouse.query(
        "select count(profile_id_before), count(profile_id_after),"
        " count(case when profile_id_before is null then 1 end), count(case when profile_id_after is null then 1 end)"
        f" from {both}"
    )[0]
    examples = [
        [
            row[0]
            for row in warehouse.query(
                f"select identifier from {both} where profile_id_{side} is null order by 1 limit {EXAMPLES}"
            )
        ]
        for side in ("before", "after")
    ]
    return Count("identifiers", *numbers, *examples)


def _count_profiles(warehouse: Warehouse, both: str) -> Count:
    numbers = warehouse.query(
        f"""
        select count(in_force), count(edited), count(case when in_force is null then 1 end),
            count(case when edited is null then 1 end)
        from (select distinct profile_id_before as in_force from {both} where profile_id_before is not null) as one
        full outer join (
            select distinct profile_id_after as edited from {both} where profile_id_after is not null
        ) as other on one.in_force = other.edited
        """
    )[0]
    return Count("profiles", *numbers)


def _regrouping(warehouse: Warehouse, both: str, whole: str, part: str) -> Regrouping:
    """Profiles of one side (before or after) whose identifiers are in several profiles of the other."""
    regrouped = (
        f"select profile_id_{whole} as profile_id, count(distinct profile_id_{part}) as parts,"
        f" count(*) as identifiers from {both}"
        f" where profile_id_{whole} is not null and profile_id_{part} is not null"
        f" group by 1 having count(distinct profile_id_{part}) > 1"
    )
    profiles, parts = warehouse.query(f"select count(*), coalesce(sum(parts), 0) from ({regrouped}) as regrouped")[0]
    examples = warehouse.query(
        f"""
        select regrouped.profile_id, coalesce(both_sides.identifier, ''), regrouped.parts, regrouped.identifiers
        from ({regrouped}) as regrouped
        left join {both} as both_sides
            on regrouped.profile_id = both_sides.profile_id_{whole} and both_sides.is_first_{whole}
        order by regrouped.parts desc, 1
        limit {EXAMPLES}
        """
    )
    return Regrouping(profiles, int(parts), [RegroupedProfile(*row) for row in examples])


def _audience(
    warehouse: Warehouse, name: str, in_force: str, edited: str, both: str, successors: str
) -> AudienceChange:
    members = f"""
        with was as (
            select members.profile_id, successors.profile_id_after
            from {in_force} as members
            left join {successors} as successors on members.profile_id = successors.profile_id_before
        ),
        entering as (
            select profile_id from {edited} as members
            where not exists (select 1 from was where was.profile_id_after = members.profile_id)
        ),
        leaving as (
            select profile_id from was
            where not exists (select 1 from {edited} as members where members.profile_id = was.profile_id_after)
        )
    """
    numbers = warehouse.query(
        f"""
        {members}
        select
            (select count(*) from was),
            (select count(*) from {edited}),
            (select count(*) from entering),
            (select count(*) from leaving),
            (select count(profile_id_after) - count(distinct profile_id_after) from was)
        """
    )[0]
    examples = [
        [
            row[0]
            for row in warehouse.query(
                f"{members} select identifier from {both} where is_first_{side} and profile_id_{side} in"
                f" (select profile_id from {moving}) order by 1 limit {EXAMPLES}"
            )
        ]
        for moving, side in (("entering", "after"), ("leaving", "before"))
    ]
    return AudienceChange(name, *numbers, *examples)
