"""Pairs of profiles that are probably one person though no event links them: mistyped e-mails, a second account.

A probabilistic matcher (splink, after Fellegi and Sunter) compares profiles field by field. Each level of agreement has
two numbers: `m`, how often two profiles of one person show it, and `u`, how often two different people do. A pair's
weight is the sum of log2(m / u) over the fields that both profiles know. Pairs are only proposed, in
`raw.identity_proposals`; the identity models take them as links where var('match_threshold') says so.

The profiles leave the warehouse as Arrow and are compared in a DuckDB in memory. The same profiles give the same pairs:
sampling goes by hashes, training runs on one thread, and what is written is rounded.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

import duckdb
import pyarrow as pa
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cdi.dbt import load_manifest
from cdi.errors import CdiError, UsageError
from cdi.project import Project, read_yaml
from cdi.warehouse import Warehouse, connect, quote

log = logging.getLogger(__name__)

MIN_PROFILES = 100
"""Fewer profiles than this say nothing about how often people share a name."""
LOWEST_PROBABILITY = 0.5
"""Pairs less likely than this are not kept."""
BANDS = (0.99, 0.95, 0.9, 0.8, LOWEST_PROBABILITY)
SEED = 1
"""Of the random pairs."""
U_PAIRS = 3_000_000
"""Random pairs that the `u` of names, birthdays and places are counted on."""
M_START_PAIRS = 20
"""How many pairs of one person the start values of `m` are worth against what is learned."""
MAX_ITERATIONS = 100
START_RATE = 0.1
"""Second profiles per profile, to begin learning with."""

# ---------------------------------------------------------------------------------------------------------------------
# What is compared


OTHERWISE = "else"
"""The condition of the last level."""
Probabilities = dict[tuple[str, str], float]
"""Comparison and level's label to a probability."""


@dataclass(frozen=True)
class Level:
    """How far a field agrees: a label for people, a condition on `<column>_l` and `<column>_r`, the start of `m`.

    `frequency_of` names a column whose common values count less ("Müller" less than "Xanthopoulos").
    """

    label: str
    condition: str
    m: float
    frequency_of: str | None = None


@dataclass(frozen=True)
class Comparison:
    """A field that is compared: the columns that both profiles must know, and its levels, the closest first.

    `u` is counted on random pairs. Where agreement is so rare that a sample has none of it, or only the very pairs that
    are looked for, it is counted on all pairs with different names (`is_rare`), beginning with `u_start`.
    """

    name: str
    columns: tuple[str, ...]
    levels: tuple[Level, ...]
    is_rare: bool = False
    u_start: float = 1e-7

    @property
    def unknown(self) -> str:
        """The condition under which nothing can be said: one of the two does not know the field."""
        return " and ".join(f"({column}_l is null or {column}_r is null)" for column in self.columns)

    @property
    def level(self) -> str:
        """The SQL expression of the place of a pair's level in `levels`, null for unknown."""
        cases = " ".join(f"when {level.condition} then {place}" for place, level in enumerate(self.levels[:-1]))
        return f"case when {self.unknown} then null {cases} else {len(self.levels) - 1} end"


