"""The rows of raw tables that belong to events, and those that hold an identifier without being one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cdi.landing.sources import RawTable, known_sources
from cdi.project import Project, read_yaml
from cdi.warehouse import Parameters, Warehouse, quote

SHORTEST = 6
"""Characters of a value that is looked for outside of the place that its type is read from: `17` is in everything."""

_BETWEEN_WORDS = "[^A-Za-z0-9@._+-]+"
_MESSAGE_ID = {
    "duckdb": "json_extract_string({column}, '$.messageId')", "postgres": "({column} ->> 'messageId')",
}  # fmt: skip


@dataclass(frozen=True)
class Rows:
    """Rows of a table, by a condition on it under the name `landed`."""

    schema: str
    table: str
    condition: str

    @property
    def relation(self) -> str:
        """The quoted table."""
        return quote(self.schema, self.table)

    def delete(self, warehouse: Warehouse, parameters: Parameters | None = None) -> int:
        """Delete them; returns their number."""
        return warehouse.execute(f"delete from {self.relation} as landed where {self.condition}", parameters)


def rows_of_events(warehouse: Warehouse, table: RawTable, events: str) -> Rows:
    """The rows of a raw table that the arrivals in `events` (event_id, source, load_id, source_line) were made from."""
    relation = quote(table.schema, table.identifier)
    source = f"gone.source = '{table.system}'"
    condition = (
        f"exists (select 1 from {events} as gone where {source}"
        " and gone.load_id = landed.load_id and gone.source_line = landed.source_line)"
    )
    if table.event_key:
        same = " and ".join(f"one.{quote(key)} is not distinct from landed.{quote(key)}" for key in table.event_key)
        condition = (
            f"exists (select 1 from {relation} as one inner join {events} as gone"
            " on gone.load_id = one.load_id and gone.source_line = one.source_line"
            f" where one.load_id = landed.load_id and {source} and {same})"
        )
    if table.record_column:
        column = f"landed.{quote(table.record_column)}"
        message_id = _MESSAGE_ID[warehouse.dialect].format(column=column)
        # A foreign loader that counts no lines: the message's own id tells, as in stg_segment__messages.
        condition = (
            f"({condition} or ((landed.load_id is null or landed.source_line is null)"
            f" and coalesce(nullif(trim({message_id}), ''), md5(cast({column} as text)))"
            f" in (select event_id from {events} as gone where {source})))"
        )
    return Rows(table.schema, table.identifier, condition)


def all_rows(project: Project, warehouse: Warehouse, events: str, identifiers: str) -> Iterator[Rows]:
    """The rows of all raw tables that a person's arrivals and identifiers are in.

    `identifiers` has the column `identifier` with what no other person's events carry.
    """
    values = f"select lower(substr(identifier, strpos(identifier, ':') + 1)) as value from {identifiers} as named"
    telling = f"select value from ({values}) as named where length(value) >= {SHORTEST}"
    for tables in known_sources(project.root).values():
        for table in tables:
            if not warehouse.relation_exists(table.schema, table.identifier):
                continue
            yield rows_of_events(warehouse, table, events)
            # Rows that became no event, such as a deleted contact.
            if not table.record_column:
                columns = [name for name, kind in table.columns.items() if kind == "text"]
                yield Rows(
                    table.schema,
                    table.identifier,
                    " or ".join(f"lower(trim(landed.{quote(name)})) in ({telling})" for name in columns),
                )
    if warehouse.relation_exists("raw", "rejected"):
        yield rejected_rows(telling)
    if warehouse.relation_exists("raw", "identity_proposals"):
        named = f"select identifier from {identifiers} as named"
        yield Rows("raw", "identity_proposals", f"identifier_a in ({named}) or identifier_b in ({named})")
    for schema, table in _with_column(warehouse, "raw", "event_id"):
        yield Rows(schema, table, f"landed.event_id in (select event_id from {events} as gone)")
    for name in read_yaml(project.root / "dbt_project.yml").get("vars", {}).get("segment_warehouse_schemas") or []:
        for schema, table in _with_column(warehouse, name, "id"):
            gone = f"select event_id from {events} as gone where gone.source = 'segment_warehouse'"
            # `users` has a row per user_id instead of one per call.
            if table == "users":
                gone = f"select substr(identifier, 9) from {identifiers} as named where identifier like 'user_id:%'"
            yield Rows(schema, table, f"cast(landed.id as text) in ({gone})")


def rejected_rows(values: str) -> Rows:
    """Rejected lines that hold one of the values (a select of `value`, lower case) as a word of their own."""
    return Rows(
        "raw",
        "rejected",
        "(landed.load_id, landed.source_line) in ("
        f" select words.load_id, words.source_line from ({REJECTED_WORDS}) as words"
        f" where lower(words.word) in ({values})"
        " union all"
        # Values of several words are rare, and lines that were rejected few.
        f" select lines.load_id, lines.source_line from raw.rejected as lines inner join ({values}) as named"
        " on strpos(lower(lines.text), named.value) > 0"
        f" where {_HAS_SEPARATOR})",
    )


REJECTED_WORDS = (
    f"select load_id, source_line, unnest(regexp_split_to_array(text, '{_BETWEEN_WORDS}')) as word from raw.rejected"
)
_HAS_SEPARATOR = "translate(named.value, 'abcdefghijklmnopqrstuvwxyz0123456789@._+-', '') <> ''"


def _with_column(warehouse: Warehouse, schema: str, column: str) -> list[tuple[str, str]]:
    return [
        (row[0], row[1])
        for row in warehouse.query(
            "select columns.table_schema, columns.table_name from information_schema.columns as columns"
            " inner join information_schema.tables as tables on columns.table_schema = tables.table_schema"
            " and columns.table_name = tables.table_name"
            " where columns.table_schema = $schema and columns.column_name = $column"
            " and tables.table_type = 'BASE TABLE' order by 2",
            {"schema": schema, "column": column},
        )
    ]
