"""The pairs that are proposed, and the raw table that they are written to."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta

import duckdb

from cdi.identity.matching.comparisons import COMPARISONS
from cdi.identity.tables import IdentityTables
from cdi.landing.tables import ensure_tables, next_load_time
from cdi.warehouse import Warehouse


@dataclass(frozen=True)
class Proposal:
    """A pair of profiles by one identifier of each (`type:value`, the smaller first), and why they look like one."""

    proposal_id: str
    identifier_a: str
    identifier_b: str
    match_weight: float
    match_probability: float
    evidence: str
    """JSON: comparison to its level and the weight that it adds; without the fields that one profile does not know."""
    is_new: bool


def make_proposals(engine: duckdb.DuckDBPyConnection, predictions: str) -> None:
    """Make `proposals` of splink's pairs of records: the best pair of each two profiles."""
    evidence = []
    for comparison in COMPARISONS:
        # splink numbers the levels from the last one, 0, up; -1 is unknown.
        cases = " ".join(
            f"when {place} then '{level.label}'" for place, level in enumerate(reversed(comparison.levels))
        )
        weight = f"mw_{comparison.name}"
        if any(level.frequency_of for level in comparison.levels):
            weight += f" + coalesce(mw_tf_adj_{comparison.name}, 0)"
        evidence.append(
            f"case when gamma_{comparison.name} >= 0 then json_object('{comparison.name}', json_object("
            f"'level', case gamma_{comparison.name} {cases} end, 'weight', round({weight}, 1))) else json('{{}}') end"
        )
    merged = evidence[0]
    for item in evidence[1:]:
        merged = f"json_merge_patch({merged}, {item})"
    rank = (
        "case when identifier = 'email:' || {0} then 0 when identifier_type = 'email' then 1"
        " when identifier_type = 'user_id' then 2 else 3 end"
    )
    engine.execute(
        _PROPOSALS.format(
            evidence=merged, predictions=predictions, rank_a=rank.format("email_a"), rank_b=rank.format("email_b")
        )
    )


# The identifier of a profile: the compared e-mail if it holds it, else its first e-mail, user id or anything.
_PROPOSALS = """
create table proposals as
with
pairs as (
    select
        least(profile_id_l, profile_id_r) as profile_a,
        greatest(profile_id_l, profile_id_r) as profile_b,
        case when profile_id_l < profile_id_r then email_l else email_r end as email_a,
        case when profile_id_l < profile_id_r then email_r else email_l end as email_b,
        round(match_weight, 3) as match_weight,
        round(match_probability, 6) as match_probability,
        cast({evidence} as varchar) as evidence
    from {predictions}
    where
        -- Two first names are two people, whatever they share: a family has one surname, address and telephone.
        gamma_first_name <> 0
        -- Where the surnames differ as well, the two addresses are right: Schmid and Schmidt.
        and (gamma_email <= 0 or email_l = email_r or coalesce(last_name_l = last_name_r, true))
        and (profile_id_l, profile_id_r) not in (select (profile_id, hub_profile_id) from refused_pairs)
        and (profile_id_r, profile_id_l) not in (select (profile_id, hub_profile_id) from refused_pairs)
    qualify row_number() over (
        partition by profile_a, profile_b order by round(match_weight, 3) desc, email_a, email_b
    ) = 1
),
named as (
    select
        pairs.*,
        (select arg_min(identifier, ({rank_a}, arrival, identifier)) from identifiers where profile_id = profile_a)
            as one,
        (select arg_min(identifier, ({rank_b}, arrival, identifier)) from identifiers where profile_id = profile_b)
            as other
    from pairs
),
keyed as (
    select md5(least(one, other) || '|' || greatest(one, other)) as proposal_id, *
    from named
),
judged as (
    select
        *,
        proposal_id in (select proposal_id from known_pairs)
        or (profile_a, profile_b) in (
            select (least(profile_a, profile_b), greatest(profile_a, profile_b)) from known_pairs
            where profile_a is not null and profile_b is not null
        ) as is_known
    from keyed
)
select
    proposal_id,
    least(one, other) as identifier_a,
    greatest(one, other) as identifier_b,
    match_weight,
    match_probability,
    evidence,
    not is_known as is_new
from judged
"""


def read_proposals(engine: duckdb.DuckDBPyConnection) -> list[Proposal]:
    """The pairs, the likeliest first."""
    rows = engine.execute(
        "select proposal_id, identifier_a, identifier_b, match_weight, match_probability, evidence, is_new"
        " from proposals order by match_weight desc, proposal_id"
    ).fetchall()
    return [Proposal(*row) for row in rows]


def write_proposals(
    warehouse: Warehouse, engine: duckdb.DuckDBPyConnection, tables: IdentityTables, matcher: str
) -> None:
    """Append the new pairs to raw.identity_proposals, as a load like any other."""
    # Loads are stamped in strict order: none of `cdi land` may come between the time taken here and the end.
    with warehouse.lock("land"):
        ensure_tables(warehouse, [])
        with warehouse.transaction():
            _write(warehouse, engine, tables, matcher)


def _write(warehouse: Warehouse, engine: duckdb.DuckDBPyConnection, tables: IdentityTables, matcher: str) -> None:
    loaded_at = next_load_time(warehouse)
    if tables.exists(warehouse, "events"):
        # Other loaders than `cdi land` write no raw.loads.
        newest = warehouse.query(f"select max(loaded_at) from {tables['events']}")[0][0]
        loaded_at = max(loaded_at, newest + timedelta(microseconds=1)) if newest else loaded_at
    rows = engine.sql(
        """
        select
            proposal_id, identifier_a, identifier_b, match_weight, match_probability, evidence,
            $matcher as matcher, cast($loaded_at as timestamp) as loaded_at
        from proposals
        where is_new
        order by proposal_id
        """,
        params={"matcher": matcher, "loaded_at": loaded_at},
    ).to_arrow_table()
    warehouse.append(tables["identity_proposals"], rows.to_reader())
    warehouse.execute(
        "insert into raw.loads (load_id, source, source_table, rows_landed, rows_rejected, loaded_at)"
        " values ($load_id, 'matcher', 'identity_proposals', $rows, 0, $loaded_at)",
        {"load_id": uuid.uuid4().hex, "rows": rows.num_rows, "loaded_at": loaded_at},
    )