_REPLACED = "length(email_l) = length(email_r) and levenshtein(email_l, email_r) = 1"
_MISTYPED = (
    "damerau_levenshtein(email_l, email_r) = 1"
    # Another number is another person's, and with another dot namesakes help themselves.
    " and email_digits_l = email_digits_r and email_letters_l <> email_letters_r"
)
COMPARISONS = (
    Comparison(
        "email",
        ("email",),
        (
            Level("the same", "email_l = email_r", 0.1),
            Level("one letter lost, added or swapped", f"{_MISTYPED} and not ({_REPLACED})", 0.35),
            Level("one letter replaced", _MISTYPED, 0.1),
            Level("the same name at another domain", "email_own_name_l = email_own_name_r", 0.1),
            Level("different", OTHERWISE, 0.35),
        ),
        is_rare=True,
    ),
    Comparison(
        "phone",
        ("phone",),
        (Level("the same", "phone_l = phone_r", 0.6), Level("different", OTHERWISE, 0.4)),
        is_rare=True,
        u_start=1e-6,
    ),
    Comparison(
        "first_name",
        ("first_name",),
        (
            Level("the same", "first_name_l = first_name_r", 0.85, "first_name"),
            # At its end a letter makes another name: Mario and Maria, Jan and Jana.
            Level(
                "one letter off or an initial",
                "right(first_name_l, 2) = right(first_name_r, 2)"
                " and damerau_levenshtein(first_name_l, first_name_r) = 1"
                " or least(length(first_name_l), length(first_name_r)) = 1"
                " and left(first_name_l, 1) = left(first_name_r, 1)",
                0.1,
            ),
            Level("different", OTHERWISE, 0.05),
        ),
    ),
    Comparison(
        "last_name",
        ("last_name",),
        (
            Level("the same", "last_name_l = last_name_r", 0.85, "last_name"),
            Level("similar", "jaro_winkler_similarity(last_name_l, last_name_r) >= 0.9", 0.07),
            Level("different", OTHERWISE, 0.08),
        ),
    ),
    Comparison(
        "birthday",
        ("birthday",),
        (
            Level("the same", "birthday_l = birthday_r", 0.9),
            Level("one digit wrong or two swapped", "damerau_levenshtein(birthday_l, birthday_r) = 1", 0.06),
            Level("different", OTHERWISE, 0.04),
        ),
    ),
    Comparison(
        "place",
        ("postal_code", "city"),
        (
            Level("the same postal code", "postal_code_l = postal_code_r", 0.75),
            Level("the same city", "city_l = city_r", 0.1),
            Level("different", OTHERWISE, 0.15),
        ),
    ),
)


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

TOLD = ("email", "phone", "name", "first_name", "last_name", "city", "postal_code", "birthday")
"""Columns of `profiles` that are read; one that is not there counts as unknown."""
MAX_EMAILS = 10
"""Of a profile that holds more e-mails than this, the first to arrive are compared."""
ROLES = (
    "accounting", "admin", "billing", "bookings", "contact", "enquiries", "hello", "help", "info", "invoice", "kontakt",
    "mail", "marketing", "noreply", "no-reply", "office", "orders", "press", "sales", "service", "shop", "support",
    "team", "test", "webmaster",
)  # fmt: skip
"""Mailboxes of nobody in particular, at whatever domain: not compared."""
MAX_SHARED = 50
"""An e-mail or a phone number that more records have than this tells nobody."""
MAX_NAMESAKES = 100
"""Namesakes of more common names are only compared where they share a birthday or a postal code too."""

_LAST_NAME = "(?:(?:van|von|de|der|den|del|da|di|la|le|al|el|bin|ter) )*[^ ]+"
# One row per profile and e-mail that it holds or told: what is compared, cleaned. `told` and `identifiers` are Arrow.
_RECORDS = f"""
create table records as
with
clean as (
    select
        profile_id,
        lower(trim(email)) as email,
        nullif(regexp_replace(phone, '[^0-9]', '', 'g'), '') as phone,
        nullif(regexp_replace(trim(lower(strip_accents(name))), '\\s+', ' ', 'g'), '') as name,
        nullif(trim(lower(strip_accents(first_name))), '') as first_name,
        nullif(trim(lower(strip_accents(last_name))), '') as last_name,
        nullif(trim(lower(strip_accents(city))), '') as city,
        nullif(regexp_replace(lower(postal_code), '[^0-9a-z]', '', 'g'), '') as postal_code,
        nullif(trim(birthday), '') as birthday
    from told
),
people as (
    select
        * exclude (name, email, first_name, last_name),
        coalesce(first_name, case when contains(name, ' ') then split_part(name, ' ', 1) end) as first_name,
        coalesce(last_name, nullif(regexp_extract(name, ' ({_LAST_NAME})$', 1), '')) as last_name
    from clean
),
emails as (
    select profile_id, email
    from (
        select profile_id, lower(identifier_value) as email, arrival from identifiers where identifier_type = 'email'
        union all
        select profile_id, email, null from clean
    )
    where regexp_full_match(email, '[^@\\s]+@[^@\\s]+') and split_part(email, '@', 1) not in {ROLES}
    group by profile_id, email
    qualify row_number() over (partition by profile_id order by min(arrival) nulls last, email) <= {MAX_EMAILS}
),
joined as (
    select people.*, emails.email, split_part(emails.email, '@', 1) as email_local
    from people
    left join emails using (profile_id)
    where emails.email is not null or first_name is not null or last_name is not null
)
select
    cast(row_number() over (order by profile_id, email) as integer) as unique_id,
    profile_id,
    case when count(*) over (partition by email) <= {MAX_SHARED} then email end as email,
    regexp_replace(email, '[^0-9]', '', 'g') as email_digits,
    case
        when regexp_matches(email_local, '[a-z].*[0-9]{{2}}') and count(*) over (partition by email_local) <= 3
            then email_local
    end as email_own_name,
    regexp_replace(email, '[._-]', '', 'g') as email_letters,
    case when count(*) over (partition by phone) <= {MAX_SHARED} then phone end as phone,
    first_name,
    last_name,
    case
        when count(*) over (partition by first_name, last_name) <= {MAX_NAMESAKES} then first_name || ' ' || last_name
    end as full_name,
    birthday,
    postal_code,
    city,
    row_number() over (partition by profile_id order by email) = 1 as is_first
from joined
order by unique_id
"""

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

