"""What the warehouse knows of syncs: what each tool holds, what each run did, and what was not taken and why.

All in schema cdi. No table holds a value of a row but its key: what was delivered is known by a hash.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import duckdb
import psycopg
import pyarrow as pa

from cdi.errors import WarehouseError
from cdi.sync.declared import DeclaredSync
from cdi.sync.tools import Failure
from cdi.warehouse import Warehouse, now, quote

_KINDS = ("added", "changed", "removed")
_TABLES = {
    # row_hash is empty where the tool may or may not hold what was sent last (sent_hash, under message_id);
    # delivered_at is null until it confirmed.
    "sync_state": "sync text, key text, row_hash text, delivered_at timestamp, run_id text, sent_hash text,"
    " message_id text",
    # Rows that left and of which nobody knows whether they arrived: no answer yet, none at all, or a kill.
    "sync_in_flight": "sync text, key text, run_id text, sent_hash text, message_id text",
    "sync_runs": "run_id text, sync text, started_at timestamp, finished_at timestamp, status text, "
    + ", ".join(f"{part}_{kind} bigint" for part in ("planned", "delivered", "failed") for kind in _KINDS)
    + ", rejected bigint, message text, resent bigint",
    # Every row that a tool took, ever.
    "sync_changes": "run_id text, sync text, key text, operation text, delivered_at timestamp",
    # What a tool does not have, and why: until it takes the row or the row leaves the model.
    "sync_rejected": "run_id text, sync text, key text, operation text, reason text, count_rows bigint,"
    " rejected_at timestamp",
    # How far back rows of an append sync go: the earliest that was ever asked for.
    "sync_since": "sync text, since timestamp",
}

KEY, HASH, MESSAGE = "cdi_key", "cdi_hash", "cdi_message_id"
_KIND, _NUMBER, _COPIES, _WAS_HELD, _DOUBT = "cdi_kind", "cdi_number", "cdi_copies", "cdi_was_held", "cdi_in_doubt"
_PAGE = f"{_NUMBER} between $first and $last"
_TAKEN = f"{_PAGE} and {_NUMBER} not in (select number from cdi_sync_failures)"
_OPERATION = f"case when {_KIND} = 'removed' then 'remove' else 'upsert' end"
_WANTED = {
    "mirror": "added, changed, removed", "audience": "added, changed, removed", "upsert": "added, changed, merged",
    "update": "added, changed, merged", "create": "added", "append": "added",
}  # fmt: skip
"""The kinds of changes that a mode sends; merged: removed, and part of another profile now."""


@dataclass(frozen=True)
class Scope:
    """What part of the difference a run is about; by default all of it."""

    full: bool = False
    """Whether rows are sent that the tool holds as they are."""
    limit: int | None = None
    """At most so many rows."""
    only_rejected: bool = False
    """Only rows that the tool did not take."""
    since: str = ""
    """In mode append: rows from this moment on, now and in later runs; text as `declared.moment` gives it."""

    @property
    def is_everything(self) -> bool:
        """Whether every change is in it."""
        return self.limit is None and not self.only_rejected


@dataclass(frozen=True)
class Plan:
    """What a run has to deliver, numbered from 1: first removals, then changes and additions."""

    columns: list[str]
    """The fields, by the tool's names."""
    added: int
    changed: int
    removed: int
    rejected: int
    """Rows that cannot be sent because their key is null, empty or double."""
    held: int = 0
    """Rows that the tool holds."""
    in_doubt: int = 0
    """Rows to deliver that a run before sent without hearing whether they arrived."""

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
    message_ids: list[str]


