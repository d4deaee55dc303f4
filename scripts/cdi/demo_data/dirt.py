"""What goes wrong with data on its way: how often, and how it looks."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable
from itertools import accumulate
from random import Random
from typing import Any

from cdi.demo_data.world import DAY, HOUR, MINUTE

_RATES = {
    "duplicate": 0.012,
    "late": 0.005,
    "future": 0.0006,
    "junk_id": 0.0015,
    "wrong_property": 0.008,
    "unplanned": 0.0015,
    "misspelt": 0.0008,
}
_KINDS = (*_RATES, None)
_UP_TO = list(accumulate(_RATES.values()))

JUNK_IDS = ("null", "undefined", "anonymous", "0000-0000", "-1", "00000000-0000-0000-0000-000000000000")
UNPLANNED_EVENTS = ("Button Clicked", "debug_test", "Chat Opened", "Experiment Viewed")


def draw(rng: Random) -> str | None:
    """What goes wrong with a message: a key of the rates, mostly nothing (None)."""
    return _KINDS[bisect(_UP_TO, rng.random())]


def late_by(rng: Random) -> int:
    """Milliseconds that a message waits on a device without network: an hour to six days."""
    return int(HOUR + rng.random() ** 2 * 6 * DAY)


def sent_again_after(rng: Random) -> int:
    """Milliseconds until the same message comes a second time: mostly soon, sometimes on another day."""
    return int(rng.uniform(1_000, 20 * MINUTE)) if rng.random() < 0.7 else int(rng.uniform(HOUR, 40 * HOUR))


def misspell(rng: Random, event: str) -> str:
    """An event's name as another developer wrote it: `order completed`, `OrderCompleted`, ..."""
    return rng.choice((event.lower(), event.replace(" ", ""), event.lower().replace(" ", "_")))


def mistype_email(rng: Random, email: str) -> str:
    """An e-mail with a letter lost or two swapped; its number is left alone, so it is nobody else's."""
    domain_typo = {
        "gmail.": "gmial.",
        "gmx.": "gxm.",
        "outlook.": "outlok.",
        "web.": "wbe.",
        "icloud.": "iclod.",
    }
    name, _, domain = email.partition("@")
    for right, wrong in domain_typo.items():
        if domain.startswith(right) and rng.random() < 0.5:
            return f"{name}@{domain.replace(right, wrong, 1)}"
    letters = [place for place in range(len(name) - 1) if name[place].isalpha() and name[place + 1].isalpha()]
    place = rng.choice(letters)
    if rng.random() < 0.5 and name[place] != name[place + 1]:
        return f"{name[:place]}{name[place + 1]}{name[place]}{name[place + 2 :]}@{domain}"
    return f"{name[:place]}{name[place + 1 :]}@{domain}"


def _comma(value: Any, _: Random) -> Any:
    return f"{value:.2f}".replace(".", ",")


def _in_words(_: Any, rng: Random) -> Any:
    return rng.choice(("two", "one", "1 pc"))


def _as_text(value: Any, _: Random) -> Any:
    return str(value)


def _null(_: Any, __: Random) -> Any:
    return None


_MISSING = object()


def _missing(_: Any, __: Random) -> Any:
    return _MISSING


_SPOILERS: tuple[tuple[str, Callable[[Any, Random], Any]], ...] = (
    ("price", _comma),
    ("price", _null),
    ("quantity", _in_words),
    ("product_id", _missing),
    ("revenue", _comma),
    ("total", _comma),
    ("order_id", _missing),
    ("currency", _missing),
    ("products", _as_text),
    ("value", _comma),
)


def spoil(rng: Random, properties: dict[str, Any]) -> dict[str, Any]:
    """A copy of an event's properties with one missing or of the wrong type, if it has one that can be."""
    choices = [spoiler for spoiler in _SPOILERS if spoiler[0] in properties]
    if not choices:
        return properties
    name, spoiler = rng.choice(choices)
    value = spoiler(properties[name], rng)
    spoilt = dict(properties)
    if value is _MISSING:
        del spoilt[name]
    else:
        spoilt[name] = value
    return spoilt


BROKEN_LINES = (
    b'{"type":"track","event":"Product Viewed","messageId":"b1f2-cut-off","anonymousId":"',
    b'[{"type":"track","event":"Cart Viewed","messageId":"in-an-array","anonymousId":"a-1"}]',
    b"{}",
    b'{"event":"Order Completed","messageId":"no-type","userId":"usr_x","properties":{}}',
    b"503 Service Unavailable",
)


def broken_line(index: int) -> bytes | None:
    """The line that is no event which person number `index` happens to cause: five in every 5000 people."""
    place = index % 5000
    return BROKEN_LINES[place // 8] if place % 8 == 3 and place < 8 * len(BROKEN_LINES) else None
