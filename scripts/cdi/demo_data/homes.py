"""Where people live and what cards they pay with: what members of a household share, and others only seem to.

All of it is drawn from generators of its own, so that it changes nothing else about a person.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from cdi.demo_data.assortment import CITIES, FIRST_NAMES, LAST_NAMES, STREETS

PEOPLE_PER_TOWER = 2_000
TOWER_CITIES = CITIES[:3]
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Home:
    """An address as it is written on the door."""

    street: str
    """Street and number."""
    city: str
    postal_code: str
    country: str

    def as_written(self, spelling: Callable[[str], str]) -> dict[str, str]:
        """The address as Segment's spec names its parts, the street as somebody spells it."""
        return {
            "street": spelling(self.street),
            "city": self.city,
            "postalCode": self.postal_code,
            "country": self.country,
        }


def random_id(rng: Random, length: int) -> str:
    """Random letters and digits, as Stripe's and Salesforce's ids have."""
    return "".join(rng.choices(_BASE62, k=length))


def make_home(rng: Random, city: tuple[str, str, str]) -> Home:
    """A house in a city."""
    street = rng.choice(STREETS[city[2]])
    name = street.format(rng.choice(FIRST_NAMES), rng.choice(LAST_NAMES), rng.randrange(1, 140))
    return Home(name, *city)


def find_home(seed: int, rng: Random, index: int, city: tuple[str, str, str]) -> Home:
    """A house of one's own, or, in a large city, sometimes one of hundreds of flats with one address."""
    if city in TOWER_CITIES and rng.random() < 0.1:
        return make_home(Random(f"{seed}/tower/{index // PEOPLE_PER_TOWER}/{city[0]}"), city)
    return make_home(rng, city)


def make_card(rng: Random) -> str:
    """The fingerprint that Stripe gives a card's number."""
    return random_id(rng, 16)


def choose_spelling(rng: Random) -> Callable[[str], str]:
    """How somebody writes streets: in full, short, in capitals, without umlauts, or with a wrong number."""
    chance = rng.random()
    if chance < 0.6:
        return str
    if chance < 0.75:
        return _short
    if chance < 0.85:
        return lambda street: street.replace("ß", "ss")
    if chance < 0.93:
        return str.upper
    if chance < 0.98:
        return lambda street: f" {street.replace('-', ' ')} ".replace(" ", "  ")
    return lambda street: street.replace("1", "7") if "1" in street else f"{street} a"


def _short(street: str) -> str:
    for long, short in (("traße", "tr."), ("traat", "tr."), (" Street", " St"), (" Road", " Rd"), ("avenue", "av.")):
        street = street.replace(long, short)
    return street
