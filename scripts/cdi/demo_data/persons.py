"""People, their households and their devices: each a pure function of the seed and the person's number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import exp, log
from random import Random
from typing import Any

from cdi.demo_data.assortment import (
    CATEGORIES,
    CITIES,
    COMPANIES,
    COUNTRIES,
    FIRST_NAMES,
    INDUSTRIES,
    LAST_NAMES,
    MAIL_DOMAINS,
    STORES,
)
from cdi.demo_data.homes import Home, choose_spelling, find_home, make_card, random_id
from cdi.demo_data.world import DATES, DAY, HOUR, World, uuid

MAX_PEOPLE = 10_000_000
PEOPLE_PER_ACCOUNT = 100
PEOPLE_PER_BLOCK = 4
CONSENT_CATEGORIES = ("Advertising", "Analytics", "Functional", "DataSharing")


@dataclass(slots=True)
class Device:
    """A browser, a phone or a kiosk; it remembers who is logged in."""

    anonymous_id: str
    platform: str
    """web, ios or android."""
    context: dict[str, Any]
    skew: int
    """How many milliseconds its clock is ahead."""
    kind: str = "own"
    """own, shared (in a household) or kiosk."""
    identifiers: tuple[tuple[str, str], ...] = ()
    """What identifies the device beside its anonymous id: (type, value)."""
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """A company whose people buy for it."""

    account_id: str
    name: str
    industry: str
    employees: int
    domain: str
    card: str
    """The company's card, which its buyers pay with."""


@dataclass(frozen=True, slots=True)
class Household:
    """The people of a block who live together: the first `size` of it, nobody where that is 0."""

    rng: Random = field(repr=False)
    size: int
    last_name: str
    city: tuple[str, str, str]
    home: Home
    card: str
    """A card that several of them use."""


@dataclass(slots=True)
class Person:
    """Somebody who shops; times are milliseconds since 1970."""

    person_id: str
    rng: Random = field(repr=False)
    first_name: str
    last_name: str
    email: str
    phone: str
    city: tuple[str, str, str]
    birthday: str
    household_id: str | None
    account: Account | None
    owns_account: bool
    """Whether they are the account's first contact; every account has one."""
    user_id: str | None
    """None: never registers."""
    second_user_id: str | None
    """A second account that they made by mistake, used on one device."""
    registers_at: int
    joins_at: int
    leaves_at: int
    loyalty_id: str | None
    store: str | None
    """Where they shop in person, if they do."""
    leaves_store_at: int
    shared_email: str | None
    """A mailbox that others use too: the family's or the office's."""
    sessions_per_day: float
    intent: float
    """How much likelier than others they are to buy."""
    favourites: tuple[str, ...]
    wants_newsletter: bool
    consent: dict[str, bool] | None
    """What they answer to the consent banner; None: never answer; empty: a banner that recorded nothing."""
    devices: list[Device]
    shared_device: Device | None
    utc_offset: int
    home: Home
    write_street: Callable[[str], str]
    """How they spell their street."""
    cards: tuple[str, ...]
    """The cards they pay with, their own first; the last is the one they pay with most."""
    purse: Random = field(repr=False)
    """What they choose at the till: apart from `rng`, as homes and cards are."""
    ways: Random = field(repr=False)
    """By which links they come: apart from `rng` too."""
    has_answered: bool = False
    is_subscribed: bool = False
    stripe_customer_id: str | None = None


# Odd and no multiples of 5: then no two numbers of one purpose meet in ten million.
_STRIDES = {"email": 7_654_321, "phone": 3_141_593, "household": 1_618_033, "account": 2_718_281}


def unique_number(seed: int, purpose: str, index: int) -> str:
    """Seven digits that nothing else of the purpose has and that do not tell the index."""
    return f"{(index * _STRIDES[purpose] + seed * 97 + 1_234_567) % MAX_PEOPLE:07d}"


def make_account(seed: int, number: int) -> Account:
    """The company whose people are among the numbers from 100 * number on."""
    rng = Random(f"{seed}/account/{number}")
    name = rng.choice(COMPANIES)
    return Account(
        account_id="001" + random_id(rng, 15),
        name=f"{name} {number + 1}",
        industry=rng.choice(INDUSTRIES),
        employees=int(exp(rng.gauss(4, 1.2))) + 2,
        domain=f"{name.lower().replace(' ', '-')}-{unique_number(seed, 'account', number)}.example",
        card=make_card(Random(f"{seed}/account-card/{number}")),
    )


def make_kiosk(seed: int, store: str) -> Device:
    """The screen that stands in a shop and that many people log in on."""
    rng = Random(f"{seed}/kiosk/{store}")
    device = _make_web_device(rng, "Europe/Berlin", "en-GB")
    device.kind = "kiosk"
    device.context["app"] = {"name": "store-kiosk", "version": "2.3.0"}
    return device