# ---------------------------------------------------------------------------------------------------------------------
# What comes out


@dataclass(frozen=True)
class Proposal:
    """A pair of profiles by one identifier of each (`type:value`, the smaller first), and why they look like one."""

    proposal_id: str
    identifier_a: str
    identifier_b: str
    match_weight: float
    match_probability: float
    evidence: Mapping[str, Mapping[str, Any]]
    """Comparison to its level and to the weight that it adds; a field that one profile does not know is not there."""
    is_new: bool


@dataclass(frozen=True)
class Matching:
    """What the matcher read, found (the likeliest first) and wrote."""

    profiles: int
    """Profiles with an e-mail or a name."""
    proposals: list[Proposal]
    matcher: str
    written: int
    table: str
    notes: list[str] = field(default_factory=list)

    @property
    def new(self) -> int:
        """How many pairs were not proposed before."""
        return sum(proposal.is_new for proposal in self.proposals)


PROPOSALS = {
    "proposal_id": "text", "identifier_a": "text", "identifier_b": "text", "match_weight": "double precision",
    "match_probability": "double precision", "evidence": "text", "matcher": "text", "loaded_at": "timestamp",
}  # fmt: skip
"""The columns of raw.identity_proposals."""


def match(project: Project, limit: int | None = None, dry_run: bool = False, manifest: Any = None) -> Matching:
    """Compare the profiles of the project's warehouse and add pairs that were not proposed before to the raw table.

    A pair of profiles that is in the table keeps its row, weight and `loaded_at` as they were first written. `limit`
    takes only so many new pairs, the likeliest first; `dry_run` writes nothing. Raises UsageError where splink or the
    tables are missing, or where there is too little to learn from; nothing is written then.
    """
    splink = _import_splink()
    manifest = manifest or load_manifest(project)
    relations = {node.name: (node.schema, node.alias) for node in manifest.nodes.values()}
    variables = read_yaml(project.root / "dbt_project.yml").get("vars") or {}
    table = (str(variables.get("raw_schema", "raw")), "identity_proposals")
    with connect(project) as warehouse, warehouse.lock("cdi identity match"), duckdb.connect() as engine:
        for name in ("profiles", "identity_graph"):
            if not warehouse.relation_exists(*relations[name]):
                raise UsageError(
                    f"{'.'.join(relations[name])} is not there: it has not been built yet.",
                    "Build it with `cdi run` or `dbt build`.",
                )
        engine.execute("set memory_limit = $limit", {"limit": _memory_limit(project)})
        count = _read(warehouse, engine, relations["profiles"], relations["identity_graph"], table)
        log.info("profiles to match", extra={"profiles": count})
        if count < MIN_PROFILES:
            raise UsageError(
                f"Only {count} profiles have an e-mail or a name: too few to learn how people differ.",
                f"The matcher needs {MIN_PROFILES}. Nothing was written.",
            )
        try:
            with _quiet_splink():
                matcher, notes = _compare(splink, engine)
        except (splink.exceptions.SplinkException, duckdb.Error, ArithmeticError, ValueError) as error:
            # Its text may hold values: only its kind is told.
            raise CdiError(
                f"The matcher could not learn from these profiles ({type(error).__name__}). Nothing was written."
            ) from None
        proposals = _proposals(engine, limit)
        written = 0 if dry_run else _write(warehouse, engine, table, matcher, limit)
    log.info("proposed pairs", extra={"pairs": len(proposals), "written": written})
    return Matching(count, proposals, matcher, written, ".".join(table), notes)


