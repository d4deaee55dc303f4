"""The matcher: mistyped people are found, families and namesakes are not, and a repeat changes nothing."""

from __future__ import annotations

import builtins
import io
import json
import logging
import random
from collections.abc import Iterable
from types import SimpleNamespace

import pyarrow as pa
import pytest
from rich.console import Console
from support import rows_of

from cdi.errors import UsageError
from cdi.identity import match as matching
from cdi.identity.match import MIN_PROFILES, PROPOSALS, mask_identifier, match, show_matching
from cdi.warehouse import connect

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
MANIFEST = SimpleNamespace(
    nodes={
        name: SimpleNamespace(name=name, schema=schema, alias=name)
        for schema, name in (("profiles", "profiles"), ("identity", "identity_graph"))
    }
)
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
        """Make the two tables that the matcher reads; without any identifier but e-mails and devices."""
        rows = [(f"{place:032x}", row) for place, row in enumerate(self.profiles)]
        if order:
            order.shuffle(rows)
        identifiers = [
            (profile, f"{type_}:{value}", type_, value, f"{profile}{type_}")
            for profile, row in rows
            for type_, value in (("anonymous_id", f"device-{profile}"), ("email", row["email"]))
        ]
        with connect(project) as warehouse:
            for schema, table, columns, values in (
                ("profiles", "profiles", ("profile_id", *TRAITS), [(profile, *row.values()) for profile, row in rows]),
                (
                    "identity",
                    "identity_graph",
                    ("profile_id", "identifier", "identifier_type", "identifier_value", "arrival"),
                    identifiers,
                ),
            ):
                warehouse.execute(f"create schema if not exists {schema}")
                warehouse.execute(f"drop table if exists {schema}.{table}")
                warehouse.execute(f"create table {schema}.{table} ({' text, '.join(columns)} text)")
                arrays = [pa.array(column, pa.string()) for column in zip(*values, strict=True)]
                warehouse.append(f"{schema}.{table}", pa.table(arrays, names=list(columns)).to_reader())


def pairs(proposals: Iterable) -> set[frozenset[str]]:
    return {frozenset((item.identifier_a, item.identifier_b)) for item in proposals}


def written(project) -> list[tuple]:
    with connect(project) as warehouse:
        return rows_of(warehouse, "raw.identity_proposals", ", ".join(PROPOSALS))


def test_finds_typos_and_tells_families_and_namesakes_apart(project):
    world = World().with_typos(400, 60).with_strangers(15)
    world.write(project)

    found = match(project, manifest=MANIFEST)

    assert found.profiles == len(world.profiles) - 15  # the mailboxes of nobody in particular
    likely = pairs(item for item in found.proposals if item.match_probability >= 0.9)
    assert len(likely & world.same) >= 0.95 * len(world.same)
    assert len(likely - world.same) <= 0.03 * len(likely)
    assert len(pairs(found.proposals) - world.same) <= 0.05 * len(found.proposals)
    # Nobody of a family, and no neighbour by number, is taken for another.
    strangers = {f"email:{row['email']}" for row in world.profiles[460:]}
    assert not any(pair <= strangers for pair in pairs(found.proposals))

    rows = [dict(zip(PROPOSALS, row, strict=True)) for row in written(project)]
    assert len(rows) == found.written == found.new == len(found.proposals) > 0
    assert all(row["identifier_a"] < row["identifier_b"] for row in rows)
    assert all(row["matcher"] == found.matcher and row["matcher"].startswith("splink 5") for row in rows)
    evidence = [json.loads(row["evidence"]) for row in rows]
    assert all(seen["email"]["level"] == "one letter lost, added or swapped" for seen in evidence)
    assert sum("first_name" in seen for seen in evidence) >= 30
    assert not any("@" in row["evidence"] for row in rows)


def test_the_same_profiles_give_the_same_pairs_and_a_repeat_adds_nothing(project_factory):
    world = World(2).with_typos(150, 20)
    one, other = project_factory(), project_factory()
    world.write(one)
    world.write(other, random.Random(3))

    match(one, manifest=MANIFEST)
    match(other, manifest=MANIFEST)
    before = written(one)
    assert [row[:-1] for row in before] == [row[:-1] for row in written(other)]
    assert len(before) > 10

    again = match(one, manifest=MANIFEST)
    assert (again.written, again.new, len(again.proposals)) == (0, 0, len(before))
    assert written(one) == before

    # More profiles change every weight, and a known pair is as near by another e-mail: its row stays, and is the only.
    known, partner = before[0][1:3]
    value = partner.removeprefix("email:")
    nearer = f"{value[0]}-{value[1:]}"
    world.with_typos(100, 15).write(one)
    with connect(one) as warehouse:
        warehouse.execute(
            "insert into identity.identity_graph select profile_id, $identifier, 'email', $nearer, 'z'"
            " from identity.identity_graph where identifier = $known",
            {"identifier": f"email:{nearer}", "nearer": nearer, "known": known},
        )
    more = match(one, manifest=MANIFEST)
    after = written(one)
    assert set(before) < set(after)
    assert len(after) == len(before) + more.written == len(more.proposals)
    assert any(f"email:{nearer}" in (item.identifier_a, item.identifier_b) for item in more.proposals)
    assert {row[-1] for row in before} < {row[-1] for row in after}


