"""Which pairs of records are compared, and how far the fields of each agree."""

from __future__ import annotations

import duckdb

from cdi.identity.matching.comparisons import COMPARISONS, MISTYPED

NEAR = ("nearly the same e-mail",)
BLOCKS = (
    NEAR,
    ("email_own_name",),
    ("phone",),
    ("full_name",),
    ("first_name", "last_name", "birthday"),
    ("first_name", "last_name", "postal_code"),
    ("last_name", "birthday"),
    ("first_name", "birthday"),
)
"""Pairs are only compared where all columns of one of these are the same."""

# E-mails that differ by one letter have a variant with a letter less, or themselves, in common.
_NEAR = """
create table near as
with
variants as (
    select
        unique_id,
        unnest(list_distinct(list_append(
            list_transform(
                range(1, length(email) + 1), lambda place: hash(left(email, place - 1) || email[place + 1:])
            ),
            hash(email)
        ))) as variant
    from records
    where email is not null
)
select distinct one.unique_id as id_l, other.unique_id as id_r
from variants as one
inner join variants as other on one.variant = other.variant and one.unique_id < other.unique_id
"""
_COMPARED = (
    "profile_id", "email", "email_digits", "email_letters", "email_own_name", "phone", "first_name", "last_name",
    "birthday", "postal_code", "city",
)  # fmt: skip


def find_pairs(engine: duckdb.DuckDBPyConnection) -> None:
    """Make `pairs` of `records`: one row per pair to compare, with the places of its levels."""
    engine.execute(_NEAR)
    found = [
        "select id_l, id_r, true as is_near from near"
        if columns == NEAR
        else "select one.unique_id, other.unique_id, false from records as one inner join records as other"
        f" using ({', '.join(columns)}) where one.unique_id < other.unique_id"
        for columns in BLOCKS
    ]
    sides = ", ".join(
        f"{table}.{column} as {column}_{side}" for side, table in (("l", "one"), ("r", "other")) for column in _COMPARED
    )
    engine.execute(
        f"""
        create table pairs as
        with
        found as ({" union all ".join(found)}),
        joined as (select id_l, id_r, bool_and(is_near) as is_near from found group by id_l, id_r),
        sides as (
            select joined.*, {sides}
            from joined
            inner join records as one on joined.id_l = one.unique_id
            inner join records as other on joined.id_r = other.unique_id
            where one.profile_id <> other.profile_id
        )
        select *, {", ".join(f"{item.level} as level_{item.name}" for item in COMPARISONS)}
        from sides
        -- Nearly the same e-mail but for a number, which is another person's, is no reason to compare.
        where not is_near or email_l = email_r or {MISTYPED}
    """
    )
