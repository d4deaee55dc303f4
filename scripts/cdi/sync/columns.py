"""Columns of a model as tools get them, in SQL: their values, and one text of all of them to tell changes by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache

from cdi.warehouse import quote


def has_parts(kind: str) -> bool:
    """Whether values of a type are lists, structures or JSON."""
    return kind in ("array", "json", "jsonb") or kind.startswith(("struct", "map", "union")) or kind.endswith("]")


def as_sent(dialect: str, name: str, kind: str) -> tuple[str, str]:
    """SQL for a column as tools get it, and its type.

    Numbers, texts, dates and timestamps stay; a timestamp with a zone becomes UTC without one; what has parts becomes
    JSON text, and anything else text.
    """
    column = quote(name)
    if kind == "json":
        return f"cast({'to_jsonb' if dialect == 'postgres' else 'to_json'}({column}) as text)", "text"
    if kind == "timestamp with time zone":
        # As text it would depend on the session's time zone, and so would its hash.
        return f"({column} at time zone 'UTC')", "timestamp"
    if kind == "unbounded":
        return f"cast({column} as numeric(38, 9))", "numeric(38, 9)"
    return (column, kind) if kind.startswith(_PLAIN) else (f"cast({column} as text)", "text")


_PLAIN = (
    "boolean", "tinyint", "smallint", "integer", "bigint", "hugeint", "utinyint", "usmallint", "uinteger", "ubigint",
    "decimal", "numeric", "real", "float", "double", "varchar", "character", "text", "date", "timestamp",
)  # fmt: skip


def hashed(names: Iterable[str]) -> str:
    """SQL for one text of all fields.

    In the order of the names, each value with its length: neither the order of fields nor what stands in them can make
    two different rows look the same. A field that is null is left out, so that a new one that nobody has sends nothing.
    """
    parts: list[str] = []
    for name in sorted(names):
        text, label = f"cast({quote(name)} as text)", name.replace("'", "''")
        parts += [f"'{label}=' || cast(length({text}) as text) || ':'", text]
    # Few calls, which leave out what is null: `||` would copy the whole text once for every field. PostgreSQL takes no
    # more than a hundred arguments.
    calls = [parts[first : first + 80] for first in range(0, len(parts), 80)]
    return " || ".join(f"concat({', '.join(call)})" for call in calls)


def hashed_one_by_one(names: Iterable[str]) -> str:
    """SQL for a text with a hash of each field, by which to tell later which of them changed: `unchanged_fields`."""
    return " || ".join(
        f"'{_name_hash(name)}=' || coalesce(left(md5(cast({quote(name)} as text)), 12), 'null') || ','"
        for name in sorted(names)
    )


def unchanged_fields(names: Iterable[str], before: str | None, after: str | None) -> frozenset[str]:
    """The fields that are the same in two texts of `hashed_one_by_one`."""
    same = set((before or "").split(",")) & set((after or "").split(","))
    hashes = {item.partition("=")[0] for item in same}
    return frozenset(name for name in names if _name_hash(name) in hashes)


@cache
def _name_hash(name: str) -> str:
    return hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()[:12]
