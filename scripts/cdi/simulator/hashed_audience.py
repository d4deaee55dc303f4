"""An audience of an advertiser's tool: people whom it knows by hashes, and matches by any one of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

_HASH = re.compile(r"[0-9a-f]{64}")


def is_hash(value: Any) -> bool:
    """Whether a value is a SHA-256 in hexadecimal digits."""
    return isinstance(value, str) and bool(_HASH.fullmatch(value))


class HashedAudience:
    """Members by each of their identifiers."""

    def __init__(self) -> None:
        self._member_of: dict[str, set[str]] = {}

    def add(self, identifiers: Iterable[str]) -> None:
        """Take somebody in; who is known by one of the identifiers is the same person."""
        member = set(identifiers)
        for identifier in list(member):
            member |= self._member_of.get(identifier, set())
        for identifier in member:
            self._member_of[identifier] = member

    def remove(self, identifiers: Iterable[str]) -> None:
        """Take out who is known by one of the identifiers."""
        for identifier in identifiers:
            for known in self._member_of.get(identifier, set()).copy():
                self._member_of.pop(known, None)

    def __contains__(self, identifier: str) -> bool:
        return identifier in self._member_of

    def __len__(self) -> int:
        return len({id(member) for member in self._member_of.values()})

    @property
    def identifiers(self) -> set[str]:
        """All that members are known by."""
        return set(self._member_of)
