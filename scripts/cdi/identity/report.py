"""What the identity graph looks like as a whole: its sizes, its weak spots and its history."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import networkx as nx

from cdi.dbt import load_manifest
from cdi.identity.tables import IdentityTables, Link, forest, links_of
from cdi.project import Project
from cdi.warehouse import Warehouse, connect

BUCKETS = {"1": 1, "2": 2, "3-5": 5, "6-10": 10, "11-20": 20, "21-50": 50, ">50": None}
"""Size of a profile in identifiers, with the largest that belongs to each bucket."""


@dataclass(frozen=True)
class LargeProfile:
    """One of the largest profiles, by its first identifier."""

    profile_id: str
    first_identifier: str
    identifiers: int
    by_type: dict[str, int]


@dataclass(frozen=True)
class Bridge:
    """A link without which its profile falls into two."""

    link: Link
    smaller_side: int
    larger_side: int


@dataclass(frozen=True)
class Suspect:
    """An identifier that links were refused for: shared by many, and perhaps better blocked."""

    identifier: str
    refused_links: int
    profiles: int
    """Profiles that those links would have joined, its own among them."""
    blocking_line: str
    """The line that blocks it, for seeds/blocked_identifiers.csv."""


@dataclass(frozen=True)
class Merges:
    """Profiles that were joined in a day, week or month, by the time of the event that did."""

    start: date
    merges: int


@dataclass
class Report:
    """What the graph looks like."""

    identifiers: int = 0
    profiles: int = 0
    known_profiles: int = 0
    """Profiles with a user_id; the others are anonymous."""
    refused_links: int = 0
    by_type: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    largest: list[LargeProfile] = field(default_factory=list)
    bridges: list[Bridge] = field(default_factory=list)
    suspects: list[Suspect] = field(default_factory=list)
    merges: list[Merges] = field(default_factory=list)
    merges_per: str = "day"
    runs: list[dict[str, Any]] = field(default_factory=list)
    rounds: list[dict[str, Any]] = field(default_factory=list)
    """Of the last run."""


def report(project: Project, top: int = 10, search: int = 20) -> Report:
    """Read the report: lists have `top` rows, bridges are looked for in the `search` largest profiles."""
    tables = IdentityTables.of(load_manifest(project))
    with connect(project, read_only=True) as warehouse:
        tables.require(warehouse, "identity_graph", "identity_links", "identity_refused_links", "identity_merges")
        answer = Report()
        _counts(warehouse, tables, answer)
        large = _largest(warehouse, tables, max(top, search))
        answer.largest = large[:top]
        searched = [item.profile_id for item in large[:search] if item.identifiers > 2]
        answer.bridges = bridges(links_of(warehouse, tables, searched) if searched else [])[:top]
        answer.suspects = _suspects(warehouse, tables, top)
        _merges(warehouse, tables, answer)
        _runs(warehouse, tables, answer)
        return answer


def bridges(links: list[Link]) -> list[Bridge]:
    """The links whose removal splits a profile into parts of at least two identifiers, the evenest split first."""
    graph = nx.Graph()
    graph.add_edges_from((link.identifier, link.hub) for link in links)
    tree = forest(links)
    found = []
    for component in nx.connected_components(tree):
        # Every bridge is a link of the tree, and what hangs below it is one of the two sides.
        root = next(iter(component))
        below = dict.fromkeys(component, 1)
        parents = dict(nx.bfs_predecessors(tree, root))
        for child in reversed(list(parents)):
            below[parents[child]] += below[child]
        for one, other in nx.bridges(graph, root):
            child = one if parents.get(one) == other else other
            sides = sorted((below[child], len(component) - below[child]))
            if sides[0] > 1:
                found.append(Bridge(tree.edges[one, other]["link"], *sides))
    return sorted(found, key=lambda item: (-item.smaller_side, item.link.identifier, item.link.hub))


def _counts(warehouse: Warehouse, tables: IdentityTables, answer: Report) -> None:
    limits = " ".join(f"when identifiers <= {most} then '{name}'" for name, most in BUCKETS.items() if most)
    rows = warehouse.query(
        f"""
        with profiles as (
            select
                count(*) as identifiers,
                max(case when identifier_type = 'user_id' then 1 else 0 end) as is_known
            from {tables["identity_graph"]}
            group by profile_id
        )
        select case {limits} else '>50' end as bucket, count(*), sum(identifiers), sum(is_known)
        from profiles
        group by 1
        """
    )
    found = {row[0]: int(row[1]) for row in rows}
    answer.sizes = {name: found.get(name, 0) for name in BUCKETS}
    answer.profiles = sum(found.values())
    answer.identifiers = sum(int(row[2]) for row in rows)
    answer.known_profiles = sum(int(row[3]) for row in rows)
    answer.by_type = dict(
        warehouse.query(
            f"select identifier_type, count(*) from {tables['identity_graph']} group by 1 order by 2 desc, 1"
        )
    )
    answer.refused_links = warehouse.query(f"select count(*) from {tables['identity_refused_links']}")[0][0]


def _largest(warehouse: Warehouse, tables: IdentityTables, count: int) -> list[LargeProfile]:
    rows = warehouse.query(
        f"""
        with largest as (
            select profile_id, count(*) as identifiers, min(arrival) as arrival
            from {tables["identity_graph"]}
            group by 1
            order by 2 desc, 1
            limit {int(count)}
        )
        select
            largest.profile_id,
            largest.identifiers,
            graph.identifier_type,
            count(*),
            max(case when graph.arrival = largest.arrival then graph.identifier end)
        from largest
        inner join {tables["identity_graph"]} as graph on largest.profile_id = graph.profile_id
        group by 1, 2, 3
        order by 2 desc, 1, 3
        """
    )
    by_type: dict[str, dict[str, int]] = defaultdict(dict)
    for profile_id, _, type_, number, _ in rows:
        by_type[profile_id][type_] = number
    sizes = {row[0]: row[1] for row in rows}
    first = {row[0]: row[4] for row in rows if row[4]}
    return [
        LargeProfile(profile_id, first.get(profile_id, ""), size, by_type[profile_id])
        for profile_id, size in sizes.items()
    ]


def _suspects(warehouse: Warehouse, tables: IdentityTables, count: int) -> list[Suspect]:
    rows = warehouse.query(
        f"""
        with ends as (
            select identifier, hub_profile_id as neighbour from {tables["identity_refused_links"]}
            union all
            select hub, profile_id from {tables["identity_refused_links"]}
        ),
        most as (
            select identifier, count(*) as refused_links, count(distinct neighbour) + 1 as profiles
            from ends
            group by 1
            -- Of a link between two people, either end may be the one to blame.
            having count(distinct neighbour) > 1
            order by 3 desc, 2 desc, 1
            limit {int(count)}
        )
        select
            most.identifier,
            own.identifier_type,
            substr(most.identifier, length(own.identifier_type) + 2),
            most.refused_links,
            most.profiles
        from most
        inner join {tables["identity_graph"]} as own on most.identifier = own.identifier
        order by 5 desc, 4 desc, 1
        """
    )
    return [
        Suspect(identifier, number, profiles, _csv_line(type_, "exact", value.lower()))
        for identifier, type_, value, number, profiles in rows
    ]


def _csv_line(*values: str) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(values)
    return line.getvalue()


def _merges(warehouse: Warehouse, tables: IdentityTables, answer: Report) -> None:
    first, last = warehouse.query(f"select min(event_at), max(event_at) from {tables['identity_merges']}")[0]
    if first is None:
        return
    days = (last - first).days
    answer.merges_per = "day" if days <= 21 else "week" if days <= 150 else "month"
    rows = warehouse.query(
        f"select cast(date_trunc('{answer.merges_per}', event_at) as date), count(*)"
        f" from {tables['identity_merges']} where event_at is not null group by 1 order by 1 desc limit 24"
    )
    answer.merges = [Merges(*row) for row in reversed(rows)]


def _runs(warehouse: Warehouse, tables: IdentityTables, answer: Report) -> None:
    runs, rounds = "identity_graph_runs", "identity_graph_rounds"
    if tables.exists(warehouse, runs):
        names = warehouse.column_names(*tables.relation(runs))
        rows = warehouse.query(f"select * from {tables[runs]} order by run_at desc limit 5")
        answer.runs = [dict(zip(names, row, strict=True)) for row in rows]
    if answer.runs and tables.exists(warehouse, rounds):
        names = warehouse.column_names(*tables.relation(rounds))
        rows = warehouse.query(
            f"select * from {tables[rounds]} where invocation_id = $invocation_id order by 1, 2, 3 limit 100",
            {"invocation_id": answer.runs[0]["invocation_id"]},
        )
        answer.rounds = [dict(zip(names, row, strict=True)) for row in rows]