def make_household(seed: int, block: int) -> Household:
    """The household of the four people from number 4 * block on."""
    rng = Random(f"{seed}/household/{block}")
    size = rng.choices((0, 2, 3, 4), (60, 22, 11, 7))[0]
    last_name, city = rng.choice(LAST_NAMES), rng.choice(CITIES)
    home_rng = Random(f"{seed}/household-home/{block}")
    home = find_home(seed, home_rng, block * PEOPLE_PER_BLOCK, city)
    return Household(rng, size, last_name, city, home, make_card(home_rng))


def make_person(world: World, index: int) -> Person:
    """Person number `index`, with everything that does not depend on what happens later."""
    seed = world.seed
    block, place = divmod(index, PEOPLE_PER_BLOCK)
    household = make_household(seed, block)
    lives_together = place < household.size
    rng = Random(f"{seed}/person/{index}")

    number = unique_number(seed, "email", index)
    household_number = unique_number(seed, "household", block)
    has_family_mailbox, has_shared_device = household.rng.random() < 0.4, household.rng.random() < 0.7
    first_name = rng.choice(FIRST_NAMES)
    last_name = household.last_name if lives_together and rng.random() < 0.85 else rng.choice(LAST_NAMES)
    city = household.city if lives_together else rng.choice(CITIES)
    calling_code, timezone, utc_offset, locale = COUNTRIES[city[2]]
    account_number, account_place = divmod(index, PEOPLE_PER_ACCOUNT)
    account = None
    if account_place == 0 or rng.random() < 0.04:
        account = make_account(seed, account_number)
    if account and rng.random() < 0.8:
        email = f"{first_name}.{last_name}{number}@{account.domain}".lower()
    else:
        pattern = rng.choice(("{0}.{1}{2}", "{0}{2}", "{1}.{0}.{2}", "{0}_{1}{2}"))
        email = f"{pattern.format(first_name, last_name, number)}@{rng.choice(MAIL_DOMAINS)}".lower()
    shared_email = None
    if account and rng.random() < 0.5:
        shared_email = f"info@{account.domain}"
    elif lives_together and has_family_mailbox:
        shared_email = f"family.{household.last_name}{household_number}@{MAIL_DOMAINS[0]}".lower()

    joins_at, leaves_at = _lifetime(world, rng)
    registers = rng.random() < 0.66 or account is not None
    registers_at = joins_at
    if registers and joins_at > world.start and rng.random() < 0.6:
        registers_at = joins_at + int(rng.expovariate(1 / (12 * DAY)))
    store, leaves_store_at = None, leaves_at
    if rng.random() < 0.32:
        store = STORES[int(len(STORES) * rng.random() ** 2)]
        if rng.random() < 0.25:
            # Went to the shop once, only browses by now.
            leaves_store_at = min(leaves_at, world.start + int((world.end - world.start) * rng.uniform(0.1, 0.6)))
    answer = rng.random()
    consent: dict[str, bool] | None = None
    if answer < 0.55:
        says_yes = rng.random() < 0.6
        consent = {category: says_yes or rng.random() < 0.35 for category in CONSENT_CATEGORIES}
        consent["Functional"] = True
    elif answer < 0.58:
        consent = {}
    shared_device = None
    if lives_together and has_shared_device:
        shared_device = _make_web_device(Random(f"{seed}/shared-device/{block}"), timezone, locale)
        shared_device.kind = "shared"
    purse = Random(f"{seed}/home/{index}")
    if lives_together or (city == household.city and purse.random() < 0.3):
        # With their household, or as its neighbour in the same house.
        home = household.home
    else:
        home = find_home(seed, purse, index, city)
    cards = [make_card(purse)]
    if lives_together and purse.random() < 0.7:
        cards.append(household.card)
    if account and purse.random() < 0.5:
        cards.append(account.card)
    return Person(
        person_id=f"person_{index + 1:07d}",
        rng=rng,
        first_name=first_name,
        last_name=last_name,
        email=email,
        phone=f"{calling_code}1555{unique_number(seed, 'phone', index)}",
        city=city,
        birthday=DATES[-3650 + int(rng.triangular(0, 13_000, 7_000))],
        household_id=f"household_{block + 1:07d}" if lives_together else None,
        account=account,
        owns_account=account_place == 0,
        user_id=f"usr_{rng.getrandbits(64):016x}" if registers else None,
        second_user_id=f"usr_{rng.getrandbits(64):016x}" if registers and rng.random() < 0.015 else None,
        registers_at=registers_at,
        joins_at=joins_at,
        leaves_at=leaves_at,
        loyalty_id=f"L{rng.getrandbits(44):013d}" if rng.random() < (0.7 if store else 0.05) else None,
        store=store,
        leaves_store_at=leaves_store_at,
        shared_email=shared_email,
        sessions_per_day=min(2.5, exp(rng.gauss(log(0.053), 1.1))),
        intent=exp(rng.gauss(-0.3, 0.8)),
        favourites=(rng.choice(CATEGORIES), rng.choice(CATEGORIES)),
        wants_newsletter=rng.random() < 0.4,
        consent=consent,
        devices=_make_devices(rng, timezone, locale),
        shared_device=shared_device,
        utc_offset=utc_offset,
        home=home,
        write_street=choose_spelling(purse),
        cards=tuple(cards),
        purse=purse,
        ways=Random(f"{seed}/ways/{index}"),
    )


