"""The tables of the identity floor, and the rows of them that concern a few profiles."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import networkx as nx

from cdi.errors import UsageError
from cdi.warehouse import Parameters, Warehouse, quote

Relation = tuple[str, str]
"""Schema and table."""


@dataclass(frozen=True)
class Identifier:
    """An identifier and the profile it belongs to."""

    identifier: str
    type: str
    value: str
    profile_id: str
    arrival: int


@dataclass(frozen=True)
class Link:
    """A link between two identifiers and the first event that carried both."""

    identifier: str
    hub: str
    profile_id: str
    event_id: str
    event_at: datetime | None
    event: str
    """Type and name of the event, such as `track Order Completed`; of a proposal, the matcher and the probability."""
    source: str
    evidence: str = ""
    """Of a proposal: which fields of the two profiles agree how far."""


@dataclass(frozen=True)
class Refusal:
    """A link that was refused, with the profiles that its two ends belong to now."""

    identifier: str
    hub: str
    profile_id: str
    hub_profile_id: str
    limit_type: str
    limit_count: int | None
    limit_window: str
    count_in_profile: int | None
    count_in_hub_profile: int | None
    reason: str
    event_id: str
    event_at: datetime | None
    event: str
    source: str
    evidence: str = ""


@dataclass(frozen=True)
class IdentityTables:
    """Where the tables lie, as the dbt manifest says; what is no model lies beside identity_graph."""

    relations: Mapping[str, Relation]
    beside: str
    """The schema of identity_graph."""

    @classmethod
    def of(cls, manifest: Any) -> IdentityTables:
        """The tables of a manifest."""
        relations = {
            node.name: (node.schema, node.alias)
            for node in manifest.nodes.values()
            if node.resource_type in ("model", "seed")
        }
        relations |= {
            node.name: (node.schema, node.identifier)
            for node in manifest.sources.values()
            if node.source_name == "matcher"
        }
        return cls(relations, relations["identity_graph"][0])

    def relation(self, name: str) -> Relation:
        """Schema and table by the model's name."""
        return self.relations.get(name, (self.beside, name))

    def __getitem__(self, name: str) -> str:
        """The quoted table by the model's name."""
        return quote(*self.relation(name))

    def exists(self, warehouse: Warehouse, name: str) -> bool:
        """Whether the table has been built."""
        return warehouse.relation_exists(*self.relation(name))

    def require(self, warehouse: Warehouse, *names: str) -> None:
        """Raise UsageError for the first table that has not been built."""
        for name in names:
            if not self.exists(warehouse, name):
                raise UsageError(
                    f"{'.'.join(self.relation(name))} is not there: it has not been built yet.",
                    "Build it with `cdi run` or `dbt build`.",
                )


READ = (
    "identity_graph", "identity_links", "identity_refused_links", "events", "identifier_rules", "identity_proposals",
)  # fmt: skip
"""What commands that explain read."""


def find_identifier(warehouse: Warehouse, tables: IdentityTables, text: str) -> Identifier:
    """The identifier that `text` (type:value) names, its value made comparable as the rules in force say.

    A value alone is enough where only one identifier has it. Raises UsageError for what is not there, with what comes
    near: the same value under other types, or in lower case.
    """
    rules = dict(
        warehouse.query(
            f"select identifier_type, normalisation from {tables['identifier_rules']} where rule = 'type'"
            " order by priority"
        )
    )
    type_, colon, value = (part.strip() for part in text.partition(":"))
    type_ = next((name for name in rules if name.lower() == type_.lower()), type_) if colon else ""
    if type_ and (found := _of(warehouse, tables, [f"{type_}:{_comparable(value, rules.get(type_))}"])):
        return found[0]
    values = {text.strip(), value} if colon else {text.strip()}
    spellings = {
        f"{name}:{spelling}"
        for name, normalisation in rules.items()
        for item in values
        for spelling in (item, item.lower(), _comparable(item, normalisation))
    }
    near = _of(warehouse, tables, sorted(spellings))
    if len(near) == 1 and type_ not in rules:
        return near[0]
    if near:
        hint = "Did you mean " + " or ".join(item.identifier for item in near[:5]) + "?"
    elif type_ not in rules:
        hint = f"Write type:value with one of these types: {', '.join(rules)}."
    else:
        hint = "No event carried it, or its value is blocked: see seeds/blocked_identifiers.csv."
    raise UsageError(f"There is no identifier '{text}'.", hint)


