"""From identifiers to people: all identifiers of a person, and the arrivals of events that are the person's."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import duckdb
import pyarrow as pa

from cdi.errors import UsageError
from cdi.identity.tables import IdentityTables
from cdi.warehouse import Warehouse

MOST = 100_000
"""Identifiers of one call."""

NEEDED = ("arrival_identifiers", "identity_graph", "identifier_rules", "events")
"""Tables that requests read."""

# Rows live as long as their request is being worked on: they hold the identifiers themselves.
WORK_TABLES = {
    "privacy_identifiers": "batch_id text, request_id text, identifier text, identifier_id text, is_named boolean,"
    " is_shared boolean",
    "privacy_events": "batch_id text, event_id text, source text, load_id text, source_line bigint",
}
PARTS = "unnest(string_to_array(identifiers, chr(31)))"


def read_identifiers(warehouse: Warehouse, tables: IdentityTables, given: Iterable[str], file: Path | None) -> pa.Table:
    """Identifiers as `type=value` and from a file of lines `type,value`, comparable, in a column `identifier`.

    Raises UsageError that names what is no identifier, with its line; nothing is taken then.
    """
    tables.require(warehouse, *NEEDED)
    places, types, values = [], [], []
    for text in given:
        kind, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"'{text}' is no identifier.", "Write it as type=value, such as email=jane@example.com.")
        places.append(f"'{text}'")
        types.append(kind)
        values.append(value)
    with duckdb.connect() as engine:
        if file:
            try:
                rows = engine.execute(
                    "select * from read_csv($file, header = false, all_varchar = true, delim = ',', quote = '\"',"
                    " columns = {'type': 'varchar', 'value': 'varchar'})",
                    {"file": str(file)},
                ).fetchall()
            except duckdb.Error as error:
                reason = str(error).split("\n", 1)[0]
                raise UsageError(
                    f"{file} cannot be read: {reason}", "Each line is type,value, such as email,jane@example.com."
                ) from None
            places += [f"{file}, line {number}" for number in range(1, len(rows) + 1)]
            types += [kind for kind, _ in rows]
            values += [value for _, value in rows]
        if not values:
            raise UsageError("No identifier is given.", "Name some with --identifier type=value or --file.")
        if len(values) > MOST:
            raise UsageError(f"{len(values):,} identifiers are more than {MOST:,}.", "Split the file.")
        rules = warehouse.query(
            f"select identifier_type, normalisation from {tables['identifier_rules']} where rule = 'type'"
        )
        engine.register("given", pa.table({"place": places, "type": types, "value": values}))
        engine.register(
            "rules", pa.table({"type": [row[0] for row in rules], "normalisation": [row[1] for row in rules]})
        )
        # As macros/identity/identifiers.sql makes them comparable.
        engine.execute(
            r"""
            create table read as
            select given.place, rules.type, case rules.normalisation
                when 'lower_case' then lower(trim(given.value))
                when 'phone' then regexp_replace(regexp_replace(given.value, '[^0-9+]', '', 'g'), '^00', '+')
                else trim(given.value) end as value
            from given left join rules on lower(trim(given.type)) = lower(rules.type)
            """
        )
        wrong = engine.execute("select place from read where type is null or coalesce(value, '') = ''").fetchall()
        if wrong:
            raise UsageError(
                f"{len(wrong)} of the identifiers are none, the first at {wrong[0][0]}. Nothing was done.",
                f"An identifier is one of these types with a value: {', '.join(sorted(row[0] for row in rules))}.",
            )
        return engine.sql("select distinct type || ':' || value as identifier from read order by 1").to_arrow_table()


def resolve(warehouse: Warehouse, tables: IdentityTables, batch_id: str) -> None:
    """Fill the work tables of a batch from its named identifiers, inside a transaction.

    A person is the profile of an identifier, and what has landed since the graph was built is looked at too. A
    person's events are those whose strongest identifier is the person's, as everywhere. An identifier that other
    people's events carry as well (a device, a mailbox) is marked as shared.
    """
    batch = {"batch": batch_id}
    graph = tables["identity_graph"]
    warehouse.execute("delete from cdi.privacy_identifiers where batch_id = $batch and not is_named", batch)
    warehouse.execute("delete from cdi.privacy_events where batch_id = $batch", batch)
    warehouse.execute("drop table if exists cdi_arrivals")
    warehouse.execute(
        "create temporary table cdi_arrivals as select event_id, source, load_id, source_line, identifiers, identifier"
        f" from {tables['arrival_identifiers']}"
    )
    _add(
        warehouse,
        batch_id,
        f"select named.request_id, graph.identifier from cdi.privacy_identifiers as named"
        f" inner join {graph} as of_named on named.identifier = of_named.identifier"
        f" inner join {graph} as graph on of_named.profile_id = graph.profile_id"
        " where named.batch_id = $batch",
    )
    # Identifiers that arrived on a person's events and are not in the graph yet.
    while _add(
        warehouse,
        batch_id,
        f"""
        select arrived.request_id, arrived.identifier
        from (
            select known.request_id, {PARTS} as identifier
            from cdi_arrivals as arrivals
            inner join cdi.privacy_identifiers as known
                on arrivals.identifier = known.identifier and known.batch_id = $batch
        ) as arrived
        left join {graph} as graph on arrived.identifier = graph.identifier
        where graph.identifier is null
        """,
    ):
        pass
    warehouse.execute(
        """
        insert into cdi.privacy_events (batch_id, event_id, source, load_id, source_line)
        select distinct $batch, event_id, source, load_id, source_line
        from cdi_arrivals
        where event_id in (
            select owned.event_id from cdi_arrivals as owned
            inner join cdi.privacy_identifiers as known
                on owned.identifier = known.identifier and known.batch_id = $batch
        )
        """,
        batch,
    )
    warehouse.execute(
        f"""
        update cdi.privacy_identifiers set is_shared = true
        where batch_id = $batch and identifier in (
            select {PARTS} from cdi_arrivals as arrivals
            where not exists (
                select 1 from cdi.privacy_events as gone
                where gone.batch_id = $batch and gone.event_id = arrivals.event_id
            )
        )
        """,
        batch,
    )
    warehouse.execute("drop table cdi_arrivals")


def _add(warehouse: Warehouse, batch_id: str, select: str) -> bool:
    """Add identifiers (request_id, identifier) to a batch; whether any was new."""
    added = warehouse.execute(
        f"""
        insert into cdi.privacy_identifiers (batch_id, request_id, identifier, identifier_id, is_named, is_shared)
        select distinct $batch, found.request_id, found.identifier, md5(found.identifier), false, false
        from ({select}) as found
        where not exists (
            select 1 from cdi.privacy_identifiers as known
            where known.batch_id = $batch and known.request_id = found.request_id
                and known.identifier = found.identifier
        )
        """,
        {"batch": batch_id},
    )
    return added > 0


def spellings(values: Iterable[str]) -> re.Pattern[str]:
    """A pattern that finds any of the values as a word of its own, in any case."""
    words = "|".join(re.escape(value) for value in sorted(values, key=len, reverse=True))
    return re.compile(rf"(?<![A-Za-z0-9])(?:{words})(?![A-Za-z0-9])", re.IGNORECASE)
