"""What an audience is like before it is built: size, trend, channels, overlap and a sample."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cdi.audiences.forms import require_compiled
from cdi.audiences.members import (
    audience_node,
    audiences_of,
    building_first,
    conditions_of,
    members_sql,
    whole,
)
from cdi.dbt import load_manifest, run_dbt
from cdi.errors import CdiError
from cdi.pii import marks
from cdi.project import Project
from cdi.warehouse import Warehouse, connect, quote

MEMBERS = "cdi_previewed_members"


@dataclass(frozen=True)
class Overlap:
    """Another audience, and how many are in both."""

    audience: str
    size: int
    shared: int


@dataclass
class Preview:
    """What an audience is like."""

    name: str
    description: str
    size: int
    profiles: int
    """How many profiles there are."""
    size_built: int | None
    """Its size as it was last built; None where it never was."""
    trend: list[tuple[datetime, int]] = field(default_factory=list)
    """Size at past moments, by the events up to then."""
    channels: list[tuple[str, int]] = field(default_factory=list)
    """Members by channel that they were ever seen on, and by how they can be reached."""
    overlaps: list[Overlap] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    sample: list[tuple[Any, ...]] = field(default_factory=list)


def preview(
    project: Project, name: str, weeks: int = 8, sample: int = 10, personal: bool = False, manifest: Any = None
) -> Preview:
    """Evaluate an audience as its file says now. What it asks about (`profiles`, events, other audiences written by
    hand) must have been built; the audience and the computed traits that it asks for need not.

    personal: whether columns with personal data (meta.pii) are in the sample.
    """
    manifest = manifest or load_manifest(project)
    require_compiled(project.root, manifest, [name])
    node = audience_node(manifest, name)
    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    moments = [now - timedelta(weeks=number) for number in range(weeks, 0, -1)]
    conditions = conditions_of(node)
    if conditions is None:
        moments = []
        statements = [run_dbt(project, ["compile", "--select", name], None, manifest).nodes[-1].compiled]
    else:
        everything = whole(conditions, audiences_of(manifest))
        statements = members_sql(project, manifest, everything, node.original_file_path, [None, *moments])
    with connect(project) as warehouse:
        profiles = _relation(manifest, "profiles")
        if not warehouse.relation_exists(*profiles):
            raise CdiError("The profiles have not been built yet.", "Run `cdi run` or `dbt build` once.")
        with building_first(name):
            warehouse.execute(
                f"create temporary table {MEMBERS} as select distinct profile_id from ({statements[0]}\n) as m"
            )
        size = _count(warehouse, MEMBERS)
        built = warehouse.relation_exists(node.schema, node.alias)
        answer = Preview(
            name=name,
            description=node.description,
            size=size,
            profiles=_count(warehouse, quote(*profiles)),
            size_built=_count(warehouse, quote(node.schema, node.alias)) if built else None,
            trend=[(at, _count(warehouse, f"({sql}\n) as m")) for at, sql in zip(moments, statements[1:], strict=True)],
            channels=_channels(warehouse, manifest),
            overlaps=_overlaps(warehouse, manifest, name),
        )
        if conditions is not None:
            answer.trend.append((now, size))
        hidden = {} if personal else marks(manifest)[profiles]
        wanted = node.config.meta["audience"]["columns"] if conditions is not None else []
        there = warehouse.column_names(*profiles)
        answer.columns = ["profile_id", *(column for column in wanted if column in there and not hidden.get(column))]
        columns = ", ".join(f"profiles.{quote(column)}" for column in answer.columns)
        answer.sample = warehouse.query(
            f"select {columns} from {quote(*profiles)} as profiles inner join {MEMBERS} as members"
            " on profiles.profile_id = members.profile_id order by profiles.profile_id limit $count",
            {"count": sample},
        )
        return answer


def _relation(manifest: Any, name: str) -> tuple[str, str]:
    return next((n.schema, n.alias) for n in manifest.nodes.values() if n.resource_type == "model" and n.name == name)


def _count(warehouse: Warehouse, relation: str) -> int:
    return warehouse.query(f"select count(*) from {relation}")[0][0]


def _channels(warehouse: Warehouse, manifest: Any) -> list[tuple[str, int]]:
    activity, graph = (quote(*_relation(manifest, name)) for name in ("identifier_activity", "identity_graph"))
    seen = warehouse.query(
        f"select activity.channel, count(distinct graph.profile_id) from {activity} as activity"
        f" inner join {graph} as graph on activity.identifier = graph.identifier"
        f" inner join {MEMBERS} as members on graph.profile_id = members.profile_id"
        " where activity.channel is not null group by 1 order by 2 desc, 1"
    )
    emails, phones, subscribers = warehouse.query(
        "select count(profiles.email), count(profiles.phone),"
        " count(case when profiles.is_newsletter_subscriber then 1 end)"
        f" from {quote(*_relation(manifest, 'profiles'))} as profiles"
        f" inner join {MEMBERS} as members on profiles.profile_id = members.profile_id"
    )[0]
    reached = [("with an e-mail address", emails), ("with a phone number", phones), ("newsletter", subscribers)]
    return [*((f"seen: {channel}", count) for channel, count in seen), *reached]


def _overlaps(warehouse: Warehouse, manifest: Any, name: str) -> list[Overlap]:
    found = []
    for other, node in audiences_of(manifest).items():
        if other == name or not warehouse.relation_exists(node.schema, node.alias):
            continue
        size, shared = warehouse.query(
            "select count(*), count(members.profile_id) from (select distinct profile_id from"
            f" {quote(node.schema, node.alias)}) as other left join {MEMBERS} as members"
            " on other.profile_id = members.profile_id"
        )[0]
        found.append(Overlap(other, size, shared))
    return sorted(found, key=lambda overlap: (-overlap.shared, overlap.audience))
