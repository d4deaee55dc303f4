"""What the warehouse knows of syncs: what each tool holds, what each run did, and what was not taken and why.

All in schema cdi. No table holds a value of a row but its key: what was delivered is known by a hash.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import duckdb
import psycopg
import pyarrow as pa

from cdi.errors import WarehouseError
from cdi.sync.declared import DeclaredSync
from cdi.warehouse import Warehouse, quote

_KINDS = ("added", "changed", "removed")
_TABLES = {
    # row_hash is empty where the tool may or may not hold what was sent last; delivered_at is null until it confirmed.
    "sync_state": "sync text, key text, row_hash text, delivered_at timestamp, run_id text",
    # Rows that left and of which nobody knows whether they arrived: no answer yet, none at all, or a kill.
    "sync_in_flight": "sync text, key text, run_id text, batch text, idempotency_key text",
    "sync_runs": "run_id text, sync text, started_at timestamp, finished_at timestamp, status text, "
    + ", ".join(f"{part}_{kind} bigint" for part in ("planned", "delivered", "failed") for kind in _KINDS)
    + ", rejected bigint, message text",
    "sync_rejected": "run_id text, sync text, key text, operation text, reason text, count_rows bigint,"
    " rejected_at timestamp",
}

KEY, HASH = "cdi_key", "cdi_hash"
_KIND, _NUMBER, _COPIES, _WAS_HELD = "cdi_kind", "cdi_number", "cdi_copies", "cdi_was_held"
_PAGE = f"{_NUMBER} between $first and $last"
_OPERATION = f"case when {_KIND} = 'removed' then 'remove' else 'upsert' end"


@dataclass(frozen=True)
class Plan:
    """What a run has to deliver, numbered from 1: first removals, then changes and additions."""

    columns: list[str]
    added: int
    changed: int
    removed: int
    rejected: int
    """Rows that cannot be sent because their key is null, empty or double."""

    @property
    def total(self) -> int:
        """Rows to deliver."""
        return self.added + self.changed + self.removed


@dataclass(frozen=True)
class Page:
    """Rows of a plan that go together."""

    first: int
    last: int
    operation: str
    rows: pa.RecordBatch
    keys: list[str]
    hashes: list[str | None]


class State:
    """The state of one sync in one run."""

    def __init__(self, warehouse: Warehouse, sync: DeclaredSync, run_id: str) -> None:
        self.warehouse = warehouse
        self.sync = sync
        self.names = {"sync": sync.name, "run_id": run_id}

    def columns(self) -> dict[str, str]:
        """The model's columns and their types; raises UsageError where it or its key column does not exist."""
        types = dict(
            self.warehouse.query(
                "select column_name, case when data_type = 'numeric' and numeric_precision is null then 'unbounded'"
                " else lower(data_type) end from information_schema.columns"
                " where table_schema = $schema and table_name = $table order by ordinal_position",
                {"schema": self.sync.schema, "table": self.sync.table},
            )
        )
        if not types:
            raise self.sync.error(
                f"{self.sync.schema}.{self.sync.table} does not exist in the warehouse.",
                f"Build it first: dbt build --select +{self.sync.name}",
            )
        if self.sync.key not in types:
            raise self.sync.error(
                f"key '{self.sync.key}' is no column of the model.", f"Its columns: {', '.join(types)}."
            )
        return types

    def settle(self) -> dict[str, str]:
        """Take over what the run before left in flight; whoever holds the lock knows that it is no longer running.

        The tool may hold those rows: they are sent again or removed, whatever the state said before. Returns the
        idempotency keys of those batches by the hash of their content.
        """
        batches = self.warehouse.query(
            "select distinct batch, idempotency_key from cdi.sync_in_flight where sync = $sync",
            {"sync": self.sync.name},
        )
        self.warehouse.execute(
            "update cdi.sync_state set row_hash = '' where sync = $sync"
            " and key in (select key from cdi.sync_in_flight where sync = $sync)",
            {"sync": self.sync.name},
        )
        self.warehouse.execute(
            "insert into cdi.sync_state (sync, key, row_hash, run_id) select distinct sync, key, '', run_id"
            " from cdi.sync_in_flight as sent where sync = $sync and not exists"
            " (select 1 from cdi.sync_state as held where held.sync = $sync and held.key = sent.key)",
            {"sync": self.sync.name},
        )
        self.warehouse.execute("delete from cdi.sync_in_flight where sync = $sync", {"sync": self.sync.name})
        self.warehouse.execute(
            f"update cdi.sync_runs set status = 'interrupted', {_FAILED} where sync = $sync and status = 'running'",
            {"sync": self.sync.name},
        )
        return dict(batches)

    def plan(self) -> Plan:
        """Compare the model with what the tool holds, in the warehouse; rows without a key of their own are left out.

        Raises UsageError where the model or its key column does not exist, WarehouseError where it cannot be read.
        """
        types = self.columns()
        try:
            return self._compare(types)
        except (duckdb.Error, psycopg.Error) as error:
            # The engine's sentence may hold a value that could not be converted.
            raise WarehouseError(
                f"{self.sync.schema}.{self.sync.table} cannot be read for sync {self.sync.name}"
                f" ({type(error).__name__}).",
                f"Build it anew: dbt build --select +{self.sync.name}",
            ) from None

    def _compare(self, types: dict[str, str]) -> Plan:
        sent = {name: _as_sent(self.warehouse.dialect, name, kind) for name, kind in types.items()}
        columns = ", ".join(f"{sql} as {quote(name)}" for name, (sql, _) in sent.items())
        key = f"cast({quote(self.sync.key)} as text)"
        for table in ("cdi_sync_rows", "cdi_sync_plan"):
            self.warehouse.execute(f"drop table if exists {table}")
        self.warehouse.execute(
            f"""
            create temporary table cdi_sync_rows as
            select {key} as {KEY}, md5({_hashed(types)}) as {HASH}, count(*) over (partition by {key}) as {_COPIES}, *
            from (select {columns} from {quote(self.sync.schema, self.sync.table)}) as model
            """
        )
        # A removed row has no values left but its key.
        values = ", ".join(
            f"coalesce(rows.{quote(name)}, cast(held.key as {kind})) as {quote(name)}"
            if name == self.sync.key
            else f"rows.{quote(name)}"
            for name, (_, kind) in sent.items()
        )
        self.warehouse.execute(
            f"""
            create temporary table cdi_sync_plan as
            select row_number() over (order by {_KIND} desc, {KEY}) as {_NUMBER}, *
            from (
                select
                    case
                        when rows.{KEY} is null then 'removed'
                        when held.delivered_at is null then 'added'
                        else 'changed'
                    end as {_KIND},
                    coalesce(rows.{KEY}, held.key) as {KEY},
                    rows.{HASH},
                    held.key is not null as {_WAS_HELD},
                    {values}
                from cdi_sync_rows as rows
                full join (select * from cdi.sync_state where sync = $sync) as held on rows.{KEY} = held.key
                where (rows.{KEY} <> '' and rows.{_COPIES} = 1 and held.row_hash is distinct from rows.{HASH})
                    or rows.{_COPIES} is null
            ) as changes
            """,
            {"sync": self.sync.name},
        )
        if self.warehouse.dialect == "postgres":
            # Without these every page is a scan of the whole plan, and the planner guesses.
            self.warehouse.execute(f"create unique index on cdi_sync_plan ({_NUMBER})")
            self.warehouse.execute("analyze cdi_sync_plan")
        counts = dict(self.warehouse.query(f"select {_KIND}, count(*) from cdi_sync_plan group by 1"))
        rejected = self.warehouse.query(f"select count(*) from cdi_sync_rows where {_UNSENDABLE}")[0][0]
        return Plan(list(types), *(counts.get(kind, 0) for kind in _KINDS), rejected)

    def page(self, plan: Plan, first: int, count: int) -> Page:
        """At most `count` rows from a number on, all removals or all not."""
        last = min(first + count - 1, plan.removed if first <= plan.removed else plan.total)
        batches = self.warehouse.fetch(
            f"select {', '.join(quote(name) for name in plan.columns)}, {KEY}, {HASH} from cdi_sync_plan"
            f" where {_PAGE} order by {_NUMBER}",
            {"first": first, "last": last},
        )
        rows = pa.Table.from_batches(batches).combine_chunks()
        return Page(
            first,
            last,
            "remove" if first <= plan.removed else "upsert",
            rows.select(plan.columns).to_batches()[0],
            rows.column(KEY).to_pylist(),
            rows.column(HASH).to_pylist(),
        )

    def sequence(self) -> int:
        """1 more than the runs of this sync that delivered something."""
        return (
            1
            + self.warehouse.query(
                f"select count(*) from cdi.sync_runs where sync = $sync and {_DELIVERED} > 0",
                {"sync": self.sync.name},
            )[0][0]
        )

    def sending(self, first: int, last: int, batch: str = "", idempotency_key: str = "") -> None:
        """The rows from one number to another are about to leave: from now on the tool may hold them."""
        self.warehouse.execute(
            "insert into cdi.sync_in_flight (sync, key, run_id, batch, idempotency_key)"
            f" select $sync, {KEY}, $run_id, $batch, $idempotency_key from cdi_sync_plan where {_PAGE}",
            {**self.names, "first": first, "last": last, "batch": batch, "idempotency_key": idempotency_key},
        )

    def delivered(self, first: int, last: int) -> None:
        """The tool holds the rows from one number to another: move the state with them, in one transaction."""
        page = {"sync": self.sync.name, "first": first, "last": last}
        with self.warehouse.transaction():
            self.warehouse.execute(
                "delete from cdi.sync_state where sync = $sync"
                f" and key in (select {KEY} from cdi_sync_plan where {_PAGE} and {_WAS_HELD})",
                page,
            )
            self.warehouse.execute(
                "insert into cdi.sync_state (sync, key, row_hash, delivered_at, run_id)"
                f" select $sync, {KEY}, {HASH}, cast($now as timestamp), $run_id from cdi_sync_plan"
                f" where {_PAGE} and {_KIND} <> 'removed'",
                {**page, "now": _now(), "run_id": self.names["run_id"]},
            )
            self._landed(page)
            counts = ", ".join(
                f"delivered_{kind} = delivered_{kind}"
                f" + (select count(*) from cdi_sync_plan where {_PAGE} and {_KIND} = '{kind}')"
                for kind in _KINDS
            )
            self.warehouse.execute(
                f"update cdi.sync_runs set {counts} where run_id = $run_id and sync = $sync",
                {**page, "run_id": self.names["run_id"]},
            )

    def refused(self, first: int, last: int, reason: str, in_doubt: bool) -> None:
        """The tool did not confirm the rows from one number to another; in doubt, it may hold them all the same."""
        page = {"sync": self.sync.name, "first": first, "last": last}
        with self.warehouse.transaction():
            if not in_doubt:
                self._landed(page)
            self.warehouse.execute(
                "insert into cdi.sync_rejected (run_id, sync, key, operation, reason, count_rows, rejected_at)"
                f" select $run_id, $sync, {KEY}, {_OPERATION}, $reason, 1, cast($now as timestamp)"
                f" from cdi_sync_plan where {_PAGE}",
                {**page, "run_id": self.names["run_id"], "reason": reason, "now": _now()},
            )

    def _landed(self, page: dict[str, object]) -> None:
        self.warehouse.execute(
            "delete from cdi.sync_in_flight where sync = $sync"
            f" and key in (select {KEY} from cdi_sync_plan where {_PAGE})",
            page,
        )

    def start_run(self, plan: Plan) -> None:
        """Write down that the run begins, and which rows it cannot send."""
        with self.warehouse.transaction():
            self.warehouse.execute(
                "insert into cdi.sync_runs values ($run_id, $sync, cast($now as timestamp), null, 'running',"
                " $added, $changed, $removed, 0, 0, 0, 0, 0, 0, $rejected, null)",
                {
                    **self.names,
                    "now": _now(),
                    "added": plan.added,
                    "changed": plan.changed,
                    "removed": plan.removed,
                    "rejected": plan.rejected,
                },
            )
            self.warehouse.execute(
                "insert into cdi.sync_rejected (run_id, sync, key, operation, reason, count_rows, rejected_at)"
                f" select $run_id, $sync, {KEY}, 'upsert', case when {KEY} is null then 'the key is null'"
                f" when {KEY} = '' then 'the key is empty' else 'several rows have this key' end, count(*),"
                f" cast($now as timestamp) from cdi_sync_rows where {_UNSENDABLE} group by {KEY}",
                {**self.names, "now": _now()},
            )
            self.warehouse.execute("drop table cdi_sync_rows")

    def finish_run(self, status: str, message: str) -> None:
        """Write down how the run ended."""
        self.warehouse.execute(
            f"update cdi.sync_runs set finished_at = cast($now as timestamp), status = $status, message = $message,"
            f" {_FAILED} where run_id = $run_id and sync = $sync",
            {**self.names, "now": _now(), "status": status, "message": message},
        )


