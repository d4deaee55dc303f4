"""Personal data in columns: what is marked (meta.pii), what is not and should be, and views for who may not see it."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import Annotated, Any

import psycopg
import typer
from rich.console import Console
from rich.table import Table

from cdi.dbt import load_manifest
from cdi.errors import CdiError, UsageError, WarehouseError
from cdi.project import Project
from cdi.warehouse import Warehouse, connect, quote

pii = typer.Typer(name="pii", help="Find personal data that is not marked, and mask what is.", no_args_is_help=True)

# Schemas of the project's own bookkeeping and of raw data that is no dbt source: nobody but engineers reads them.
_INTERNAL = {"cdi", "information_schema", "pg_catalog", "pg_toast"}
_OWN_RAW = {"rejected", "loads", "identity_proposals", "quarantine_releases", "suppressed_identifiers"}
_BESIDE = {"identity_graph_decisions"}
"""Written beside a model, and no model that could be marked: analysts get no view of it."""
_TEXT = ("varchar", "text", "character", "json", "jsonb")

# Word boundaries are written out: PostgreSQL and DuckDB spell them differently.
_CONTENT = {
    "email": r"[a-z0-9._%+-]+@[a-z0-9-]+(\.[a-z0-9-]+)*\.[a-z]{2,}",
    "phone": r"(^|[^0-9a-z+.-])(\+[1-9]|00[1-9])([ ()./-]?[0-9]){7,14}($|[^0-9a-z-])",
    "ip": r"(^|[^0-9.])((25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])($|[^0-9.])",
}
# Visa, Mastercard, American Express, Discover and the like. Source: ISO/IEC 7812-1; the check digit is Luhn's.
_CARD = (
    r"(^|[^0-9a-z.-])"
    r"((4[0-9]{3}|5[1-5][0-9]{2}|2[2-7][0-9]{2}|3[47][0-9]{2}|6[0-9]{3})([ -]?[0-9]){9,15})"
    r"($|[^0-9a-z.-])"
)
_CARD_SHARE = 0.3
"""Of numbers by chance one in ten has a right check digit: above this share of a column's candidates they are cards."""
_NAMES = re.compile(
    r"^(full_?|first_?|last_?|middle_?|given_?|family_?|maiden_?)name$|^(email|e_mail|phone|mobile|telephone|fax)(_.*)?$"
    r"|^.*_(email|phone)$|^(street|address|postal_code|zip|zip_code|postcode)(_.*)?$|^(billing|shipping|mailing)_(street|"
    r"address|postal_code|zip)$|^(birthday|birthdate|birth_date|date_of_birth)$|^ip(_address)?$|^name$"
)


@dataclass(frozen=True)
class Suspect:
    """A column that is not marked and looks as if it should be."""

    schema: str
    table: str
    column: str
    kind: str
    """email, phone, ip, card, or name: what its name says."""
    count: int
    """Rows; of a name, all that are filled."""


def marks(manifest: Any) -> dict[tuple[str, str], dict[str, Any]]:
    """(schema, table): {column: its meta.pii, None where it has none} of models, seeds and sources.

    A column that a model's YAML does not mention (`profiles` has those of many models) is marked as where it
    comes from.
    """
    nodes = {**manifest.nodes, **manifest.sources}
    found: dict[str, dict[str, Any]] = {}

    def of(unique_id: str) -> dict[str, Any]:
        if unique_id not in found:
            node = nodes[unique_id]
            read = [name for name in getattr(node.depends_on, "nodes", []) if name in nodes] if (
                node.resource_type == "model"
            ) else []  # fmt: skip
            inherited: dict[str, Any] = {}
            for name in read:
                for column, mark in of(name).items():
                    inherited[column] = inherited.get(column) or mark
            found[unique_id] = inherited | {
                column.name.lower(): (getattr(column.config, "meta", None) or column.meta or {}).get("pii")
                for column in node.columns.values()
            }
        return found[unique_id]

    return {
        (node.schema, getattr(node, "identifier", None) or node.alias): of(unique_id)
        for unique_id, node in nodes.items()
        if node.resource_type in ("model", "seed", "source")
    }


