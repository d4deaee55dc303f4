"""The matcher: mistyped people are found, families and namesakes are not, and proposals are links under limits."""

from __future__ import annotations

import csv
import gzip
import io
import json
import logging
import random
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

import duckdb
import orjson
import pyarrow as pa
import pytest
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from rich.console import Console
from support import POSTGRES_LATER, message, rows_of
from test_identity_commands import cdi
from test_identity_graph import Combination, found, md5, oracle

from cdi.dbt import run_dbt
from cdi.demo_data.generate import generate
from cdi.errors import UsageError
from cdi.identity.explain import why
from cdi.identity.matching.comparisons import COMPARISONS, OTHERWISE
from cdi.identity.matching.match import MIN_PROFILES, match
from cdi.identity.matching.proposals import write_proposals
from cdi.identity.show import mask_identifier, masked, show_matching, show_why
from cdi.identity.tables import IdentityTables
from cdi.landing import known_sources, land
from cdi.warehouse import connect

duckdb_only = pytest.mark.parametrize("warehouse_kind", ["duckdb"], indirect=True)

FIRST_NAMES = (
    "Anna", "Bernd", "Carla", "David", "Elif", "Frank", "Greta", "Hugo", "Irene", "Jakob", "Katrin", "Leon",
    "Marta", "Nils", "Olga", "Paul", "Quirin", "Rosa", "Simon", "Tanja", "Ulrich", "Vera", "Walter", "Xenia",
    "Yusuf", "Zoe",
)  # fmt: skip
LAST_NAMES = (
    "Adler", "Bauer", "Conrad", "Dietrich", "Engel", "Fischer", "Graf", "Haas", "Ivanov", "Jansen", "Keller",
    "Lehmann", "Maurer", "Neumann", "Otto", "Peters", "Quandt", "Richter", "Schulz", "Thaler", "Ulbrich", "Vogt",
    "Weber", "Yilmaz", "Zimmer",
)  # fmt: skip
CITIES = [(f"City {number}", f"{10_000 + 37 * number}") for number in range(40)]
TABLES = IdentityTables(
    {
        "profiles": ("profiles", "profiles"),
        "identity_graph": ("identity", "identity_graph"),
        "identity_refused_links": ("identity", "identity_refused_links"),
        "identity_proposals": ("raw", "identity_proposals"),
        "events": ("events", "events"),
    },
    "identity",
)
PROPOSALS = {
    "proposal_id": "text", "identifier_a": "text", "identifier_b": "text", "match_weight": "numeric(28, 6)",
    "match_probability": "numeric(28, 6)", "evidence": "text", "matcher": "text", "loaded_at": "timestamp",
}  # fmt: skip
TRAITS = ("email", "phone", "first_name", "last_name", "city", "postal_code", "birthday")