def test_a_dry_run_writes_nothing_and_a_limit_takes_the_likeliest(project):
    World(4).with_typos(120, 12).write(project)

    dry = match(project, dry_run=True, manifest=MANIFEST)
    assert dry.written == 0
    assert dry.new > 5
    with connect(project) as warehouse:
        assert not warehouse.relation_exists("raw", "identity_proposals")

    match(project, limit=3, manifest=MANIFEST)
    best = [item.proposal_id for item in dry.proposals[:3]]
    assert sorted(row[0] for row in written(project)) == sorted(best)
    match(project, limit=2, manifest=MANIFEST)
    assert sorted(row[0] for row in written(project)) == sorted(item.proposal_id for item in dry.proposals[:5])


def test_too_little_data_is_said_and_nothing_is_written(project):
    World(5).with_typos(MIN_PROFILES - 30, 20).write(project)
    with pytest.raises(UsageError, match=f"Only {MIN_PROFILES - 10} profiles"):
        match(project, manifest=MANIFEST)
    with connect(project) as warehouse:
        assert not warehouse.relation_exists("raw", "identity_proposals")


def test_profiles_that_are_all_different_give_no_pairs(project):
    world = World(6).with_typos(120, 0)
    world.write(project)
    assert match(project, manifest=MANIFEST).proposals == []


def test_columns_that_are_not_there_count_as_unknown(project):
    world = World(7).with_typos(120, 15)
    world.write(project)
    with connect(project) as warehouse:
        for name in set(TRAITS) - {"email"}:
            warehouse.execute(f"alter table profiles.profiles drop column {name}")
    found = match(project, manifest=MANIFEST)
    assert len(pairs(found.proposals) & world.same) >= 12
    assert {name for item in found.proposals for name in item.evidence} == {"email"}


@pytest.mark.parametrize("warehouse_kind", ["duckdb"], indirect=True)
def test_without_tables_or_without_splink_it_says_what_to_do(project, monkeypatch):
    with pytest.raises(UsageError, match=r"profiles\.profiles is not there"):
        match(project, manifest=MANIFEST)

    real = builtins.__import__

    def without_splink(name, *args, **kwargs):
        if name.split(".")[0] == "splink":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_splink)
    with pytest.raises(UsageError, match=r"cdi\[match\]"):
        match(project, manifest=MANIFEST)


@pytest.mark.parametrize("warehouse_kind", ["duckdb"], indirect=True)
def test_neither_the_log_nor_the_screen_tells_who(project, caplog, capfd):
    World(8).with_typos(120, 12).write(project)
    with caplog.at_level(logging.DEBUG):
        found = match(project, manifest=MANIFEST)
    assert not any("@" in str(record.__dict__) for record in caplog.records)
    assert "@" not in "".join(capfd.readouterr())

    def shown(**options) -> str:
        screen = io.StringIO()
        show_matching(Console(file=screen, width=200), found, **options)
        return screen.getvalue()

    masked = shown()
    names = {row.partition(":")[2] for item in found.proposals for row in (item.identifier_a, item.identifier_b)}
    assert not any(name in masked for name in names)
    assert "one letter lost, added or swapped" in masked
    assert f"{found.written} new pairs were written to raw.identity_proposals" in masked
    assert "match_threshold" in masked
    assert any(name in shown(show_values=True) for name in names)


def test_identifiers_are_masked():
    assert mask_identifier("email:anna.adler@mail.example.com") == "email:a***@m***.com"
    assert mask_identifier("user_id:usr_12345678") == "user_id:usr***"
    assert mask_identifier("user_id:12") == "user_id:***"


def test_start_values_are_probabilities():
    for comparison in matching.COMPARISONS:
        assert sum(level.m for level in comparison.levels) == pytest.approx(1), comparison.name
        assert comparison.levels[-1].condition == matching.OTHERWISE