class State:
    """The state of one sync in one run."""

    def __init__(self, warehouse: Warehouse, sync: DeclaredSync, run_id: str) -> None:
        self.warehouse = warehouse
        self.sync = sync
        self.names = {"sync": sync.name, "run_id": run_id}
        self._has_held = self._has_rejected = True
        """Whether rows of the plan can be in cdi.sync_state, and in cdi.sync_rejected."""

    def columns(self) -> dict[str, str]:
        """The model's columns and their types (`json` for all that has parts).

        Raises UsageError where the model, its key or a mapped column does not exist.
        """
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
        wanted = {"key": self.sync.key, "time": self.sync.time_column}
        wanted |= {f"fields.{item.name}:": item.column for item in self.sync.fields}
        for place, column in wanted.items():
            if column and column not in types:
                near = difflib.get_close_matches(column, types, n=1)
                raise self.sync.error(
                    f"{place} '{column}' is no column of the model.",
                    (f"Did you mean {near[0]}? " if near else "") + f"Its columns: {', '.join(types)}.",
                )
        return {name: "json" if _has_parts(kind) else kind for name, kind in types.items()}

    def settle(self) -> None:
        """Take over what the run before left in flight; whoever holds the lock knows that it is no longer running.

        The tool may hold those rows: they are sent again or removed, whatever the state said before.
        """
        self.warehouse.execute(
            "update cdi.sync_state set row_hash = '', sent_hash = sent.sent_hash, message_id = sent.message_id"
            " from cdi.sync_in_flight as sent"
            " where sync_state.sync = $sync and sent.sync = $sync and sync_state.key = sent.key",
            {"sync": self.sync.name},
        )
        self.warehouse.execute(
            "insert into cdi.sync_state (sync, key, row_hash, run_id, sent_hash, message_id)"
            " select sync, key, '', run_id, sent_hash, message_id"
            " from cdi.sync_in_flight as sent where sync = $sync and not exists"
            " (select 1 from cdi.sync_state as held where held.sync = $sync and held.key = sent.key)",
            {"sync": self.sync.name},
        )
        self.warehouse.execute("delete from cdi.sync_in_flight where sync = $sync", {"sync": self.sync.name})
        self.warehouse.execute(
            f"update cdi.sync_runs set status = 'interrupted', {_FAILED} where sync = $sync and status = 'running'",
            {"sync": self.sync.name},
        )

    def plan(self, scope: Scope = Scope()) -> Plan:
        """Compare the model with what the tool holds, in the warehouse; rows without a key of their own are left out.

        Raises UsageError where the model or its key column does not exist, WarehouseError where it cannot be read.
        """
        types = self.columns()
        try:
            return self._compare(types, scope)
        except (duckdb.Error, psycopg.Error) as error:
            # The engine's sentence may hold a value that could not be converted.
            raise WarehouseError(
                f"{self.sync.schema}.{self.sync.table} cannot be read for sync {self.sync.name}"
                f" ({type(error).__name__}).",
                f"Build it anew: dbt build --select +{self.sync.name}",
            ) from None

    def _since(self, scope: Scope) -> str:
        """SQL that keeps the rows of an append sync that are not too old."""
        if not self.sync.time_column:
            return "true"
        for since in filter(None, (self.sync.since, scope.since)):
            self.warehouse.execute(
                "insert into cdi.sync_since (sync, since) select $sync, cast($since as timestamp) where not exists"
                " (select 1 from cdi.sync_since where sync = $sync and since <= cast($since as timestamp))",
                {"sync": self.sync.name, "since": since},
            )
        since = "(select min(since) from cdi.sync_since where sync = $sync)"
        return f"({since} is null or {quote(self.sync.time_column)} >= {since})"

    def _compare(self, types: dict[str, str], scope: Scope) -> Plan:
        sources = {item.name: item.column for item in self.sync.fields} or {name: name for name in types}
        sent = {name: _as_sent(self.warehouse.dialect, column, types[column]) for name, column in sources.items()}
        fields = ", ".join(f"{sql} as {quote(name)}" for name, (sql, _) in sent.items())
        key = self.sync.key_field
        for table in ("cdi_sync_rows", "cdi_sync_plan", "cdi_sync_failures"):
            self.warehouse.execute(f"drop table if exists {table}")
        self.warehouse.execute(
            "create temporary table cdi_sync_failures (number bigint, reason text, in_doubt boolean)"
        )
        self.warehouse.execute(
            f"""
            create temporary table cdi_sync_rows as
            select
                cast({quote(key)} as text) as {KEY},
                md5({_hashed(sent)}) as {HASH},
                count(*) over (partition by cast({quote(key)} as text)) as {_COPIES},
                *
            from (select {fields} from {quote(self.sync.schema, self.sync.table)} where {self._since(scope)}) as model
            """,
            {"sync": self.sync.name} if self.sync.time_column else None,
        )
        # A removed row has no values left but its key.
        values = ", ".join(
            f"coalesce(rows.{quote(name)}, cast(held.key as {kind})) as {quote(name)}"
            if name == key
            else f"rows.{quote(name)}"
            for name, (_, kind) in sent.items()
        )
        wanted = _WANTED[self.sync.real_mode]
        removed = "true" if "removed" in wanted else self._is_merged() if "merged" in wanted else "false"
        changed = "true" if "changed" in wanted else "held.delivered_at is null"
        differs = "true" if scope.full else f"held.row_hash is distinct from rows.{HASH}"
        if self.sync.real_mode in ("create", "append"):
            # What was delivered once stays as it is, whatever it looks like now; in doubt it goes once more.
            differs = "(held.delivered_at is null or held.row_hash = '')"
        # What is news to the tool has an id of its own, also where a row changes and changes back; what it may hold
        # already keeps the one that it left under.
        message = (
            f"case when {_SENT_AS} = coalesce({HASH}, {_KIND}) then {_SENT_ID}"
            f" else md5($run_id || {_KIND} || {KEY} || coalesce({HASH}, '')) end"
        )
        parameters = {**self.names, "limit": 2**62 if scope.limit is None else scope.limit}
        if self.sync.real_mode == "append":
            # The same event, whatever is known of it by now.
            message = KEY
            parameters.pop("run_id")
        is_asked = (
            f"coalesce(rows.{KEY}, held.key) in (select key from cdi.sync_rejected where sync = $sync)"
            if scope.only_rejected
            else "true"
        )
        self.warehouse.execute(
            f"""
            create temporary table cdi_sync_plan as
            select * from (
                select
                    row_number() over (order by {_KIND} desc, {KEY}) as {_NUMBER},
                    {message} as {MESSAGE},
                    *
                from (
                    select
                        case
                            when rows.{_COPIES} is null then 'removed'
                            when held.delivered_at is null then 'added'
                            else 'changed'
                        end as {_KIND},
                        coalesce(rows.{KEY}, held.key) as {KEY},
                        rows.{HASH},
                        held.key is not null as {_WAS_HELD},
                        coalesce(held.row_hash = '', false) as {_DOUBT},
                        held.sent_hash as {_SENT_AS},
                        held.message_id as {_SENT_ID},
                        {values}
                    from cdi_sync_rows as rows
                    full join (select * from cdi.sync_state where sync = $sync) as held on rows.{KEY} = held.key
                    where (
                        (rows.{KEY} <> '' and rows.{_COPIES} = 1 and {differs} and {changed})
                        or (rows.{_COPIES} is null and {removed})
                    ) and {is_asked}
                ) as changes
            ) as numbered
            where {_NUMBER} <= $limit
            """,
            parameters,
        )
        if self.warehouse.dialect == "postgres":
            # Without these every page is a scan of the whole plan, and the planner guesses.
            self.warehouse.execute(f"create unique index on cdi_sync_plan ({_NUMBER})")
            self.warehouse.execute("analyze cdi_sync_plan")
        counts = dict(self.warehouse.query(f"select {_KIND}, count(*) from cdi_sync_plan group by 1"))
        rejected = self.warehouse.query(f"select count(*) from cdi_sync_rows where {_UNSENDABLE}")[0][0]
        held = self.warehouse.query(
            "select count(*) from cdi.sync_state where sync = $sync and delivered_at is not null",
            {"sync": self.sync.name},
        )[0][0]
        in_doubt = self.warehouse.query(f"select count(*) from cdi_sync_plan where {_DOUBT}")[0][0]
        self._has_held = bool(held or in_doubt)
        self._has_rejected = bool(
            self.warehouse.query("select 1 from cdi.sync_rejected where sync = $sync limit 1", {"sync": self.sync.name})
        )
        return Plan(list(sent), *(counts.get(kind, 0) for kind in _KINDS), rejected, held, in_doubt)

    def _is_merged(self) -> str:
        """SQL: whether a row that left the model is a profile that became part of another, and so is none any more."""
        if self.sync.key != "profile_id" or not self.warehouse.relation_exists(*self.sync.identity_graph):
            return "false"
        graph = quote(*self.sync.identity_graph)
        return f"not exists (select 1 from {graph} as graph where graph.profile_id = held.key)"

    def page(self, plan: Plan, first: int, count: int) -> Page:
        """At most `count` rows from a number on, all removals or all not."""
        last = min(first + count - 1, plan.removed if first <= plan.removed else plan.total)
        batches = self.warehouse.fetch(
            f"select {', '.join(quote(name) for name in plan.columns)}, {MESSAGE} from cdi_sync_plan"
            f" where {_PAGE} order by {_NUMBER}",
            {"first": first, "last": last},
        )
        rows = pa.Table.from_batches(batches).combine_chunks()
        return Page(
            first,
            last,
            "remove" if first <= plan.removed else "upsert",
            rows.select(plan.columns).to_batches()[0],
            rows.column(MESSAGE).to_pylist(),
        )

    def sample(self, plan: Plan, count: int) -> list[dict[str, object]]:
        """Some rows of each kind of change, with the kind and the fields by the model's names of the columns."""
        names = [KEY, _KIND, *plan.columns]
        rows = self.warehouse.query(
            f"select {', '.join(quote(name) for name in names)} from (select *, row_number() over"
            f" (partition by {_KIND} order by {_NUMBER}) as place from cdi_sync_plan) as placed"
            f" where place <= $count order by {_NUMBER}",
            {"count": count},
        )
        return [dict(zip(names, row, strict=True)) for row in rows]

    def sequence(self) -> int:
        """1 more than the runs of this sync that delivered something."""
        return (
            1
            + self.warehouse.query(
                f"select count(*) from cdi.sync_runs where sync = $sync and {_DELIVERED} > 0",
                {"sync": self.sync.name},
            )[0][0]
        )

    def sending(self, first: int, last: int) -> None:
        """The rows from one number to another are about to leave: from now on the tool may hold them."""
        self.warehouse.execute(
            "insert into cdi.sync_in_flight (sync, key, run_id, sent_hash, message_id)"
            f" select $sync, {KEY}, $run_id, coalesce({HASH}, {_KIND}), {MESSAGE} from cdi_sync_plan where {_PAGE}",
            {**self.names, "first": first, "last": last},
        )

    def settled(self, first: int, last: int, failures: Mapping[int, Failure]) -> None:
        """What became of the rows from one number to another: the state moves for those that the tool took.

        `failures` are the others, by their number. One transaction.
        """
        page = {"sync": self.sync.name, "first": first, "last": last}
        stamped = {**page, "run_id": self.names["run_id"], "now": now()}
        with self.warehouse.transaction():
            self.warehouse.execute("delete from cdi_sync_failures")
            if failures:
                columns = {
                    "number": pa.array(list(failures), pa.int64()),
                    "reason": pa.array([item.reason for item in failures.values()], pa.string()),
                    "in_doubt": pa.array([item.in_doubt for item in failures.values()], pa.bool_()),
                }
                self.warehouse.append("cdi_sync_failures", pa.table(columns).to_reader())
            if self._has_held:
                self.warehouse.execute(
                    "delete from cdi.sync_state where sync = $sync"
                    f" and key in (select {KEY} from cdi_sync_plan where {_TAKEN} and {_WAS_HELD})",
                    page,
                )
            self.warehouse.execute(
                "insert into cdi.sync_state (sync, key, row_hash, delivered_at, run_id)"
                f" select $sync, {KEY}, {HASH}, cast($now as timestamp), $run_id from cdi_sync_plan"
                f" where {_TAKEN} and {_KIND} <> 'removed'",
                stamped,
            )
            self.warehouse.execute(
                "insert into cdi.sync_changes (run_id, sync, key, operation, delivered_at)"
                f" select $run_id, $sync, {KEY}, {_OPERATION}, cast($now as timestamp) from cdi_sync_plan"
                f" where {_TAKEN}",
                stamped,
            )
            self.warehouse.execute(
                f"delete from cdi.sync_in_flight where sync = $sync and key in (select {KEY} from cdi_sync_plan"
                f" where {_PAGE} and {_NUMBER} not in (select number from cdi_sync_failures where in_doubt))",
                page,
            )
            if self._has_rejected:
                self.warehouse.execute(
                    f"delete from cdi.sync_rejected where sync = $sync and key in (select {KEY} from cdi_sync_plan"
                    f" where {_PAGE})",
                    page,
                )
            if failures:
                self._has_rejected = True
                self.warehouse.execute(
                    "insert into cdi.sync_rejected (run_id, sync, key, operation, reason, count_rows, rejected_at)"
                    f" select $run_id, $sync, {KEY}, {_OPERATION}, failed.reason, 1, cast($now as timestamp) from"
                    f" cdi_sync_plan as plan inner join cdi_sync_failures as failed on plan.{_NUMBER} = failed.number"
                    f" where {_PAGE}",
                    stamped,
                )
            taken = dict(
                self.warehouse.query(
                    f"select {_KIND}, count(*) from cdi_sync_plan where {_TAKEN} group by 1",
                    {"first": first, "last": last},
                )
            )
            counts = ", ".join(f"delivered_{kind} = delivered_{kind} + {taken.get(kind, 0)}" for kind in _KINDS)
            self.warehouse.execute(
                f"update cdi.sync_runs set {counts} where run_id = $run_id and sync = $sync",
                self.names,
            )

    def forget_solved(self, scope: Scope) -> None:
        """Rows that were rejected once and that no longer need to be sent are no longer waiting."""
        if scope.is_everything:
            self.warehouse.execute(
                "delete from cdi.sync_rejected where sync = $sync and (key is null or not exists"
                f" (select 1 from cdi_sync_plan as plan where plan.{KEY} = sync_rejected.key))",
                {"sync": self.sync.name},
            )

    def start_run(self, plan: Plan, is_full: bool = False) -> None:
        """Write down that the run begins, and which rows it cannot send.

        `is_full` says that rows go although the tool should hold them: until it took them again nobody is sure of that.
        """
        columns = [f"{part}_{kind}" for part in ("planned", "delivered", "failed") for kind in _KINDS]
        with self.warehouse.transaction():
            self.warehouse.execute(
                f"insert into cdi.sync_runs (run_id, sync, started_at, status, {', '.join(columns)}, rejected, resent)"
                " values ($run_id, $sync, cast($now as timestamp), 'running',"
                " $added, $changed, $removed, 0, 0, 0, 0, 0, 0, $rejected, 0)",
                {
                    **self.names,
                    "now": now(),
                    "added": plan.added,
                    "changed": plan.changed,
                    "removed": plan.removed,
                    "rejected": plan.rejected,
                },
            )
            if is_full:
                self.warehouse.execute(
                    "update cdi.sync_state set row_hash = '' where sync = $sync"
                    f" and key in (select {KEY} from cdi_sync_plan where {_KIND} = 'changed')",
                    {"sync": self.sync.name},
                )
            self.warehouse.execute(
                "delete from cdi.sync_rejected where sync = $sync and (key is null or key in"
                f" (select {KEY} from cdi_sync_rows where {_UNSENDABLE}))",
                {"sync": self.sync.name},
            )
            self.warehouse.execute(
                "insert into cdi.sync_rejected (run_id, sync, key, operation, reason, count_rows, rejected_at)"
                f" select $run_id, $sync, {KEY}, 'upsert', case when {KEY} is null then 'the key is null'"
                f" when {KEY} = '' then 'the key is empty' else 'several rows have this key' end, count(*),"
                f" cast($now as timestamp) from cdi_sync_rows where {_UNSENDABLE} group by {KEY}",
                {**self.names, "now": now()},
            )
            self.warehouse.execute("drop table cdi_sync_rows")

    def finish_run(self, status: str, message: str, resent: int = 0) -> None:
        """Write down how the run ended."""
        self.warehouse.execute(
            f"update cdi.sync_runs set finished_at = cast($now as timestamp), status = $status, message = $message,"
            f" resent = $resent, {_FAILED} where run_id = $run_id and sync = $sync",
            {**self.names, "now": now(), "status": status, "message": message, "resent": resent},
        )