def scan(project: Project, manifest: Any = None) -> list[Suspect]:
    """Look for personal data in every text and JSON column of the warehouse that meta.pii says nothing about.

    E-mail addresses, telephone and card numbers and IP addresses by what is in the column, names, addresses and days of
    birth by what it is called. `pii: false` says that somebody looked. All in the warehouse, one pass over each table.
    """
    manifest = manifest or load_manifest(project)
    known, masked = marks(manifest), masked_schema(manifest)
    suspects: list[Suspect] = []
    with connect(project) as warehouse:
        columns: dict[tuple[str, str], list[str]] = {}
        for schema, table, column, kind in warehouse.query(
            "select table_schema, table_name, column_name, lower(data_type) from information_schema.columns"
            " order by 1, 2, ordinal_position"
        ):
            own = schema in _INTERNAL or schema == masked or table in _BESIDE or (schema == "raw" and table in _OWN_RAW)
            marked = known.get((schema, table), {}).get(column.lower()) is not None
            if not own and not marked and kind.startswith(_TEXT):
                columns.setdefault((schema, table), []).append(column)
        for (schema, table), names in columns.items():
            suspects += _scan_table(warehouse, schema, table, names)
    return suspects


def _scan_table(warehouse: Warehouse, schema: str, table: str, columns: list[str]) -> list[Suspect]:
    patterns = {**_CONTENT, "card": _CARD}
    tests = []
    for column in columns:
        text = f"lower(cast({quote(column)} as text))"
        tests.append(f"count(nullif({text}, ''))")
        tests += [f"count(case when {_matches(warehouse, text, kind)} then 1 end)" for kind in patterns]
    numbers = warehouse.query(f"select {', '.join(tests)} from {quote(schema, table)}", patterns)[0]
    found, width = [], len(patterns) + 1
    for position, column in enumerate(columns):
        filled, *counts = numbers[position * width : (position + 1) * width]
        of_kind = dict(zip(patterns, counts, strict=True))
        candidates = of_kind.pop("card")
        cards = _count_cards(warehouse, schema, table, column) if candidates else 0
        if cards > _CARD_SHARE * candidates:
            of_kind["card"] = cards
        if _NAMES.match(column.lower()) and not any(of_kind.values()):
            of_kind["name"] = filled
        found += [Suspect(schema, table, column, kind, count) for kind, count in of_kind.items() if count]
    return found


def _matches(warehouse: Warehouse, text: str, parameter: str) -> str:
    return f"regexp_matches({text}, ${parameter})" if warehouse.dialect == "duckdb" else f"{text} ~ ${parameter}"


def _count_cards(warehouse: Warehouse, schema: str, table: str, column: str) -> int:
    """Rows whose first candidate for a card number has the right check digit."""
    text = f"lower(cast({quote(column)} as text))"
    number = (
        f"regexp_extract({text}, $card, 2)" if warehouse.dialect == "duckdb" else f"(regexp_match({text}, $card))[2]"
    )
    return warehouse.query(
        f"""
        with candidates as materialized (
            select reverse(regexp_replace({number}, '[^0-9]', '', 'g')) as digits
            from {quote(schema, table)}
            where {_matches(warehouse, text, "card")}
        )
        select count(*) from candidates where length(digits) >= 13 and mod({_luhn("digits")}, 10) = 0
        """,
        {"card": _CARD},
    )[0][0]


def _luhn(digits: str) -> str:
    """SQL for Luhn's sum of a text of digits, the last one first."""
    terms = []
    for place in range(1, 20):
        digit = f"cast(coalesce(nullif(substr({digits}, {place}, 1), ''), '0') as integer)"
        terms.append(digit if place % 2 else f"(2 * {digit} - case when {digit} > 4 then 9 else 0 end)")
    return "(" + " + ".join(terms) + ")"


