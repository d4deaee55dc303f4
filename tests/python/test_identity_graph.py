"""The identity graph is exactly what taking link after link would give, whatever the split into loads."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from support import START, UNTESTED, rows_of

from cdi.dbt import run_dbt
from cdi.project import Project
from cdi.warehouse import Warehouse, connect

GRAPH = ["run", "--select", "identity_graph", "identity_refused_links", "identity_merges"]
TYPES = ["user_id", "email", "anonymous_id", "phone"]


@dataclass(frozen=True)
class Combination:
    """The identifiers of one event, strongest first."""

    identifiers: tuple[str, ...]
    loaded_at: datetime
    event_at: datetime
    event_id: str

    @property
    def first_arrival(self) -> str:
        return f"{self.loaded_at:%Y%m%d%H%M%S%f}{self.event_at:%Y%m%d%H%M%S%f}{self.event_id}"


@dataclass
class Oracle:
    """The plainest way to say what the graph must be: one link after the other, with limits kept by counting."""

    limits: Mapping[str, tuple[int | None, str]]
    parent: dict[str, str] = field(default_factory=dict)
    members: dict[str, list[str]] = field(default_factory=dict)
    counts: dict[str, Counter[tuple[str, str]]] = field(default_factory=dict)
    arrival: dict[str, int] = field(default_factory=dict)
    born_in: dict[str, str] = field(default_factory=dict)
    refused: set[tuple[str, str]] = field(default_factory=set)
    merged: set[tuple[str, str, str]] = field(default_factory=set)

    def find(self, item: str) -> str:
        while self.parent[item] != item:
            self.parent[item] = self.parent[self.parent[item]]
            item = self.parent[item]
        return item

    def limit_key(self, item: str, at: datetime) -> tuple[str, str]:
        type_ = item.split(":", 1)[0]
        window = self.limits[type_][1]
        monday: date = at.date() - timedelta(days=at.weekday())
        return type_, {
            "ever": "",
            "day": f"{at:%Y%m%d}",
            "week": monday.isoformat(),
            "month": f"{at:%Y%m}",
            "year": f"{at:%Y}",
        }[window]

    def take(self, event: Combination) -> None:
        first_here = set()
        for item in event.identifiers:
            if item not in self.parent:
                first_here.add(item)
                self.parent[item] = item
                self.members[item] = [item]
                self.counts[item] = Counter({self.limit_key(item, event.event_at): 1})
                self.arrival[item] = len(self.arrival)
                self.born_in[item] = item
        hub = event.identifiers[0]
        is_hub_placed = hub not in first_here
        for item in event.identifiers[1:]:
            one, other = self.find(item), self.find(hub)
            if one == other:
                continue
            both = self.counts[one].keys() & self.counts[other].keys()
            if any(
                self.limits[key[0]][0] is not None
                and self.counts[one][key] + self.counts[other][key] > self.limits[key[0]][0]
                for key in both
            ):
                self.refused.add((item, hub))
                continue
            if item in first_here:
                self.born_in[item] = hub
            elif not is_hub_placed:
                self.born_in[hub] = item
                is_hub_placed = True
            else:
                self.merged.add((item, hub, event.event_id))
            older, younger = sorted([one, other], key=self.arrival.__getitem__)
            self.parent[younger] = older
            self.members[older] += self.members.pop(younger)
            self.counts[older] += self.counts.pop(younger)

    def first_seen_in(self, item: str) -> str:
        while self.born_in[item] != item:
            item = self.born_in[item]
        return item

    def rows(self) -> set[tuple[str, str, str]]:
        """(identifier, profile id, first profile id) of all."""
        return {(item, md5(self.find(item)), md5(self.first_seen_in(item))) for item in self.parent}


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def oracle(combinations: Iterable[Combination], limits: Mapping[str, tuple[int | None, str]]) -> Oracle:
    result = Oracle(limits)
    for event in sorted(combinations, key=lambda event: event.first_arrival):
        result.take(event)
    return result


def put(warehouse: Warehouse, combinations: Iterable[Combination]) -> None:
    """Add combinations to identity.identifier_sets as the model would."""
    combinations = list(combinations)
    texts = ["\x1f".join(event.identifiers) for event in combinations]
    table = pa.table(
        {
            "identifier_set_id": [md5(text) for text in texts],
            "identifiers": texts,
            "event_id": [event.event_id for event in combinations],
            "event_at": pa.array([event.event_at for event in combinations], pa.timestamp("us")),
            "loaded_at": pa.array([event.loaded_at for event in combinations], pa.timestamp("us")),
        },
    )
    warehouse.append('"identity"."identifier_sets"', table.to_reader())


def set_limits(warehouse: Warehouse, limits: Mapping[str, tuple[int | None, str]]) -> None:
    for type_, (count, window) in limits.items():
        warehouse.execute(
            "update events.identifier_rules set limit_count = $count, limit_window = $window"
            " where rule = 'type' and identifier_type = $type",
            {"count": count, "window": window, "type": type_},
        )


def found(warehouse: Warehouse) -> tuple[set, set, set]:
    """The graph, the refused links and the merging links of the warehouse, as the oracle gives them."""
    return (
        set(
            warehouse.query(
                "select identifier, profile_id, coalesce(first_profile_id, profile_id) from identity.identity_graph"
            )
        ),
        set(warehouse.query("select identifier, hub from identity.identity_refused_links")),
        set(warehouse.query("select identifier, hub, event_id from identity.identity_merges")),
    )


def expected(result: Oracle) -> tuple[set, set, set]:
    return result.rows(), result.refused, result.merged


def assert_same(got: tuple[set, set, set], wanted: tuple[set, set, set]) -> None:
    for name, one, other in zip(("graph", "refused", "merged"), got, wanted, strict=True):
        assert one == other, (name, sorted(one - other)[:5], sorted(other - one)[:5])


@pytest.fixture
def graph_factory(project_factory: Callable[[], Project]) -> Callable[[], Project]:
    """Makes projects whose identity models are built and empty."""

    def make() -> Project:
        project = project_factory()
        assert run_dbt(
            project, ["build", *UNTESTED, "--select", "+identity_graph", "identity_refused_links", "identity_merges"]
        ).success
        return project

    return make


def random_limits(dice: random.Random) -> dict[str, tuple[int | None, str]]:
    return {
        type_: (dice.choice([1, 1, 2, 3, 5, None]), dice.choice(["ever", "ever", "day", "week", "month", "year"]))
        for type_ in TYPES
    }


def random_combinations(dice: random.Random, name: str, count: int, loads: int) -> list[Combination]:
    """Random events over few identifiers whose values begin with a name, each distinct combination once."""
    size = dice.choice([5, 20, 60])
    first: dict[tuple[str, ...], Combination] = {}
    for number in range(count):
        carried = sorted(dice.sample(range(len(TYPES)), dice.choice([1, 2, 2, 3])))
        identifiers = [f"{TYPES[index]}:{name}-{dice.randrange(size)}" for index in carried]
        if dice.random() < 0.05:
            identifiers.append(f"{TYPES[carried[-1]]}:{name}-{dice.randrange(size)}")
        event = Combination(
            tuple(identifiers),
            START + timedelta(minutes=dice.randrange(loads)),
            START - timedelta(hours=dice.randrange(24 * 40), seconds=dice.randrange(3)),
            f"e{dice.randrange(10**6)}-{name}-{number}",
        )
        known = first.get(event.identifiers)
        if known is None or event.first_arrival < known.first_arrival:
            first[event.identifiers] = event
    return list(first.values())


@given(seed=st.integers(0, 2**32))
# Twenty random graphs each time.
@settings(max_examples=1, phases=[Phase.generate])
def test_equal_to_taking_link_after_link_for_any_split_into_loads(graph_factory, seed: int):
    dice = random.Random(seed)
    limits = random_limits(dice)
    combinations = [
        event
        for graph in range(20)
        for event in random_combinations(dice, f"g{graph}", count=dice.choice([20, 120, 400]), loads=4)
    ]
    wanted = expected(oracle(combinations, limits))
    project = graph_factory()
    with connect(project) as warehouse:
        set_limits(warehouse, limits)
    for load in sorted({event.loaded_at for event in combinations}):
        with connect(project) as warehouse:
            put(warehouse, [event for event in combinations if event.loaded_at == load])
        if dice.random() < 0.7:
            assert run_dbt(project, GRAPH).success
    assert run_dbt(project, GRAPH).success
    with connect(project) as warehouse:
        assert_same(found(warehouse), wanted)
        graph = rows_of(warehouse, "identity.identity_graph")
        decisions = rows_of(warehouse, "identity.identity_graph_decisions")
    assert run_dbt(project, [*GRAPH, "--full-refresh"]).success
    with connect(project) as warehouse:
        assert_same(found(warehouse), wanted)
        assert rows_of(warehouse, "identity.identity_graph") == graph
        assert rows_of(warehouse, "identity.identity_graph_decisions") == decisions


def adversarial_combinations(dice: random.Random, size: int) -> list[Combination]:
    """What breaks naive ways: a long path, one that arrives end by end, a large star, hubs that share their leaves."""
    path = list(range(size))
    dice.shuffle(path)
    pairs = [(f"phone:p{number:05d}", f"phone:p{number + 1:05d}") for number in path]
    pairs += [(f"phone:q{number:05d}", f"phone:q{number + 1:05d}") for number in range(size // 3)]
    pairs += [("user_id:star", f"anonymous_id:leaf{number}") for number in range(10 * size)]
    pairs += [(f"user_id:hub{hub}", f"anonymous_id:shared{leaf}") for leaf in range(size // 5) for hub in (1, 2)]
    # A kiosk that 3,000 people use, each on a device of their own as well, and a mailbox between every two of them.
    pairs += [(f"user_id:visitor{number}", "anonymous_id:kiosk") for number in range(size // 3)]
    pairs += [(f"user_id:visitor{number}", f"anonymous_id:own{number}") for number in range(size // 3)]
    pairs += [(f"user_id:visitor{number}", f"email:both{number // 2}") for number in range(size // 3)]
    return [
        Combination(pair, START, START + timedelta(seconds=number), f"e{number}") for number, pair in enumerate(pairs)
    ]


@pytest.mark.parametrize(
    "size", [pytest.param(2_000, marks=pytest.mark.small), pytest.param(10_000, marks=pytest.mark.slow)]
)
def test_no_depth_no_size_and_what_is_erased_has_never_been(graph_factory, size: int):
    dice = random.Random(5)
    limits = {"user_id": (1, "ever"), "email": (2, "ever"), "anonymous_id": (None, "ever"), "phone": (None, "ever")}
    combinations = adversarial_combinations(dice, size)
    project = graph_factory()
    with connect(project) as warehouse:
        set_limits(warehouse, limits)
        put(warehouse, combinations)
    assert run_dbt(project, GRAPH).success
    result = oracle(combinations, limits)
    with connect(project) as warehouse:
        assert_same(found(warehouse), expected(result))
        sizes = dict(warehouse.query("select profile_id, count(*) from identity.identity_graph group by 1"))
        assert sizes[md5(result.find("phone:p00000"))] == size + 1
        assert sizes[md5("user_id:star")] == 10 * size + 1
        warehouse.execute("delete from identity.identifier_sets where identifiers like '%visitor1%'")
    left = [event for event in combinations if not any("visitor1" in item for item in event.identifiers)]
    assert run_dbt(project, [*GRAPH, "--full-refresh"]).success
    with connect(project) as warehouse:
        assert_same(found(warehouse), expected(oracle(left, limits)))
