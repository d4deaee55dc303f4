"""Identity: the graph is exactly the connected components, whatever the split into loads."""

from __future__ import annotations

import random
from collections import defaultdict

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from support import START, land_messages, message, rows_of

from cdi.dbt import run_dbt
from cdi.warehouse import connect

IDENTITY = ["run", "--select", "+identity_graph"]


class UnionFind:
    """The plainest way to say what the graph must be: one event after the other, in order of arrival."""

    def __init__(self) -> None:
        self.parent: dict[str, str] = {}

    def find(self, item: str) -> str:
        self.parent.setdefault(item, item)
        while self.parent[item] != item:
            item = self.parent[item]
        return item

    def join(self, items: list[str]) -> None:
        roots = [self.find(item) for item in items]
        for root in roots[1:]:
            self.parent[self.find(root)] = self.find(roots[0])


def components(events: list[dict]) -> set[frozenset[str]]:
    """The sets of identifiers that a sequential union-find makes of messages."""
    graph = UnionFind()
    for event in events:
        found = [
            f"user_id:{event['userId']}" if event.get("userId") else None,
            f"email:{event['traits']['email']}" if event.get("traits", {}).get("email") else None,
            f"anonymous_id:{event['anonymousId']}" if event.get("anonymousId") else None,
        ]
        graph.join([item for item in found if item])
    groups: dict[str, set[str]] = defaultdict(set)
    for item in graph.parent:
        groups[graph.find(item)].add(item)
    return {frozenset(group) for group in groups.values()}


def resolved(warehouse) -> set[frozenset[str]]:
    groups: dict[str, set[str]] = defaultdict(set)
    for identifier, profile_id in warehouse.query("select identifier, profile_id from identity.identity_graph"):
        groups[profile_id].add(identifier)
    return {frozenset(group) for group in groups.values()}


def random_events(seed: int, people: int, events: int) -> list[dict]:
    """Messages that link random users, e-mails and devices; sparse enough for many components and long chains."""
    dice = random.Random(seed)
    made = []
    for _ in range(events):
        fields: dict = {}
        if dice.random() < 0.5:
            fields["userId"] = f"u{dice.randrange(people)}"
        if dice.random() < 0.4:
            fields["traits"] = {"email": f"e{dice.randrange(people)}@example.com"}
        if dice.random() < 0.8 or not fields:
            fields["anonymousId"] = f"d{dice.randrange(2 * people)}"
        made.append(message("identify", START, **fields))
    return made


@given(seed=st.integers(0, 2**32), loads=st.integers(1, 4))
@settings(max_examples=2, phases=[Phase.generate])
def test_any_split_into_loads_gives_the_components_and_ids_of_one_load(project_factory, seed, loads):
    events = random_events(seed, people=400, events=600)
    dice = random.Random(seed)
    cuts = sorted(dice.randrange(len(events)) for _ in range(loads - 1))
    parts = [events[start:end] for start, end in zip([0, *cuts], [*cuts, len(events)], strict=True)]

    project = project_factory()
    assert run_dbt(project, IDENTITY).success
    for number, part in enumerate(parts, start=1):
        with connect(project) as warehouse:
            land_messages(warehouse, part, load=number)
        assert run_dbt(project, IDENTITY).success
    with connect(project) as warehouse:
        assert resolved(warehouse) == components(events)
        step_by_step = rows_of(warehouse, "identity.identity_graph")
    assert run_dbt(project, [*IDENTITY, "--full-refresh"]).success
    with connect(project) as warehouse:
        assert rows_of(warehouse, "identity.identity_graph") == step_by_step


def test_no_depth_at_which_it_stops(project_factory):
    """A path of 2,000 identifiers, met in an order that makes the ends arrive last, and a star of 5,000 leaves."""
    path = [message("identify", userId=f"path{i // 2}", anonymousId=f"device{(i + 1) // 2}") for i in range(2_000)]
    random.Random(1).shuffle(path)
    star = [message("identify", userId="hub", anonymousId=f"leaf{i}") for i in range(5_000)]
    project = project_factory()
    assert run_dbt(project, IDENTITY).success
    with connect(project) as warehouse:
        land_messages(warehouse, path + star, load=1)
    assert run_dbt(project, IDENTITY).success
    with connect(project) as warehouse:
        assert resolved(warehouse) == components(path + star)
        assert len(resolved(warehouse)) == 2


def test_a_profile_keeps_the_id_of_its_first_identifier_when_profiles_merge(project_factory):
    project = project_factory()
    assert run_dbt(project, IDENTITY).success

    def profile_of(identifier: str) -> str:
        with connect(project) as warehouse:
            return warehouse.query(
                "select profile_id from identity.identity_graph where identifier = $identifier",
                {"identifier": identifier},
            )[0][0]

    def arrive(load: int, **fields) -> None:
        with connect(project) as warehouse:
            land_messages(warehouse, [message("identify", **fields)], load)
        assert run_dbt(project, IDENTITY).success

    arrive(1, anonymousId="first")
    arrive(2, anonymousId="second")
    first, second = profile_of("anonymous_id:first"), profile_of("anonymous_id:second")
    assert first != second
    arrive(3, userId="jane", anonymousId="second")
    assert profile_of("user_id:jane") == second
    arrive(4, userId="jane", anonymousId="first")
    assert {profile_of(f"anonymous_id:{name}") for name in ("first", "second")} == {first}
    assert profile_of("user_id:jane") == first


def test_blocked_values_join_nobody(project):
    junk = ["null", "0000-0000", "-1", "Anonymous", "undefined", "  ", "0"]
    assert run_dbt(project, IDENTITY).success
    with connect(project) as warehouse:
        land_messages(
            warehouse,
            [
                message("identify", userId=value, anonymousId=f"{name}-{number}")
                for number, value in enumerate(junk)
                for name in ("one", "two")
            ],
            load=1,
        )
    assert run_dbt(project, IDENTITY).success
    with connect(project) as warehouse:
        assert len(resolved(warehouse)) == 2 * len(junk)
        assert all(len(profile) == 1 for profile in resolved(warehouse))