def masked_schema(manifest: Any) -> str:
    """The schema of the masked views, with the project's prefix."""
    node = next(node for node in manifest.nodes.values() if node.name == "identity_graph")
    return node.schema.removesuffix(node.config.schema) + "masked"


_KEY = "(select value from cdi.masking_key)"
# Plain hashes of identifiers, by which whoever has a list of addresses could tell whose they are; ids that hold one.
_PSEUDONYM = re.compile(r"^(.*_)?(profile_id|identifier_id|identifier_set_id|event_id|arrival)$")


def masked_column(name: str, kind: Any, data_type: str) -> str:
    """SQL for a column as analysts see it: e-mail addresses and telephone numbers in part, days of birth as the year,
    JSON not at all, anything else as a keyed hash, equal where the values are."""
    column = quote(name)
    text = f"cast({column} as text)"
    what = kind if isinstance(kind, str) else name.lower()
    if data_type in ("json", "jsonb"):
        return "cast(null as text)"
    if "email" in what:
        return f"substr({text}, 1, 1) || '***' || substr({text}, nullif(strpos({text}, '@'), 0))"
    if "phone" in what:
        return f"'***' || substr({text}, greatest(length({text}) - 2, 1))"
    if "birth" in what:
        return f"substr({text}, 1, 4)"
    return f"md5({_KEY} || {text})"


@dataclass(frozen=True)
class Masking:
    """What was masked."""

    views: int
    columns: int
    roles: list[str]


def mask(project: Project, role: str | None = None, manifest: Any = None) -> Masking:
    """Make the schema `masked`: a view of each model above staging, personal data masked, unknown columns left out.

    On PostgreSQL, `role` (made where missing) may read these views and nothing else that this project makes; it and the
    roles of earlier calls are granted them again each time. Raises UsageError where a role can read unmasked tables all
    the same: as their owner, a superuser or a member of another role.
    """
    manifest = manifest or load_manifest(project)
    known, schema = marks(manifest), masked_schema(manifest)
    nodes = [
        node
        for node in manifest.nodes.values()
        if node.resource_type == "model" and node.fqn[1] != "staging" and not node.name.startswith("events_from_")
    ]
    views = masked = 0
    try:
        with connect(project) as warehouse, warehouse.lock("pii mask"), warehouse.transaction():
            warehouse.execute("create schema if not exists cdi")
            warehouse.execute("create table if not exists cdi.masking_key (value text)")
            warehouse.execute("create table if not exists cdi.masked_roles (role text)")
            warehouse.execute(
                "insert into cdi.masking_key select $key where not exists (select 1 from cdi.masking_key)",
                {"key": secrets.token_hex(32)},
            )
            warehouse.execute(f"drop schema if exists {quote(schema)} cascade")
            warehouse.execute(f"create schema {quote(schema)}")
            for node in nodes:
                columns = _masked_columns(warehouse, node, known[node.schema, node.alias])
                if columns:
                    warehouse.execute(
                        f"create view {quote(schema, node.alias)} as select {', '.join(sql for sql, _ in columns)}"
                        f" from {quote(node.schema, node.alias)}"
                    )
                    views += 1
                    masked += sum(is_masked for _, is_masked in columns)
            roles = _roles(warehouse, role)
            if warehouse.dialect == "postgres":
                schemas = {node.schema for node in [*manifest.nodes.values(), *manifest.sources.values()]} | {
                    "cdi",
                    "raw",
                }
                for name in roles:
                    _grant(warehouse, name, schemas, schema)
            elif role:
                raise UsageError("DuckDB has no roles.", "Leave --role away: the views are made all the same.")
    except psycopg.errors.InsufficientPrivilege as error:
        raise WarehouseError(
            f"PostgreSQL does not let us mask: {str(error).splitlines()[0]}",
            "The user of the profile has to own the tables and, for a new role, have CREATEROLE.",
        ) from None
    return Masking(views, masked, roles)


