"""What is known of each profile, read from the warehouse and cleaned: the records that are compared."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import pyarrow as pa

from cdi.identity.matching.learning import scalar
from cdi.identity.tables import IdentityTables
from cdi.warehouse import Warehouse, quote

TOLD = ("email", "phone", "name", "first_name", "last_name", "city", "postal_code", "birthday")
"""Columns of `profiles` that are read; one that is not there counts as unknown."""
IDENTIFIERS = ("profile_id", "identifier", "identifier_type", "arrival")
"""Columns of `identity_graph` that are read."""
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
RECORDS = f"""
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
        select profile_id, lower(substr(identifier, strpos(identifier, ':') + 1)) as email, arrival
        from identifiers
        where identifier_type = 'email'
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


def read_records(warehouse: Warehouse, engine: duckdb.DuckDBPyConnection, tables: IdentityTables) -> int:
    """Fill the tables of the engine that are compared and judged by; returns how many profiles can be compared."""
    present = set(warehouse.column_names(*tables.relation("profiles")))
    profiles, graph = tables["profiles"], tables["identity_graph"]
    columns = ", ".join(f"cast({quote(name) if name in present else 'null'} as text) as {quote(name)}" for name in TOLD)
    has_email = f"profile_id in (select profile_id from {graph} where identifier_type = 'email')"
    tells = [f"{quote(name)} is not null" for name in ("email", "name", "first_name", "last_name") if name in present]
    compared = f"from {profiles} where {' or '.join([has_email, *tells])}"
    _load(engine, "told", ("profile_id", *TOLD), warehouse.fetch(f"select profile_id, {columns} {compared}"))
    # What a profile is named by: its e-mails and user ids, else the identifier that arrived first.
    identifiers = f"""
        select {", ".join(IDENTIFIERS)}
        from (
            select
                {", ".join(IDENTIFIERS)},
                row_number() over (partition by profile_id order by arrival, identifier) as place
            from {graph}
            where profile_id in (select profile_id {compared})
        ) as ranked
        where place = 1 or identifier_type in ('email', 'user_id')
    """
    _load(engine, "identifiers", IDENTIFIERS, warehouse.fetch(identifiers))
    known_pairs = f"""
        select proposals.proposal_id, one.profile_id as profile_a, other.profile_id as profile_b
        from {tables["identity_proposals"]} as proposals
        left join {graph} as one on proposals.identifier_a = one.identifier
        left join {graph} as other on proposals.identifier_b = other.identifier
    """
    _load(engine, "known_pairs", ("proposal_id", "profile_a", "profile_b"), warehouse.fetch(known_pairs))
    # Limits refused the link of these: a proposal would only be refused again.
    refused_pairs = f"select distinct profile_id, hub_profile_id from {tables['identity_refused_links']}"
    _load(engine, "refused_pairs", ("profile_id", "hub_profile_id"), warehouse.fetch(refused_pairs))
    engine.execute(RECORDS)
    return scalar(engine, "select count(distinct profile_id) from records")


def _load(
    engine: duckdb.DuckDBPyConnection, name: str, columns: Sequence[str], batches: Sequence[pa.RecordBatch]
) -> None:
    """Make a table of texts."""
    engine.execute(f"create table {name} ({', '.join(f'{column} varchar' for column in columns)})")
    # DuckDB gives no batch at all, not even a schema, for no rows.
    if batches:
        engine.register("_batches", pa.Table.from_batches(batches))
        engine.execute(f"insert into {name} select {', '.join(columns)} from _batches")
        engine.unregister("_batches")