# ---------------------------------------------------------------------------------------------------------------------
# Reading and writing


def _read(
    warehouse: Warehouse,
    engine: duckdb.DuckDBPyConnection,
    profiles: tuple[str, str],
    graph: tuple[str, str],
    table: tuple[str, str],
) -> int:
    """Fill `records`, `identifiers` and `known_pairs` of the engine; returns how many profiles can be compared."""
    present = set(warehouse.column_names(*profiles))
    text = {"duckdb": "varchar"}.get(warehouse.dialect, "text")
    columns = ", ".join(
        f"cast({quote(name) if name in present else 'null'} as {text}) as {quote(name)}" for name in TOLD
    )
    has_email = f"profile_id in (select profile_id from {quote(*graph)} where identifier_type = 'email')"
    tells = [f"{quote(name)} is not null" for name in ("email", "name", "first_name", "last_name") if name in present]
    compared = f"from {quote(*profiles)} where {' or '.join([has_email, *tells])}"
    # The e-mails that a profile holds, and the identifier that arrived first, which names a profile without one.
    identifiers = f"""
        select profile_id, identifier, identifier_type, identifier_value, arrival
        from (
            select
                profile_id, identifier, identifier_type, identifier_value, cast(arrival as {text}) as arrival,
                row_number() over (partition by profile_id order by arrival, identifier) as place
            from {quote(*graph)}
            where profile_id in (select profile_id {compared})
        ) as ranked
        where place = 1 or identifier_type in ('email', 'user_id')
    """
    told = f"select profile_id, {columns} {compared}"
    _load(engine, "told", warehouse.fetch(told))
    _load(engine, "identifiers", warehouse.fetch(identifiers))
    if warehouse.relation_exists(*table):
        _load(
            engine,
            "known_pairs",
            warehouse.fetch(
                f"""
                select proposals.proposal_id, one.profile_id as profile_a, other.profile_id as profile_b
                from {quote(*table)} as proposals
                left join {quote(*graph)} as one on proposals.identifier_a = one.identifier
                left join {quote(*graph)} as other on proposals.identifier_b = other.identifier
                """
            ),
        )
    else:
        engine.execute("create table known_pairs (proposal_id varchar, profile_a varchar, profile_b varchar)")
    engine.execute(_RECORDS)
    return _scalar(engine, "select count(distinct profile_id) from records")


def _load(engine: duckdb.DuckDBPyConnection, name: str, batches: Sequence[pa.RecordBatch]) -> None:
    engine.register("_batches", pa.Table.from_batches(batches) if batches else None)
    engine.execute(f"create table {name} as select * from _batches")
    engine.unregister("_batches")


def _proposals(engine: duckdb.DuckDBPyConnection, limit: int | None) -> list[Proposal]:
    """The pairs, the likeliest first; of the new ones at most `limit`."""
    rows = engine.execute(
        """
        select
            proposal_id, identifier_a, identifier_b, match_weight, match_probability, evidence, place is not null
        from proposals
        where place is null or place <= coalesce($limit, place)
        order by match_weight desc, proposal_id
        """,
        {"limit": limit},
    ).fetchall()
    return [Proposal(*row[:5], evidence=json.loads(row[5]), is_new=row[6]) for row in rows]


def _write(
    warehouse: Warehouse, engine: duckdb.DuckDBPyConnection, table: tuple[str, str], matcher: str, limit: int | None
) -> int:
    """Append the new pairs; returns their number."""
    rows = engine.sql(
        """
        select
            proposal_id, identifier_a, identifier_b, match_weight, match_probability, evidence,
            $matcher as matcher, cast($now as timestamp) as loaded_at
        from proposals
        where place <= coalesce($limit, place)
        order by place
        """,
        params={"matcher": matcher, "now": datetime.now(UTC).replace(tzinfo=None), "limit": limit},
    ).to_arrow_table()
    with warehouse.transaction():
        if not warehouse.relation_exists(*table):
            definitions = ", ".join(f"{quote(name)} {kind}" for name, kind in PROPOSALS.items())
            # Asking PostgreSQL for a schema that exists needs the right to make one.
            if not warehouse.query(
                "select 1 from information_schema.schemata where schema_name = $schema", {"schema": table[0]}
            ):
                warehouse.execute(f"create schema {quote(table[0])}")
            warehouse.execute(f"create table {quote(*table)} ({definitions})")
        return warehouse.append(quote(*table), rows.to_reader()) if rows.num_rows else 0