def refresh_masks(project: Project, manifest: Any) -> None:
    """Make the masked views anew where somebody uses them: PostgreSQL drops them with the tables that were rebuilt."""
    with connect(project) as warehouse:
        if not warehouse.relation_exists("cdi", "masked_roles"):
            return
    mask(project, manifest=manifest)


def _masked_columns(warehouse: Warehouse, node: Any, known: dict[str, Any]) -> list[tuple[str, bool]]:
    """(SQL, whether it is masked) of the documented columns of a model."""
    found = []
    for name, kind in warehouse.query(
        "select column_name, lower(data_type) from information_schema.columns where table_schema = $schema"
        " and table_name = $table order by ordinal_position",
        {"schema": node.schema, "table": node.alias},
    ):
        if name.lower() not in known:
            continue
        mark = known[name.lower()] or ("pseudonym" if _PSEUDONYM.match(name.lower()) else None)
        sql = f"{masked_column(name, mark, kind)} as {quote(name)}" if mark else quote(name)
        found.append((sql, bool(mark)))
    return found


def _roles(warehouse: Warehouse, role: str | None) -> list[str]:
    if role and not warehouse.query("select 1 from cdi.masked_roles where role = $role", {"role": role}):
        warehouse.execute("insert into cdi.masked_roles values ($role)", {"role": role})
    return [row[0] for row in warehouse.query("select role from cdi.masked_roles order by 1")]


def _grant(warehouse: Warehouse, role: str, schemas: set[str], masked: str) -> None:
    if not warehouse.query("select 1 from pg_roles where rolname = $role", {"role": role}):
        warehouse.execute(f"create role {quote(role)} nologin")
    there = {row[0] for row in warehouse.query("select nspname from pg_namespace")}
    for schema in sorted(schemas & there):
        warehouse.execute(f"revoke all on all tables in schema {quote(schema)} from {quote(role)}")
        warehouse.execute(f"revoke all on schema {quote(schema)} from {quote(role)}")
    warehouse.execute(f"grant usage on schema {quote(masked)} to {quote(role)}")
    warehouse.execute(f"grant select on all tables in schema {quote(masked)} to {quote(role)}")
    readable = warehouse.query(
        "select n.nspname || '.' || c.relname from pg_class as c inner join pg_namespace as n on c.relnamespace = n.oid"
        " where n.nspname = any($schemas) and c.relkind in ('r', 'v', 'm', 'p')"
        " and has_schema_privilege($role, n.oid, 'usage') and (has_table_privilege($role, c.oid, 'select')"
        " or has_any_column_privilege($role, c.oid, 'select')) order by 1",
        {"schemas": sorted(schemas), "role": role},
    )
    if readable:
        raise UsageError(
            f"The role {role} can read {len(readable)} tables that are not masked, such as {readable[0][0]}.",
            "It is a superuser, owns them, is a member of a role that may, or PUBLIC may: take that away first.",
        )


@pii.command("scan")
def scan_command(context: typer.Context) -> None:
    """Find e-mails, phones, cards, IPs, names and addresses in columns without meta.pii; exit code 1 if there are."""
    suspects = scan(context.obj.project())
    if not suspects:
        typer.echo("Every column that holds personal data is marked.")
        return
    table = Table("column", "what", "rows", box=None)
    for item in suspects:
        table.add_row(f"{item.schema}.{item.table}.{item.column}", item.kind, f"{item.count:,}")
    Console().print(table)
    raise CdiError(
        f"{len(suspects)} columns look like personal data and are not marked.",
        "Give each `config: {meta: {pii: true}}` in its YAML, or `pii: false` where it is none.",
    )


@pii.command("mask")
def mask_command(
    context: typer.Context,
    role: Annotated[str | None, typer.Option(help="PostgreSQL role that may read the masked views only.")] = None,
) -> None:
    """Make the schema `masked` for analysts: a view of each model, personal data masked."""
    masking = mask(context.obj.project(), role)
    readers = f" They are what {', '.join(masking.roles)} may read." if masking.roles else ""
    typer.echo(f"{masking.views} masked views, {masking.columns} columns masked.{readers}")