class World:
    """Profiles as the warehouse holds them, and which pairs of them are one person."""

    def __init__(self, seed: int = 1) -> None:
        self.dice = random.Random(seed)
        self.profiles: list[dict] = []
        self.same: set[frozenset[str]] = set()

    def add(self, **traits: str | None) -> str:
        """One more profile; returns its e-mail identifier."""
        self.profiles.append({name: traits.get(name) for name in TRAITS})
        return f"email:{traits['email']}"

    def person(self, **traits: str | None) -> dict:
        """Somebody with a full set of traits; not everybody tells all of them."""
        dice = self.dice
        first, last = dice.choice(FIRST_NAMES), dice.choice(LAST_NAMES)
        city, postal_code = dice.choice(CITIES)
        pattern = dice.choice(("{0}.{1}{2}", "{0}{2}", "{1}.{0}.{2}"))
        name = pattern.format(first, last, dice.randrange(100, 10_000)).lower()
        told = {
            "email": f"{name}@{dice.choice(('gmail.example', 'web.example', 'gmx.example'))}",
            "first_name": first,
            "last_name": last,
            "phone": f"+49 151 {dice.randrange(10**8):08d}" if dice.random() < 0.5 else None,
            "city": city,
            "postal_code": postal_code if dice.random() < 0.8 else None,
            "birthday": f"{dice.randrange(1950, 2008)}-{dice.randrange(1, 13):02d}-{dice.randrange(1, 29):02d}",
        }
        return told | traits

    def mistyped(self, email: str) -> str:
        """The e-mail with a letter lost, doubled or swapped with the next, in the name or in the domain."""
        letters = [
            place
            for place in range(1, len(email) - 1)
            if email[place].isalpha() and email[place + 1].isalpha() and email[place] != email[place + 1]
        ]
        place = self.dice.choice([place for place in letters if place < email.index(".example") - 1])
        kind = self.dice.randrange(3)
        if kind == 0:
            return email[:place] + email[place + 1 :]
        if kind == 1:
            return email[:place] + email[place] + email[place:]
        return email[:place] + email[place + 1] + email[place] + email[place + 2 :]

    def with_typos(self, people: int, typos: int) -> World:
        """Add `people` persons; the first `typos` have a second profile under a mistyped e-mail."""
        for number in range(people):
            person = self.person()
            one = self.add(**person)
            if number < typos:
                told = {"email": self.mistyped(person["email"])}
                # A guest's order tells no more than the e-mail; others tell their name, and some their birthday.
                if number % 3:
                    told |= {"first_name": person["first_name"].upper(), "last_name": person["last_name"]}
                if number % 3 == 2:
                    told |= {"birthday": person["birthday"], "phone": person["phone"]}
                self.same.add(frozenset((one, self.add(**told))))
        return self

    def with_strangers(self, times: int) -> World:
        """Add people who look alike and are not: families, couples, namesakes and neighbours in the address book."""
        for number in range(times):
            home = self.person(phone=f"+49 30 55{number:04d}")
            shared = {name: home[name] for name in ("last_name", "phone", "city", "postal_code")}
            last = home["last_name"].lower()
            for first in ("Mario", "Maria", "Petra"):
                told = {"first_name": first, "birthday": self.person()["birthday"], **shared}
                self.add(email=f"{first.lower()}.{last}{number}@gmail.example", **told)
            for place in (1, 2):
                # the same name and domain, but another number
                self.add(email=f"sabine.{last}{number}{place}@web.example", first_name="Sabine", last_name=last)
            self.add(email=f"office@firm-{number}.example")
        return self

    def write(self, project, order: random.Random | None = None) -> None:
        """Make the tables that the matcher reads; without any identifier but e-mails and devices."""
        rows = [(f"{place:032x}", row) for place, row in enumerate(self.profiles)]
        if order:
            order.shuffle(rows)
        identifiers = [
            (profile, f"{type_}:{value}", type_, f"{profile}{type_}")
            for profile, row in rows
            for type_, value in (("anonymous_id", f"device-{profile}"), ("email", row["email"]))
        ]
        with connect(project) as warehouse:
            for schema in ("profiles", "identity", "raw"):
                warehouse.execute(f"create schema if not exists {schema}")
            columns = ", ".join(f"{name} {kind}" for name, kind in PROPOSALS.items())
            warehouse.execute(f"create table if not exists raw.identity_proposals ({columns})")
            for table, columns, values in (
                ("profiles.profiles", ("profile_id", *TRAITS), [(profile, *row.values()) for profile, row in rows]),
                (
                    "identity.identity_graph",
                    ("profile_id", "identifier", "identifier_type", "arrival"),
                    identifiers,
                ),
                ("identity.identity_refused_links", ("profile_id", "hub_profile_id"), []),
            ):
                warehouse.execute(f"drop table if exists {table}")
                warehouse.execute(f"create table {table} ({' text, '.join(columns)} text)")
                if values:
                    arrays = [pa.array(column, pa.string()) for column in zip(*values, strict=True)]
                    warehouse.append(table, pa.table(arrays, names=list(columns)).to_reader())


def pairs(proposals: Iterable) -> set[frozenset[str]]:
    return {frozenset((item.identifier_a, item.identifier_b)) for item in proposals}


def written(project) -> list[tuple]:
    with connect(project) as warehouse:
        return rows_of(warehouse, "raw.identity_proposals", ", ".join(PROPOSALS))