def _lifetime(world: World, rng: Random) -> tuple[int, int]:
    """When somebody first and last comes: a customer from before, one who joined since, one who stopped."""
    joins_at = world.start
    chance = rng.random()
    if chance > 0.96:
        joins_at = world.end - int(min(7, world.days) * DAY * rng.random()) - HOUR
    elif chance > 0.6:
        joins_at = world.start + int((world.end - world.start) * rng.random())
    joins_at = min(max(joins_at, world.start), world.end - HOUR)
    leaves_at = world.end
    if rng.random() < 0.25:
        leaves_at = joins_at + HOUR + int((world.end - joins_at - HOUR) * rng.random())
    return joins_at, leaves_at


def _make_devices(rng: Random, timezone: str, locale: str) -> list[Device]:
    devices = [_make_web_device(rng, timezone, locale)] if rng.random() < 0.93 else []
    if rng.random() < 0.45 or not devices:
        devices.append(_make_phone(rng, "ios" if rng.random() < 0.45 else "android", timezone, locale))
    if rng.random() < 0.22:
        devices.append(_make_web_device(rng, timezone, locale))
    if rng.random() < 0.05:
        devices.append(_make_phone(rng, rng.choice(("ios", "android")), timezone, locale))
    return devices


def _skew(rng: Random) -> int:
    chance = rng.random()
    if chance < 0.94:
        return int(rng.gauss(0, 800))
    if chance < 0.985:
        return rng.choice((-1, 1)) * int(rng.uniform(5 * 60_000, 14 * HOUR))
    return rng.choice((-1, 1)) * int(rng.uniform(2, 400) * DAY)


def _ip(rng: Random) -> str:
    # 100.64.0.0/10 belongs to nobody in public.
    return f"100.{rng.randrange(64, 128)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"


def _make_web_device(rng: Random, timezone: str, locale: str) -> Device:
    system, browser = rng.choice(
        (
            ("Windows NT 10.0; Win64; x64", "Chrome/142.0.0.0 Safari/537.36"),
            ("Windows NT 10.0; Win64; x64", "Edg/142.0.0.0"),
            ("Macintosh; Intel Mac OS X 10_15_7", "Version/19.1 Safari/605.1.15"),
            ("X11; Linux x86_64", "Firefox/145.0"),
            ("iPhone; CPU iPhone OS 19_1 like Mac OS X", "Version/19.1 Mobile/15E148 Safari/604.1"),
        )
    )
    context = {
        "library": {"name": "analytics.js", "version": "next-1.81.0"},
        "channel": "browser",
        "userAgent": f"Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) {browser}",
        "locale": locale,
        "timezone": timezone,
        "ip": _ip(rng),
    }
    return Device(uuid(rng), "web", context, _skew(rng))


def _make_phone(rng: Random, platform: str, timezone: str, locale: str) -> Device:
    device_id = uuid(rng) if platform == "android" else uuid(rng).upper()
    tracked = rng.random() < (0.8 if platform == "android" else 0.3)
    device: dict[str, Any] = {
        "id": device_id,
        "type": platform,
        "manufacturer": "Apple" if platform == "ios" else rng.choice(("Samsung", "Google", "Xiaomi")),
        "adTrackingEnabled": tracked,
    }
    identifiers = [(f"{platform}.id", device_id)]
    advertising_id = uuid(rng)
    if tracked:
        device["advertisingId"] = advertising_id
        identifiers.append((f"{platform}.idfa", advertising_id))
    elif rng.random() < 0.5:
        # What phones report when tracking is off: everybody's, hence nobody's.
        device["advertisingId"] = "00000000-0000-0000-0000-000000000000"
    token = f"{rng.getrandbits(128):032x}"
    if rng.random() < 0.6:
        device["token"] = token
        identifiers.append((f"{platform}.push_token", token))
    context = {
        "library": {"name": f"analytics-{'swift' if platform == 'ios' else 'kotlin'}", "version": "1.9.1"},
        "channel": "mobile",
        "app": {
            "name": "Shop",
            "version": rng.choice(("5.2.0", "5.3.1", "5.4.0")),
            "namespace": "example.shop",
        },
        "device": device,
        "os": {"name": "iOS", "version": "19.1"} if platform == "ios" else {"name": "Android", "version": "16"},
        "network": {"cellular": rng.random() < 0.5, "wifi": True},
        "locale": locale,
        "timezone": timezone,
        "ip": _ip(rng),
    }
    return Device(uuid(rng), platform, context, _skew(rng), identifiers=tuple(identifiers))
