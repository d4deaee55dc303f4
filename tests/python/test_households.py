"""Households are exactly what taking one shared address or card after the other gives, and never too large."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from datetime import timedelta

import pytest
from conftest import ROOT
from support import AGAIN, POSTGRES_LATER, START, UNTESTED, copy_project, land_messages, message

from cdi.dbt import run_dbt
from cdi.warehouse import connect

MOST = 3
BUILD = ["build", "--select", "+household_members", "+households", "--indirect-selection", "cautious"]
SPELLINGS = (
    ("Gartenstraße {}", "A-1010"),
    ("gartenstr. {}", "a 1010"),
    ("  GARTENSTRASSE   {}", "A1010"),
    ("Gartenstraat {}.", "A1010"),
)


def _key(house: int) -> str:
    return f"address:house {house}"


def random_events(seed: int, count: int) -> list[tuple[int, str, str, dict]]:
    """(load, identifier, key, message): devices and people who tell addresses and cards; some later log in."""
    dice = random.Random(seed)
    events = []
    for _ in range(count):
        load, device = dice.choice((1, 2)), dice.randrange(60)
        who, identifier = {"anonymousId": f"d{device}"}, f"anonymous_id:d{device}"
        if load == 2 and dice.random() < 0.3:
            # Two devices become one person.
            who["userId"], identifier = f"u{device // 2}", f"user_id:u{device // 2}"
        at = START - timedelta(seconds=dice.randrange(100_000))
        house = dice.choice((dice.randrange(30), 99))
        street, postal_code = dice.choice(SPELLINGS)
        address = {"street": street.format(house), "postalCode": postal_code, "country": dice.choice(("AT", " at"))}
        kind = dice.randrange(4)
        if kind == 0:
            made, key = message("identify", at, traits={"address": address}, **who), _key(house)
        elif kind == 1:
            flat = {f"shipping_address_{name}": address[part] for name, part in
                    (("street", "street"), ("postal_code", "postalCode"), ("country", "country"))}  # fmt: skip
            order = {"order_id": str(dice.random()), **flat}
            made, key = message("track", at, event="Order Completed", properties=order, **who), _key(house)
        elif kind == 2:
            card = f"c{dice.randrange(40)}"
            made = message("track", at, event="Payment Succeeded", properties={"card_fingerprint": card}, **who)
            key = f"card:{card}"
        else:
            # No home: a street without a number, a page that says where an order would go.
            made = dice.choice([
                message("identify", at, traits={"address": {**address, "street": "Gartenstraße"}}, **who),
                message("page", at, properties={"shipping_address": address}, **who),
            ])  # fmt: skip
            key = ""
        events.append((load, identifier, key, made))
    return events


def expected(events: list, profiles: dict[str, str], loads: int) -> dict[str, tuple[frozenset[str], bool, bool]]:
    """Profile to household, and whether it shares an address and a card, told plainly, one link after the other."""
    told: dict[tuple[str, str], list[tuple]] = defaultdict(list)
    for load, identifier, key, made in events:
        if key and load <= loads:
            told[profiles[identifier], key].append((load, made["originalTimestamp"], made["messageId"]))
    homes: dict[str, tuple] = {}
    for (profile, key), times in told.items():
        if key.startswith("address"):
            # A tie between addresses of the same last moment does not come up: moments are random.
            rank = (len(times), max(at for _, at, _ in times), key)
            homes[profile] = max(homes.get(profile, rank), rank)
    links = {
        (profile, key): min(times)
        for (profile, key), times in told.items()
        if key.startswith("card") or homes[profile][2] == key
    }
    sharing = Counter(key for _, key in links)
    group = {end: {end} for link in links for end in link}
    for (profile, key), _ in sorted(links.items(), key=lambda item: item[1]):
        if sharing[key] > MOST or group[profile] is group[key]:
            continue
        joined = group[profile] | group[key]
        if sum(":" not in end for end in joined) <= MOST:
            for end in joined:
                group[end] = joined
    held = [(profile, key) for profile, key in links if sharing[key] <= MOST and group[profile] is group[key]]
    shared = {key for key, number in Counter(key for _, key in held).items() if number > 1}
    reasons: dict[str, set[str]] = defaultdict(set)
    for profile, key in held:
        if key in shared:
            reasons[profile].add(key.split(":")[0])
    return {
        profile: (frozenset(end for end in group[profile] if end in reasons), "address" in why, "card" in why)
        for profile, why in reasons.items()
    }


@pytest.mark.parametrize("warehouse_kind", POSTGRES_LATER)
def test_households_are_what_one_link_after_the_other_gives(project_factory, tmp_path):
    # In a copy of its own: dbt parses the whole project anew where variables changed.
    project = project_factory(copy_project(ROOT, tmp_path / "project"))
    seed = random.randrange(2**32)
    variables = {"households": True, "household_max_profiles": MOST}
    events = random_events(seed, 220)
    assert run_dbt(project, ["run", "--select", "stg_segment__messages"], variables).success
    for load in (1, 2):
        with connect(project) as warehouse:
            land_messages(warehouse, [made for at, _, _, made in events if at == load], load)
        assert run_dbt(project, [*BUILD, *AGAIN] if load == 2 else [*BUILD, *UNTESTED], variables).success, seed
        with connect(project) as warehouse:
            profiles = dict(warehouse.query("select identifier, profile_id from identity.identity_graph"))
            rows = warehouse.query(
                "select profile_id, household_id, shares_address, shares_card from profiles.household_members"
            )
            sizes = dict(warehouse.query("select household_id, count_members from profiles.households"))
        members: dict[str, set[str]] = defaultdict(set)
        for profile, household, *_ in rows:
            members[household].add(profile)
        found = {profile: (frozenset(members[household]), *reasons) for profile, household, *reasons in rows}
        assert found == expected(events, profiles, load), seed
        assert sizes == {household: len(people) for household, people in members.items()}
        assert found, seed
        assert max(sizes.values()) <= MOST