def links_of(warehouse: Warehouse, tables: IdentityTables, profiles: Iterable[str]) -> list[Link]:
    """The links with both ends in the same of these profiles, in order of arrival; of parallel links the first."""
    rows = warehouse.query(
        f"""
        with members as (
            select identifier, profile_id from {tables["identity_graph"]} where profile_id = any($profiles)
        ),
        inside as (
            select
                links.identifier, links.hub, members.profile_id, links.event_id, links.event_at, links.loaded_at,
                links.position, row_number() over (
                    partition by least(links.identifier, links.hub), greatest(links.identifier, links.hub)
                    order by links.loaded_at, links.event_at, links.event_id, links.position
                ) as appearance
            from {tables["identity_links"]} as links
            inner join members on links.identifier = members.identifier
            inner join members as hubs on links.hub = hubs.identifier and members.profile_id = hubs.profile_id
            where links.identifier <> links.hub
        )
        select
            inside.identifier, inside.hub, inside.profile_id, coalesce(inside.event_id, ''), inside.event_at,
            {_EVENT}
        from inside
        left join {tables["events"]} as events on inside.event_id = events.event_id
        left join {tables["identity_proposals"]} as proposals on inside.event_id = 'proposal:' || proposals.proposal_id
        where inside.appearance = 1
        order by inside.loaded_at, inside.event_at, inside.event_id, inside.position
        """,
        {"profiles": list(profiles)},
    )
    return [Link(*row[:-1], evidence=evidence_text(row[-1])) for row in rows]


def refusals(
    warehouse: Warehouse, tables: IdentityTables, condition: str, parameters: Parameters, limit: int = 100
) -> list[Refusal]:
    """The first refused links, in order of arrival, that a condition on the columns of `refused` holds for."""
    rows = warehouse.query(
        f"""
        with ends as (select * from {tables["identity_refused_links"]} as refused where {condition})
        select
            ends.identifier, ends.hub, ends.profile_id, ends.hub_profile_id, ends.limit_type, ends.limit_count,
            ends.limit_window, ends.count_in_profile, ends.count_in_hub_profile, ends.reason,
            coalesce(ends.event_id, ''), ends.event_at, {_EVENT}
        from ends
        left join {tables["events"]} as events on ends.event_id = events.event_id
        left join {tables["identity_proposals"]} as proposals on ends.event_id = 'proposal:' || proposals.proposal_id
        order by ends.arrival
        limit {int(limit)}
        """,
        parameters,
    )
    return [Refusal(*row[:-1], evidence=evidence_text(row[-1])) for row in rows]


def forest(links: Iterable[Link]) -> nx.Graph:
    """The minimum spanning forest of links by order of arrival: the links that joined something when they came.

    Edges carry `link` and `rank`, their place in that order.
    """
    graph = nx.Graph()
    for rank, link in enumerate(links):
        graph.add_edge(link.identifier, link.hub, rank=rank, link=link)
    return nx.minimum_spanning_tree(graph, weight="rank")


_EVENT = """
    case
        when events.event_id is null and proposals.proposal_id is not null
            then 'proposal, probability ' || cast(cast(proposals.match_probability as numeric(7, 4)) as text)
        else coalesce(events.type, 'event') || coalesce(' ' || events.event, '')
    end,
    coalesce(events.source, proposals.matcher, ''),
    case when events.event_id is null then proposals.evidence end
"""
"""What a link is from, its source, and what speaks for it: of an event, or of a proposal of the matcher."""

COLUMNS = "identifier, identifier_type, substr(identifier, length(identifier_type) + 2), profile_id, arrival"
"""What an `Identifier` is read from."""


def evidence_text(evidence: str | None) -> str:
    """The evidence of a proposal in words: `email one letter replaced (+8.1), last name the same (+6.2)`."""
    return ", ".join(
        f"{name.replace('_', ' ')} {seen['level']} ({seen['weight']:+.1f})"
        for name, seen in json.loads(evidence or "{}").items()
    )


def _comparable(value: str, normalisation: str | None) -> str:
    """A value as macros/identity/identifiers.sql makes it comparable."""
    if normalisation == "phone":
        return re.sub("^00", "+", re.sub("[^0-9+]", "", value))
    return value.lower() if normalisation == "lower_case" else value


def _of(warehouse: Warehouse, tables: IdentityTables, identifiers: list[str]) -> list[Identifier]:
    rows = warehouse.query(
        f"select {COLUMNS} from {tables['identity_graph']} where identifier = any($identifiers) order by identifier",
        {"identifiers": identifiers},
    )
    return [Identifier(*row) for row in rows]
