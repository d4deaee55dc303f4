"""Suppressed people are kept out: their lines at landing, and what foreign loaders wrote before it is built."""

from __future__ import annotations

import pyarrow as pa

from cdi.errors import WarehouseError
from cdi.landing.sources import RawTable, known_sources
from cdi.privacy.keys import Hasher
from cdi.privacy.people import PARTS
from cdi.privacy.raw import REJECTED_WORDS, Rows, rejected_rows, rows_of_events
from cdi.project import Project, read_yaml
from cdi.warehouse import Parameters, Warehouse, quote

SUPPRESSED = "raw.suppressed_identifiers"
CREATE = (
    f"create table if not exists {SUPPRESSED} (identifier_hash text, identifier_id text, request_id text,"
    " suppressed_at timestamp)"
)

_REFUSED = "cdi_refused_events"


class Suppression:
    """The identifiers that are kept out of a warehouse; none where nobody ever asked."""

    def __init__(self, project: Project, warehouse: Warehouse) -> None:
        self.project, self.warehouse = project, warehouse
        self.known = pa.table({"identifier_hash": pa.array([], pa.string())})
        if warehouse.relation_exists("raw", "suppressed_identifiers"):
            batches = warehouse.fetch(
                f"select distinct identifier_hash from {SUPPRESSED} where identifier_hash is not null"
            )
            self.known = pa.Table.from_batches(batches)
        if not self.known.num_rows:
            return
        # Without the key suppressed people would come in: it is missed before anything is read.
        self.hasher = Hasher()
        self.hasher.engine.register("suppressed", self.known)
        variables = read_yaml(project.root / "dbt_project.yml").get("vars") or {}
        self.schema = f"{variables.get('schema_prefix') or ''}events"
        if not warehouse.relation_exists(self.schema, "arrival_identifiers"):
            raise WarehouseError(
                f"{self.schema}.arrival_identifiers is not there, and without it nobody can tell who is suppressed.",
                "Build it: dbt run --select +arrival_identifiers",
            )

    @property
    def is_empty(self) -> bool:
        """Whether nobody is suppressed."""
        return not self.known.num_rows

    def refuse_load(self, table: RawTable, load_id: str, loaded_at: object) -> tuple[int, int]:
        """Take what belongs to suppressed people out of a load, inside its transaction.

        Returns how many rows had landed, and how many had been rejected.
        """
        if self.is_empty:
            return 0, 0
        where = "source = $source and loaded_at = $loaded_at"
        refused = 0
        if self._arrivals(where, {"source": table.system, "loaded_at": loaded_at}):
            refused = rows_of_events(self.warehouse, table, _REFUSED).delete(self.warehouse)
        return refused, self._refuse_rejected(load_id)

    def refuse_unbuilt(self) -> int:
        """Take what belongs to suppressed people out of raw tables, of what `events` has not seen; returns how many."""
        if self.is_empty:
            return 0
        events = quote(self.schema, "checked_events")
        where = "true"
        if self.warehouse.relation_exists(self.schema, "checked_events"):
            # What the next build takes: see macros/events/newly_arrived.sql.
            where = (
                f"loaded_at > coalesce((select max(loaded_at) from {events}), timestamp '1970-01-01')"
                " or (source = 'segment_warehouse' and not exists"
                f" (select 1 from {events} as built where built.event_id = arrivals.event_id))"
            )
        with self.warehouse.transaction():
            if not self._arrivals(where, None):
                return 0
            refused = 0
            for tables in known_sources(self.project.root).values():
                for table in tables:
                    if self.warehouse.relation_exists(table.schema, table.identifier):
                        refused += rows_of_events(self.warehouse, table, _REFUSED).delete(self.warehouse)
        return refused

    def hide_built(self) -> int:
        """Hide profiles that hold a suppressed identifier all the same, from every tool; returns how many identifiers.

        A foreign loader may bring somebody back, and `dbt build` alone does not look.
        """
        if self.is_empty:
            return 0
        schema = self.schema.removesuffix("events") + "identity"
        if not self.warehouse.relation_exists(schema, "identity_graph"):
            return 0
        graph = quote(schema, "identity_graph")
        with self.warehouse.transaction():
            self.warehouse.execute("create table if not exists cdi.privacy_checked (loaded_at timestamp)")
            since = "(select max(loaded_at) from cdi.privacy_checked)"
            new = f"select identifier from {graph} where loaded_at > coalesce({since}, timestamp '1970-01-01')"
            back = self._suppressed_of(new, None)
            self.warehouse.execute("delete from cdi.privacy_checked")
            self.warehouse.execute(f"insert into cdi.privacy_checked select max(loaded_at) from {graph}")
            self._temporary("cdi_back", back.select(["identifier_hash", "identifier"]))
            return self.warehouse.execute(
                f"update {SUPPRESSED} set identifier_id = (select min(md5(back.identifier)) from cdi_back as back"
                " where back.identifier_hash = suppressed_identifiers.identifier_hash)"
                " where identifier_id is null and identifier_hash in (select identifier_hash from cdi_back)"
            )

    def _arrivals(self, where: str, parameters: Parameters | None) -> bool:
        """Whether suppressed people have arrivals there: the refused ones are in a temporary table then."""
        source = f"{quote(self.schema, 'arrival_identifiers')} as arrivals where ({where}) and identifiers is not null"
        self.warehouse.execute("drop table if exists cdi_arrived")
        self.warehouse.execute(
            "create temporary table cdi_arrived as"
            f" select event_id, source, load_id, source_line, identifiers from {source}",
            parameters,
        )
        back = self._suppressed_of(f"select distinct {PARTS} as identifier from cdi_arrived as arrivals", None)
        if not back.num_rows:
            return False
        self._temporary("cdi_back", back.select(["identifier"]))
        self.warehouse.execute(f"drop table if exists {_REFUSED}")
        self.warehouse.execute(
            f"create temporary table {_REFUSED} as select distinct event_id, source, load_id, source_line from"
            f" (select event_id, source, load_id, source_line, {PARTS} as identifier from cdi_arrived as arrivals)"
            " as parts where identifier in (select identifier from cdi_back)"
        )
        return True

    def _refuse_rejected(self, load_id: str) -> int:
        """Rejected lines that hold the value of a suppressed identifier, of whatever type."""
        types = self.warehouse.query(
            f"select identifier_type from {quote(self.schema, 'identifier_rules')} where rule = 'type'"
        )
        words = pa.Table.from_batches(
            self.warehouse.fetch(
                f"select distinct word from ({REJECTED_WORDS} where load_id = $load_id) as words", {"load_id": load_id}
            )
        )
        if not words.num_rows:
            return 0
        engine = self.hasher.engine
        engine.register("words", words)
        engine.register("types", pa.table({"type": [row[0] for row in types]}))
        candidates = engine.sql(
            "select distinct type || ':' || spelling as identifier, lower(word) as value"
            " from (select word, unnest([word, lower(word)]) as spelling from words), types"
        ).to_arrow_table()
        back = self._among_suppressed(candidates)
        self._temporary("cdi_back", back.select(["value"]))
        rows = rejected_rows("select value from cdi_back")
        return Rows(rows.schema, rows.table, f"landed.load_id = $load_id and {rows.condition}").delete(
            self.warehouse, {"load_id": load_id}
        )

    def _suppressed_of(self, select: str, parameters: Parameters | None) -> pa.Table:
        return self._among_suppressed(pa.Table.from_batches(self.warehouse.fetch(select, parameters)))

    def _among_suppressed(self, identifiers: pa.Table) -> pa.Table:
        hashed = self.hasher.hashes(identifiers)
        self.hasher.engine.register("hashed", hashed)
        return self.hasher.engine.sql(
            "select * from hashed where identifier_hash in (select identifier_hash from suppressed)"
        ).to_arrow_table()

    def _temporary(self, name: str, rows: pa.Table) -> None:
        self.warehouse.execute(f"drop table if exists {name}")
        columns = ", ".join(f"{column} text" for column in rows.column_names)
        self.warehouse.execute(f"create temporary table {name} ({columns})")
        if rows.num_rows:
            self.warehouse.append(name, rows.to_reader())