def _memory_limit(project: Project) -> str:
    """As much memory as the DuckDB profile allows itself, else 4 GB."""
    return str((getattr(project.credentials, "settings", None) or {}).get("memory_limit", "4GB"))


# ---------------------------------------------------------------------------------------------------------------------
# Comparing


def _compare(splink: Any, engine: duckdb.DuckDBPyConnection) -> tuple[str, list[str]]:
    """Fill `proposals` of the engine from `records`; returns the matcher's name and notes for the reader.

    `place` is the rank of a new pair, null for one that was proposed before.
    """
    settings = (COMPARISONS, BLOCKS, SEED, U_PAIRS, START_RATE, M_START_PAIRS)
    matcher = f"splink {splink.version} {hashlib.sha256(repr((settings, _RECORDS)).encode()).hexdigest()[:8]}"
    # One thread adds up numbers in one order.
    engine.execute("set threads = 1")
    engine.execute(_NEAR)
    engine.execute(_pairs_sql())
    api = splink.DuckDBAPI(connection=engine)
    engine.execute("create table people as select * from records where is_first order by unique_id")
    u = _estimate_u(splink, engine, api.register("people"))
    m, prior, notes = _estimate_m(engine, u)
    engine.execute("reset threads")
    linker = splink.Linker(api.register("records"), _settings(splink, COMPARISONS, m, u, prior), log_level=None)
    engine.execute("create table keys as select id_l as join_key_l, id_r as join_key_r, '0' as match_key from pairs")
    linker.table_management.register_blocked_pairs_for_predict(api.register("keys"))
    predictions = linker.inference.predict(threshold_match_probability=LOWEST_PROBABILITY, warning_mode="never")
    engine.execute(_proposals_sql(predictions.physical_name))
    return matcher, notes


def _scalar(engine: duckdb.DuckDBPyConnection, sql: str) -> Any:
    return engine.execute(sql).fetchall()[0][0]


def _pairs_sql() -> str:
    """The statement that makes `pairs`: one row per pair of records to compare, with the places of their levels."""
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
    return f"""
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
        where not is_near or email_l = email_r or {_MISTYPED}
    """


def _settings(splink: Any, comparisons: Sequence[Comparison], m: Probabilities, u: Probabilities, prior: float) -> Any:
    """The comparisons as splink's settings; `m` and `u` are {(comparison, level's label): probability}."""
    return splink.SettingsCreator(
        link_type="dedupe_only",
        unique_id_column_name="unique_id",
        probability_two_random_records_match=prior,
        comparisons=[
            splink.CustomComparison(
                output_column_name=comparison.name,
                comparison_levels=[
                    splink.CustomLevel(comparison.unknown, "unknown").configure(is_null_level=True),
                    *(
                        splink.CustomLevel(level.condition, level.label).configure(
                            m_probability=m.get((comparison.name, level.label), level.m),
                            u_probability=u.get((comparison.name, level.label)),
                            tf_adjustment_column=level.frequency_of,
                        )
                        for level in comparison.levels
                    ),
                ],
            )
            for comparison in comparisons
        ],
        # The pairs are chosen by BLOCKS; splink wants to hear a rule all the same.
        blocking_rules_to_generate_predictions=[splink.CustomRule("l.unique_id = r.unique_id")],
        additional_columns_to_retain=["profile_id"],
        retain_intermediate_calculation_columns=True,
    )