@duckdb_only
def test_finds_typos_tells_families_and_namesakes_apart_and_tells_nobody_who(project, caplog, capfd):
    world = World().with_typos(400, 60).with_strangers(15)
    world.write(project)

    with caplog.at_level(logging.DEBUG):
        answer = match(project, tables=TABLES)

    assert answer.profiles == len(world.profiles) - 15  # the mailboxes of nobody in particular
    likely = pairs(item for item in answer.proposals if item.match_probability >= 0.9)
    assert len(likely & world.same) >= 0.95 * len(world.same)
    assert len(likely - world.same) <= 0.03 * len(likely)
    assert len(pairs(answer.proposals) - world.same) <= 0.05 * len(answer.proposals)
    # Nobody of a family, and no neighbour by number, is taken for another.
    strangers = {f"email:{row['email']}" for row in world.profiles[460:]}
    assert not any(pair <= strangers for pair in pairs(answer.proposals))

    rows = [dict(zip(PROPOSALS, row, strict=True)) for row in written(project)]
    assert len(rows) == answer.new == len(answer.proposals) > 0
    assert all(row["identifier_a"] < row["identifier_b"] for row in rows)
    assert all(row["matcher"] == answer.matcher and row["matcher"].startswith("splink 5") for row in rows)
    evidence = [json.loads(row["evidence"]) for row in rows]
    assert sum(seen["email"]["level"] == "one letter lost, added or swapped" for seen in evidence) >= 55
    assert sum("first_name" in seen for seen in evidence) >= 30

    # Neither the evidence, nor the log, nor the screen tells who.
    assert not any("@" in row["evidence"] for row in rows)
    assert not any("@" in str(record.__dict__) for record in caplog.records)
    assert "@" not in "".join(capfd.readouterr())
    screen = io.StringIO()
    show_matching(Console(file=screen, width=200), masked(answer))
    names = {row.partition(":")[2] for pair in pairs(answer.proposals) for row in pair}
    assert not any(name in screen.getvalue() for name in names)
    assert "one letter lost, added or swapped" in screen.getvalue()
    assert f"{answer.new} new pairs written to raw.identity_proposals" in screen.getvalue()


def test_the_same_profiles_give_the_same_pairs_and_a_repeat_adds_nothing(project_factory):
    world = World(2).with_typos(150, 20)
    one, other = project_factory(), project_factory()
    world.write(one)
    world.write(other, random.Random(3))

    dry = match(one, dry_run=True, tables=TABLES)
    assert (written(one), dry.new > 10) == ([], True)
    match(one, tables=TABLES)
    match(other, tables=TABLES)
    before = written(one)
    assert [row[:-1] for row in before] == [row[:-1] for row in written(other)]
    assert {row[0] for row in before} == {item.proposal_id for item in dry.proposals}

    again = match(one, tables=TABLES)
    assert (again.new, len(again.proposals)) == (0, len(before))
    assert written(one) == before

    # More profiles change every weight, and a known pair is as near by another e-mail, which would come first: its row
    # stays, and is the only one.
    known, partner = next(row[1:3] for row in before if row[1] > f"email:a{row[2].removeprefix('email:')}")
    nearer = f"a{partner.removeprefix('email:')}"
    other_pair = next(row[1:3] for row in before if row[1] != known)
    world.with_typos(100, 15).write(one)
    with connect(one) as warehouse:
        warehouse.execute(
            "insert into identity.identity_graph select profile_id, $identifier, 'email', 'z'"
            " from identity.identity_graph where identifier = $known",
            {"identifier": f"email:{nearer}", "known": known},
        )
        # And where limits have refused a link, nothing is proposed.
        warehouse.execute(
            "insert into identity.identity_refused_links select one.profile_id, other.profile_id"
            " from identity.identity_graph as one cross join identity.identity_graph as other"
            " where one.identifier = $one and other.identifier = $other",
            dict(zip(("one", "other"), other_pair, strict=True)),
        )
    more = match(one, tables=TABLES)
    after = written(one)
    assert set(before) < set(after)
    assert len(after) == len(before) + more.new == len(more.proposals) + 1
    assert any(f"email:{nearer}" in (item.identifier_a, item.identifier_b) for item in more.proposals)
    assert {row[-1] for row in before} < {row[-1] for row in after}
    assert frozenset(other_pair) not in pairs(more.proposals)