_SENT_AS, _SENT_ID = "cdi_sent_hash", "cdi_sent_message_id"
_UNSENDABLE = f"({KEY} is null or {KEY} = '' or {_COPIES} > 1)"
_DELIVERED = "(" + " + ".join(f"delivered_{kind}" for kind in _KINDS) + ")"
_FAILED = ", ".join(f"failed_{kind} = planned_{kind} - delivered_{kind}" for kind in _KINDS)


def create_state_tables(warehouse: Warehouse) -> None:
    """Make the tables of schema cdi, and columns that an older version did not have, where they are missing."""
    warehouse.execute("create schema if not exists cdi")
    for name, columns in _TABLES.items():
        warehouse.execute(f"create table if not exists {quote('cdi', name)} ({columns})")
    for table, columns in (("sync_runs", "resent bigint"), ("sync_state", "sent_hash text, message_id text"),
                           ("sync_in_flight", "sent_hash text, message_id text")):  # fmt: skip
        there = warehouse.column_names("cdi", table)
        for column in columns.split(", "):
            if column.split()[0] not in there:
                warehouse.execute(f"alter table cdi.{table} add column {column}")
    if warehouse.dialect == "postgres":
        warehouse.execute("create index if not exists sync_state_key on cdi.sync_state (sync, key)")
        warehouse.execute("create index if not exists sync_changes_key on cdi.sync_changes (key, sync)")


def _has_parts(kind: str) -> bool:
    return kind in ("array", "json", "jsonb") or kind.startswith(("struct", "map", "union")) or kind.endswith("]")


def _as_sent(dialect: str, name: str, kind: str) -> tuple[str, str]:
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


def _hashed(names: Iterable[str]) -> str:
    """SQL for one text of all fields.

    In the order of the names, each value with its length: neither the order of fields nor what stands in them can make
    two different rows look the same. A field that is null is left out, so that a new one that nobody has sends nothing.
    """
    return " || ".join(
        f"coalesce('{name.replace(chr(39), chr(39) * 2)}=' || cast(length(cast({quote(name)} as text)) as text)"
        f" || ':' || cast({quote(name)} as text) || ';', '')"
        for name in sorted(names)
    )
