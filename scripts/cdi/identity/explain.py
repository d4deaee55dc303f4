"""Why two identifiers are one person or not, and what holds a profile together."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import networkx as nx

from cdi.dbt import load_manifest
from cdi.identity.tables import (
    COLUMNS,
    READ,
    Identifier,
    IdentityTables,
    Link,
    Refusal,
    find_identifier,
    forest,
    links_of,
    refusals,
)
from cdi.project import Project
from cdi.warehouse import Warehouse, connect

LONGEST_CHAIN = 12
"""Refused links that a chain between two profiles is looked for over."""


@dataclass(frozen=True)
class Step:
    """From one identifier to the next, and the link that joined them."""

    start: str
    end: str
    link: Link


@dataclass(frozen=True)
class Why:
    """The answer: `steps` for one profile; `refused` or a `chain` through other profiles for two."""

    first: Identifier
    second: Identifier
    steps: list[Step] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    """Links between the two profiles, in order of arrival."""
    chain: list[Refusal] = field(default_factory=list)
    """Where there is none: one refused link after the other, over other profiles, from the first to the second."""

    @property
    def is_same_profile(self) -> bool:
        """Whether the two identifiers are one person."""
        return self.first.profile_id == self.second.profile_id


@dataclass(frozen=True)
class Profile:
    """A profile's identifiers, its links in order of arrival, and the refused links at its border."""

    profile_id: str
    identifiers: list[Identifier]
    """In order of arrival: the first one gives the profile its id."""
    links: list[Link]
    refused: list[Refusal]
    count_refused: int
    """All of them: `refused` holds the first hundred."""

    @property
    def forest(self) -> nx.Graph:
        """The links that joined something when they came."""
        tree = forest(self.links)
        tree.add_nodes_from(item.identifier for item in self.identifiers)
        return tree


def why(project: Project, first: str, second: str) -> Why:
    """Why two identifiers (type:value) are one profile or not; raises UsageError for one that is not there."""
    tables = IdentityTables.of(load_manifest(project))
    with connect(project, read_only=True) as warehouse:
        tables.require(warehouse, *READ)
        one, other = (find_identifier(warehouse, tables, text) for text in (first, second))
        if one.profile_id == other.profile_id:
            return Why(one, other, steps=_steps(warehouse, tables, one, other))
        profiles = {"one": one.profile_id, "other": other.profile_id}
        direct = refusals(
            warehouse,
            tables,
            "(profile_id = $one and hub_profile_id = $other) or (profile_id = $other and hub_profile_id = $one)",
            profiles,
        )
        chain = [] if direct else _chain(warehouse, tables, one.profile_id, other.profile_id)
        return Why(one, other, refused=direct, chain=chain)


def profile_of(project: Project, identifier: str) -> Profile:
    """The profile that an identifier (type:value) belongs to; raises UsageError for one that is not there."""
    tables = IdentityTables.of(load_manifest(project))
    with connect(project, read_only=True) as warehouse:
        tables.require(warehouse, *READ)
        profile_id = find_identifier(warehouse, tables, identifier).profile_id
        parameters = {"profile_id": profile_id}
        identifiers = warehouse.query(
            f"select {COLUMNS} from {tables['identity_graph']} where profile_id = $profile_id"
            " order by arrival, identifier",
            parameters,
        )
        at_border = "(profile_id = $profile_id or hub_profile_id = $profile_id)"
        count = warehouse.query(
            f"select count(*) from {tables['identity_refused_links']} where {at_border}", parameters
        )[0][0]
        return Profile(
            profile_id=profile_id,
            identifiers=[Identifier(*row) for row in identifiers],
            links=links_of(warehouse, tables, [profile_id]),
            refused=refusals(warehouse, tables, at_border, parameters) if count else [],
            count_refused=count,
        )


def _steps(warehouse: Warehouse, tables: IdentityTables, one: Identifier, other: Identifier) -> list[Step]:
    if one.identifier == other.identifier:
        return []
    tree = forest(links_of(warehouse, tables, [one.profile_id]))
    path = nx.shortest_path(tree, one.identifier, other.identifier)
    return [Step(start, end, tree.edges[start, end]["link"]) for start, end in pairwise(path)]


def _chain(warehouse: Warehouse, tables: IdentityTables, start: str, goal: str) -> list[Refusal]:
    """The shortest chain of refused links between two profiles, one statement for each link of it."""
    # The rows stay in the warehouse: which profiles a refused link lies between, and in which step each is reached.
    warehouse.execute(
        f"""
        create temporary table neighbours as
        select profile_id, hub_profile_id as neighbour from {tables["identity_refused_links"]}
        union
        select hub_profile_id, profile_id from {tables["identity_refused_links"]}
        """
    )
    warehouse.execute("create temporary table reached (profile_id text, step integer)")
    warehouse.execute("insert into reached values ($start, 0)", {"start": start})
    for step in range(1, LONGEST_CHAIN + 1):
        warehouse.execute(
            """
            insert into reached
            select distinct neighbours.neighbour, cast($step as integer)
            from reached
            inner join neighbours on reached.profile_id = neighbours.profile_id
            where
                reached.step = $step - 1
                and not exists (select 1 from reached as known where known.profile_id = neighbours.neighbour)
            """,
            {"step": step},
        )
        count, is_there = warehouse.query(
            "select count(*), max(case when profile_id = $goal then 1 else 0 end) from reached where step = $step",
            {"goal": goal, "step": step},
        )[0]
        if not count:
            return []
        if is_there:
            return _walk_back(warehouse, tables, goal, step)
    return []


def _walk_back(warehouse: Warehouse, tables: IdentityTables, goal: str, steps: int) -> list[Refusal]:
    chain: list[Refusal] = []
    for step in range(steps - 1, -1, -1):
        before = "select reached.profile_id from reached where reached.step = $step"
        link = refusals(
            warehouse,
            tables,
            f"(refused.profile_id = $goal and refused.hub_profile_id in ({before}))"
            f" or (refused.hub_profile_id = $goal and refused.profile_id in ({before}))",
            {"goal": goal, "step": step},
            limit=1,
        )[0]
        chain.insert(0, link)
        goal = link.hub_profile_id if link.profile_id == goal else link.profile_id
    return chain