@duckdb_only
def test_what_is_missing_is_said_or_counts_as_unknown(project, monkeypatch):
    with pytest.raises(UsageError, match=r"profiles\.profiles is not there"):
        match(project, tables=TABLES)
    World(5).with_typos(MIN_PROFILES - 30, 20).write(project)
    with pytest.raises(UsageError, match=f"Only {MIN_PROFILES - 10} profiles"):
        match(project, tables=TABLES)
    World(6).with_typos(120, 0).write(project)
    assert match(project, tables=TABLES).proposals == []

    world = World(7).with_typos(120, 15)
    world.write(project)
    with connect(project) as warehouse:
        for name in set(TRAITS) - {"email"}:
            warehouse.execute(f"alter table profiles.profiles drop column {name}")
    answer = match(project, tables=TABLES)
    assert len(pairs(answer.proposals) & world.same) >= 12
    assert {name for item in answer.proposals for name in json.loads(item.evidence)} == {"email"}

    monkeypatch.setattr("cdi.identity.matching.match.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"cdi\[match\]") as error:
        match(project, tables=TABLES)
    assert "pip install" in error.value.hint


BUILD = [
    "build", "--select", "+identity_refused_links", "identity_merges", "identity_links",
    "--resource-type", "model", "--resource-type", "seed",
]  # fmt: skip
# All else that the identity floor reads are views; a full refresh takes those above it with it on PostgreSQL.
AGAIN = ["run", "--select", "path:models/events/events.sql", "path:models/identity"]
IDENTITY = [
    "identity.identifier_sets", "identity.identity_graph", "identity.identity_graph_decisions",
    "identity.identity_merges", "identity.identity_refused_links",
]  # fmt: skip
ORDER = ["user_id", "email", "anonymous_id"]
THRESHOLD = 0.9


def visit(*identifiers: str) -> dict:
    """A message that carries these identifiers, now."""
    values = dict(identifier.split(":") for identifier in identifiers)
    fields = {"userId": values.get("user_id"), "anonymousId": values.get("anonymous_id")}
    traits = {"email": values["email"]} if "email" in values else {}
    return message("identify", traits=traits, **{name: value for name, value in fields.items() if value})


def propose(project, proposed: Iterable[tuple[str, str, float]]) -> None:
    """Write proposals as `cdi identity match` does."""
    rows = [(*sorted((one, other)), probability) for one, other, probability in proposed if one != other]
    table = pa.table(
        {
            "proposal_id": [md5(f"{one}|{other}") for one, other, _ in rows],
            "identifier_a": [row[0] for row in rows],
            "identifier_b": [row[1] for row in rows],
            "match_weight": [10.0 for _ in rows],
            "match_probability": [row[2] for row in rows],
            "evidence": [json.dumps({"last_name": {"level": "the same", "weight": 6.2}}) for _ in rows],
        }
    )
    with connect(project) as warehouse, duckdb.connect() as engine:
        known = {row[0] for row in warehouse.query("select proposal_id from raw.identity_proposals")}
        engine.register("made", table)
        engine.execute(
            "create table proposals as select distinct on (proposal_id) *, not list_contains($known, proposal_id)"
            " as is_new from made",
            {"known": sorted(known)},
        )
        write_proposals(warehouse, engine, TABLES, "test 1")


def must_be(warehouse) -> tuple[set, set, set]:
    """What a sequential union-find with limits makes of all events and of the proposals that count."""
    events = warehouse.query(
        "select identifiers, loaded_at, event_at, event_id from events.events where identifiers is not null"
    )
    combinations = [Combination(tuple(row[0].split("\x1f")), *row[1:]) for row in events]
    carried: dict[str, datetime] = {}
    for event in combinations:
        for item in event.identifiers:
            carried[item] = min(event.loaded_at, carried.get(item, event.loaded_at))
    declined = {row[0] for row in warehouse.query("select value from seeds.blocked_identifiers")}
    for proposal_id, one, other, probability, loaded_at in warehouse.query(
        "select proposal_id, identifier_a, identifier_b, match_probability, loaded_at from raw.identity_proposals"
    ):
        is_carried = all(carried.get(item, datetime.max) < loaded_at for item in (one, other))
        if probability >= THRESHOLD and is_carried and proposal_id not in declined:
            strongest_first = sorted((one, other), key=lambda item: (ORDER.index(item.split(":")[0]), item))
            combinations.append(Combination(tuple(strongest_first), loaded_at, loaded_at, f"proposal:{proposal_id}"))
    result = oracle(combinations, {"user_id": (1, "ever"), "email": (5, "ever"), "anonymous_id": (5, "ever")})
    return result.rows(), result.refused, result.merged


@pytest.mark.parametrize("warehouse_kind", POSTGRES_LATER)
@given(seed=st.integers(0, 2**32))
@settings(max_examples=1, phases=[Phase.generate])
def test_proposals_are_links_whatever_the_order_of_loads_matching_and_builds(project_factory, tmp_path: Path, seed):
    project = project_factory()
    dice = random.Random(seed)

    def some(number: int) -> list[str]:
        """Identifiers of different types, of few people: many meet."""
        made = [f"user_id:u{dice.randrange(40)}", f"email:e{dice.randrange(50)}@x.example",
                f"anonymous_id:d{dice.randrange(90)}"]  # fmt: skip
        return dice.sample(made, number)

    def load(*visits: dict) -> None:
        file = tmp_path / f"{seed}-{dice.random()}.ndjson"
        others = [visit(*some(dice.choice([1, 1, 2, 3]))) for _ in range(40)]
        file.write_bytes(b"\n".join(orjson.dumps(item) for item in (*visits, *others)))
        assert land(project, "segment", [file]).rows_landed == len(others) + len(visits)

    def guesses(number: int) -> list[tuple[str, str, float]]:
        return [(some(1)[0], some(1)[0], dice.choice([0.5, 0.95])) for _ in range(number)]

    ann, bob, cid, dora, eve = (
        "user_id:ann",
        "email:bob@x.example",
        "user_id:cid",
        "user_id:dora",
        "email:eve@x.example",
    )
    phone = "anonymous_id:phone"
    load(visit(ann, "email:ann@x.example"), visit(phone), visit(bob), visit("email:bobb@x.example"), visit(cid),
         visit(dora), visit(eve), visit("anonymous_id:eves"))  # fmt: skip
    assert run_dbt(project, BUILD, {"match_threshold": THRESHOLD}).success
    declined = tuple(sorted((eve, "anonymous_id:eves")))
    with connect(project) as warehouse:
        warehouse.execute(
            "insert into seeds.blocked_identifiers values (null, 'proposal', $id)", {"id": md5("|".join(declined))}
        )
    refused = (cid, dora)
    propose(
        project,
        [
            (ann, phone, 0.97),
            (bob, "email:bobb@x.example", 0.89),
            (*refused, 0.97),
            (ann, "email:nobody@x.example", 1.0),
            (bob, "user_id:late", 1.0),
            (ann, "email:ann@x.example", 1.0),
            (*declined, 1.0),
            *guesses(20),
        ],
    )
    if dice.random() < 0.5:
        load()
    # The threshold in dbt_project.yml is empty: an edited one waits for a full refresh.
    assert run_dbt(project, AGAIN).success
    propose(project, guesses(20))
    load(visit("user_id:late"))
    propose(project, guesses(20))
    assert run_dbt(project, AGAIN).success

    with connect(project) as warehouse:
        assert found(warehouse) == must_be(warehouse)
        step_by_step = {table: rows_of(warehouse, table) for table in IDENTITY}
        from_proposals = warehouse.query(
            "select identifiers from identity.identifier_sets where proposal_id is not null"
        )
        assert len(from_proposals) > 5
        profiles = dict(warehouse.query("select identifier, profile_id from identity.identity_graph"))
        assert profiles[ann] == profiles[phone]
        assert profiles[bob] != profiles["email:bobb@x.example"]
        assert profiles[cid] != profiles[dora]
        assert profiles[eve] != profiles["anonymous_id:eves"]
        assert "email:nobody@x.example" not in profiles
        assert (f"{ann}\x1femail:ann@x.example",) not in from_proposals
        assert ("user_id:late\x1femail:bob@x.example",) not in from_proposals
    assert run_dbt(project, [*AGAIN, "--full-refresh"]).success
    with connect(project) as warehouse:
        for table in IDENTITY:
            assert rows_of(warehouse, table) == step_by_step[table], table

    # dbt-duckdb keeps the file open for writing in this process; why opens it for reading.
    DuckDBConnectionManager.close_all_connections()
    joined, apart = why(project, ann, phone), why(project, *refused)
    proposal_id = md5("|".join(sorted((ann, phone))))
    link = joined.steps[0].link
    assert (link.event_id, link.event, link.source) == (
        f"proposal:{proposal_id}", "proposal, probability 0.9700", "test 1"
    )  # fmt: skip
    assert link.evidence == "last name the same (+6.2)"
    assert [(item.event, item.reason) for item in apart.refused] == [
        ("proposal, probability 0.9700", "together 2 of user_id, the limit is 1")
    ]
    screen = io.StringIO()
    show_why(Console(file=screen, width=200), joined)
    assert "proposal, probability 0.9700 (test 1)" in screen.getvalue()
    assert "last name the same (+6.2)" in screen.getvalue()


@duckdb_only
def test_quality_on_demo_data(project, tmp_path: Path):
    generate(people=1000, days=90, seed=3, folder=tmp_path / "demo", end=datetime(2026, 11, 1, tzinfo=UTC), processes=1)
    for source in known_sources(project.root):
        if (folder := tmp_path / "demo" / "raw" / source).is_dir():
            land(project, source, [folder])
    assert run_dbt(
        project, ["build", "--select", "+profiles", "+identity_refused_links", "--resource-type", "model",
                  "--resource-type", "seed"]
    ).success  # fmt: skip
    answer = json.loads(cdi(project, "identity", "match", "--dry-run", "--show-values", "--json").stdout)
    with connect(project) as warehouse:
        profile_of = dict(warehouse.query("select identifier, profile_id from identity.identity_graph"))
        apart = set(
            warehouse.query("select least(profile_id, hub_profile_id), greatest(profile_id, hub_profile_id)"
                            " from identity.identity_refused_links")
        )  # fmt: skip
    # The pairs to find: profiles of one person that each hold an e-mail of theirs, and that no limit keeps apart.
    people: dict[str, set[str]] = defaultdict(set)
    owners: dict[str, set[str]] = defaultdict(set)
    with gzip.open(tmp_path / "demo" / "truth" / "identifiers.csv.gz", "rt") as file:
        for row in csv.DictReader(file):
            profile = profile_of.get(f"{row['identifier_type']}:{row['identifier_value']}")
            if profile and row["kind"] in ("own", "typo", "second"):
                owners[profile].add(row["person_id"])
                if row["identifier_type"] == "email":
                    people[row["person_id"]].add(profile)
    same = {pair for profiles in people.values() for pair in combinations(sorted(profiles), 2)} - apart
    proposed = [
        (tuple(sorted((profile_of[item["identifier_a"]], profile_of[item["identifier_b"]]))), item["match_probability"])
        for item in answer["proposals"]
    ]
    likely = {pair for pair, probability in proposed if probability >= 0.99}
    right = {pair for pair in likely if owners[pair[0]] & owners[pair[1]]}
    assert len(right) >= 0.95 * len(likely)
    assert len(same & likely) >= 0.8 * len(same) > 3


def test_identifiers_are_masked():
    assert mask_identifier("email:anna.adler@mail.example.com") == "email:a***@m***.com"
    assert mask_identifier("user_id:usr_12345678") == "user_id:usr***"
    assert mask_identifier("user_id:12") == "user_id:***"


def test_start_values_are_probabilities():
    for comparison in COMPARISONS:
        assert sum(level.m for level in comparison.levels) == pytest.approx(1), comparison.name
        assert comparison.levels[-1].condition == OTHERWISE