def _estimate_u(splink: Any, engine: duckdb.DuckDBPyConnection, records: Any) -> Probabilities:
    """How often two different people agree, per comparison and level: on random pairs, or on all for rare ones."""
    common = [comparison for comparison in COMPARISONS if not comparison.is_rare]
    linker = splink.Linker(records, _settings(splink, common, {}, {}, 1e-4), log_level=None)
    linker.training.estimate_u_using_random_sampling(
        max_pairs=U_PAIRS, seed=SEED, min_count_per_level=None, num_chunks=1
    )
    found = {
        key: max(value, 1e-6) for key, value in _parameters(linker.misc.save_model_to_json(), "u_probability").items()
    }
    for comparison in COMPARISONS:
        if not comparison.is_rare:
            continue
        counted = dict(
            engine.execute(
                f"""
                select level_{comparison.name}, count(*) from pairs
                where first_name_l <> first_name_r or last_name_l <> last_name_r group by all
                """
            ).fetchall()
        )
        # All pairs less those of namesakes.
        pairs = _scalar(
            engine,
            f"""
            select coalesce((sum(records) * sum(records) - sum(records * records)) / 2, 0)
            from (
                select cast(count(*) as double) as records
                from records
                where {comparison.columns[0]} is not null and first_name is not null and last_name is not null
                group by first_name, last_name
            )
            """,
        )
        for place, level in enumerate(comparison.levels[:-1]):
            found[comparison.name, level.label] = (counted.get(place, 0) + 1) / (pairs + 1 / comparison.u_start)
        found[comparison.name, comparison.levels[-1].label] = 1 - sum(
            found[comparison.name, level.label] for level in comparison.levels[:-1]
        )
    return found


def _estimate_m(engine: duckdb.DuckDBPyConnection, u: Probabilities) -> tuple[Probabilities, float, list[str]]:
    """How often two profiles of one person agree, and how many of all pairs are one person, by expectation maximisation.

    It goes over all pairs that are compared, by how many show which levels. splink's own EM takes a level that no pair
    shows for impossible and breaks on few pairs: here the start values count as M_START_PAIRS pairs beside those
    learned from.
    """
    levels = ", ".join(f"level_{comparison.name}" for comparison in COMPARISONS)
    patterns = [
        (
            [
                (comparison.name, comparison.levels[place].label)
                for comparison, place in zip(COMPARISONS, row[:-1], strict=True)
                if place is not None
            ],
            row[-1],
        )
        for row in engine.execute(f"select {levels}, count(*) from pairs group by all order by all").fetchall()
    ]
    records = _scalar(engine, "select cast(count(*) as double) from records")
    pairs = records * (records - 1) / 2
    m = {(comparison.name, level.label): level.m for comparison in COMPARISONS for level in comparison.levels}
    prior = START_RATE * records / pairs
    seen: dict[tuple[str, str], float] = {}
    for _ in range(MAX_ITERATIONS):
        seen, matches = dict.fromkeys(m, 0.0), 0.0
        for known, count in patterns:
            odds = prior / (1 - prior) * math.prod(m[key] / u[key] for key in known)
            matched = count * odds / (1 + odds)
            matches += matched
            for key in known:
                seen[key] += matched
        before, m = m, {}
        for comparison in COMPARISONS:
            learned = sum(seen[comparison.name, level.label] for level in comparison.levels)
            for level in comparison.levels:
                key = (comparison.name, level.label)
                m[key] = (seen[key] + level.m * M_START_PAIRS) / (learned + M_START_PAIRS)
        change = max(abs(m[key] - before[key]) for key in m) + abs(matches / pairs / prior - 1)
        prior = max(matches, 0.1) / pairs
        if change < 1e-4:
            break
    few = [
        comparison.name.replace("_", " ")
        for comparison in COMPARISONS
        if sum(seen[comparison.name, level.label] for level in comparison.levels) < M_START_PAIRS
    ]
    notes = [f"Few pairs to learn from: {', '.join(few)} weigh mostly as their start values say."] if few else []
    return m, prior, notes


def _parameters(model: Mapping[str, Any], kind: str) -> Probabilities:
    """The probabilities of a model, {(comparison, level's label): value}; 0 for a level that was never seen."""
    return {
        (comparison["output_column_name"], level["label_for_charts"]): value if isinstance(value, float) else 0.0
        for comparison in model["comparisons"]
        for level in comparison["comparison_levels"]
        if not level.get("is_null_level")
        for value in [level.get(kind)]
    }


def _proposals_sql(predictions: str) -> str:
    """The statement that makes `proposals` of splink's pairs of records: the best pair of each two profiles."""
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
    return _PROPOSALS_OF.format(
        evidence=merged, predictions=predictions, rank_a=rank.format("email_a"), rank_b=rank.format("email_b")
    )


# The identifier of a profile: the compared e-mail if it holds it, else its first e-mail, user id or anything.
_PROPOSALS_OF = """
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
    case when not is_known then
        row_number() over (partition by is_known order by match_weight desc, proposal_id)
    end as place
from judged
"""