_UNSENDABLE = f"({KEY} is null or {KEY} = '' or {_COPIES} > 1)"
_DELIVERED = "(" + " + ".join(f"delivered_{kind}" for kind in _KINDS) + ")"
_FAILED = ", ".join(f"failed_{kind} = planned_{kind} - delivered_{kind}" for kind in _KINDS)


def create_state_tables(warehouse: Warehouse) -> None:
    """Make the tables of schema cdi where they are missing."""
    warehouse.execute("create schema if not exists cdi")
    for name, columns in _TABLES.items():
        warehouse.execute(f"create table if not exists {quote('cdi', name)} ({columns})")
    if warehouse.dialect == "postgres":
        warehouse.execute("create index if not exists sync_state_key on cdi.sync_state (sync, key)")


def _as_sent(dialect: str, name: str, kind: str) -> tuple[str, str]:
    """SQL for a column as tools get it, and its type.

    Numbers, texts, dates and timestamps stay; a timestamp with a zone becomes UTC without one; what has parts becomes
    JSON text, and anything else text.
    """
    column = quote(name)
    if kind == "array":
        return f"cast(to_jsonb({column}) as text)", "text"
    if kind.startswith(("struct", "map", "union")) or kind.endswith("]"):
        return f"cast(to_json({column}) as text)", "text"
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


def _hashed(types: dict[str, str]) -> str:
    """SQL for one text of all columns.

    In the order of the names, each value with its length: neither the order of columns nor what stands in them can
    make two different rows look the same, and null is not the empty text.
    """
    return " || ".join(
        f"'{name.replace(chr(39), chr(39) * 2)}=' || coalesce(cast(length(cast({quote(name)} as text)) as text)"
        f" || ':' || cast({quote(name)} as text), 'null') || ';'"
        for name in sorted(types)
    )


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