def _import_splink() -> Any:
    """What is used of splink, under one name; raises UsageError where it is not installed."""
    try:
        import splink
        from splink import DuckDBAPI, Linker, SettingsCreator
        from splink.blocking_rule_library import CustomRule
        from splink.comparison_level_library import CustomLevel
        from splink.comparison_library import CustomComparison
        from splink.internals import exceptions
    except ImportError:
        raise UsageError(
            "cdi identity match needs splink, which is not installed.", "Install it with `pip install 'cdi[match]'`."
        ) from None
    from types import SimpleNamespace

    return SimpleNamespace(
        version=splink.__version__,
        exceptions=exceptions,
        DuckDBAPI=DuckDBAPI,
        Linker=Linker,
        SettingsCreator=SettingsCreator,
        CustomRule=CustomRule,
        CustomLevel=CustomLevel,
        CustomComparison=CustomComparison,
    )


@contextmanager
def _quiet_splink() -> Iterator[None]:
    """Keep splink's log to itself: it tells of settings and statements that a user of cdi did not write."""
    logger = logging.getLogger("splink")
    before = logger.disabled, logger.level, logger.propagate
    logger.setLevel(logging.CRITICAL + 1)
    logger.propagate = False
    try:
        yield
    finally:
        logger.disabled, logger.level, logger.propagate = before


# ---------------------------------------------------------------------------------------------------------------------
# The command


def match_command(
    context: typer.Context,
    threshold_shown: Annotated[float, typer.Option(min=0, max=1, help="Show pairs from this probability on.")] = 0.9,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Propose at most so many new pairs, the likeliest first.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the pairs and write nothing.")] = False,
    show_values: Annotated[bool, typer.Option("--show-values", help="Show e-mails and ids in full.")] = False,
) -> None:
    """Propose pairs of profiles that are probably one person though no event links them. Joins nothing by itself."""
    matching = match(context.obj.project(), limit, dry_run)
    show_matching(Console(), matching, threshold_shown, dry_run, show_values)


def show_matching(
    console: Console, matching: Matching, threshold_shown: float = 0.9, dry_run: bool = False, show_values: bool = False
) -> None:
    """How many pairs there are per band of probability, the ten best with their evidence, and how to take them in."""
    console.print(f"{matching.profiles:,} profiles have an e-mail or a name; {matching.matcher} compared them.")
    for note in matching.notes:
        console.print(note)
    bands = Table(box=None)
    for column in ("probability", "pairs", "new"):
        bands.add_column(column, justify="right")
    upper = math.inf
    for lower in BANDS:
        inside = [item for item in matching.proposals if lower <= item.match_probability < upper]
        bands.add_row(f"from {lower:.2f}", f"{len(inside):,}", f"{sum(item.is_new for item in inside):,}")
        upper = lower
    console.print(bands)
    shown = [item for item in matching.proposals if item.match_probability >= threshold_shown][:10]
    if shown:
        pairs = Table(box=None, padding=(0, 1))
        pairs.add_column("probability", justify="right", no_wrap=True)
        for column in ("one", "other", "why (weight)"):
            pairs.add_column(column, overflow="fold")
        for item in shown:
            one, other = (
                name if show_values else mask_identifier(name) for name in (item.identifier_a, item.identifier_b)
            )
            why = ", ".join(
                f"{name.replace('_', ' ')} {seen['level']} ({seen['weight']:+.1f})"
                for name, seen in item.evidence.items()
            )
            pairs.add_row(f"{item.match_probability:.4f}", escape(one), escape(other), why)
        console.print(pairs)
    if dry_run:
        console.print(f"Dry run: nothing was written; {matching.new:,} pairs are new.")
        return
    console.print(f"{matching.written:,} new pairs were written to {matching.table}.")
    if matching.proposals:
        console.print(
            "They join nothing yet. Look through them, set the probability from which they count as links in"
            " dbt_project.yml, vars: match_threshold: 0.99, and build: the limits of identifiers hold for them too.",
            highlight=False,
        )


def mask_identifier(identifier: str) -> str:
    """An identifier for the eye: `email:a***@d***.com`, `user_id:usr***`."""
    kind, _, value = identifier.partition(":")
    name, at, domain = value.rpartition("@")
    if not at:
        return f"{kind}:{value[:3] if len(value) > 6 else ''}***"
    host, _, top = domain.rpartition(".")
    return f"{kind}:{name[:1]}***@{host[:1]}***.{top}"
