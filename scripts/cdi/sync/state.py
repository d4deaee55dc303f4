"""What the warehouse knows of syncs: what each tool holds, what each run did, and what was not taken and why.

All in schema cdi. No table holds a value of a row but its key: what was delivered is known by a hash.

A run writes its plan into cdi.sync_state, numbered: each row as the tool will hold it, beside the one that it holds.
How far it is stands in two columns of cdi.sync_runs, written page by page: `sent_to` before a page leaves, `settled_to`
when the tool has answered. What that means for the state is worked out for many pages at once (`take_over`), by the
run itself or by the next one if it was killed: a planned row loses its number, and the one that it replaces goes.
"""

from __future__ import annotations

import difflib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import duckdb
import psycopg
import pyarrow as pa

from cdi.errors import WarehouseError
from cdi.sync.columns import as_sent, has_parts, hashed, hashed_one_by_one, unchanged_fields
from cdi.sync.declared import DeclaredSync
from cdi.sync.tools import Failure
from cdi.warehouse import UNAVAILABLE, Warehouse, now, quote

_KINDS = ("added", "changed", "removed")
_TABLES = {
    # Rows without a number: what the tool holds. row_hash is empty where it may or may not hold what was sent last
    # (sent_hash, under message_id); delivered_at is null until it confirmed. field_hashes: only for tools that want no
    # more than what changed.
    # Rows with a number: what the run under way is to deliver and has not taken over; kind is added, changed or
    # removed, message_id is null where it is made of run and number, and in_doubt says whether the tool may hold it.
    "sync_state": "sync text, key text, row_hash text, delivered_at timestamp, run_id text, sent_hash text,"
    " message_id text, field_hashes text, number bigint, kind text, in_doubt boolean",
    # Which rows of a plan the tool did not take, and why; is_rejected: because of what is in the row.
    "sync_failures": "sync text, number bigint, reason text, in_doubt boolean, is_rejected boolean",
    # number counts a sync's runs, whatever the clock says. refused_again: of the rows that failed, those that the tool
    # had refused before because of what is in them.
    "sync_runs": "run_id text, number bigint, sync text, started_at timestamp, finished_at timestamp, status text, "
    + ", ".join(f"{part}_{kind} bigint" for part in ("planned", "delivered", "failed") for kind in _KINDS)
    + ", rejected bigint, message text, resent bigint, sent_to bigint, settled_to bigint, settled_at timestamp,"
    " refused_again bigint",
    # Every row that a tool took in the last sync_history_days days, but for those that it holds; delivered_at is when
    # the run last heard of the tool before it wrote this down.
    "sync_changes": "run_id text, sync text, key text, operation text, delivered_at timestamp",
    # What a tool does not have, and why: until it takes the row or the row leaves the model.
    "sync_rejected": "run_id text, sync text, key text, operation text, reason text, count_rows bigint,"
    " rejected_at timestamp, is_rejected boolean",
    # How far back rows of an append sync go: the earliest that was ever asked for.
    "sync_since": "sync text, since timestamp",
}

_INDEXES = {
    "sync_state_key": "sync_state (sync, key)",
    "sync_changes_key": "sync_changes (key, sync)",
    "sync_changes_delivered_at": "sync_changes using brin (delivered_at)",
    "sync_state_number": "sync_state (sync, number) where number is not null",
}
"""On PostgreSQL."""

DELIVERIES = (
    "select run_id, sync, key, operation, delivered_at from cdi.sync_changes"
    " union select run_id, sync, key, 'upsert' as operation, delivered_at from cdi.sync_state"
    " where delivered_at is not null"
)
"""SQL: a row per row that a tool took, as far as it is kept."""

TAKE_OVER_SECONDS = 30.0
"""How long a run collects what was answered before it moves the state."""

KEY, HASH, MESSAGE = "cdi_key", "cdi_hash", "cdi_message_id"
_IS_HELD = "sync = $sync and number is null"
_IS_PLANNED = "sync = $sync and number is not null"
_SETTLED = "sync = $sync and run_id = $run_id and number <= $settled_to"
_NUMBER, _KIND, _KEPT, _IN_DOUBT = "cdi_number", "cdi_kind", "cdi_kept_id", "cdi_in_doubt"
# Hashes of single fields: as they are now, and of what the tool holds for sure.
_FIELDS, _HELD = "cdi_fields", "cdi_held"
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

    columns: dict[str, tuple[str, str]]
    """The fields by the tool's names: their SQL and type."""
    added: int
    changed: int
    removed: int
    rejected: int
    """Rows that cannot be sent because their key is null, empty or double."""
    held: int = 0
    """Rows that the tool holds."""
    differences: tuple[int, ...] = (0, 0, 0)
    """Rows that were added, changed and removed, those included that a limit keeps back."""

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
    unchanged: list[frozenset[str]] = field(default_factory=list)
    """See Batch.unchanged."""


class State:
    """The state of one sync in one run."""

    def __init__(self, warehouse: Warehouse, sync: DeclaredSync, run_id: str, knows_repeats: bool = True) -> None:
        self.warehouse = warehouse
        self.sync = sync
        self.knows_repeats = knows_repeats
        """Whether the tool of the sync ignores rows that arrive twice."""
        self.names = {"sync": sync.name, "run_id": run_id}
        self.sends_deltas = sync.tool_class.sends_deltas
        self.removes = "removed" in _WANTED[sync.real_mode]
        """Whether rows that leave the model are removed from the tool."""
        self._taken_over_at = time.monotonic()

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
        return {name: "json" if has_parts(kind) else kind for name, kind in types.items()}

    def settle(self) -> None:
        """Take over what a run before left behind; whoever holds the lock knows that it is no longer running.

        What was on its way then the tool may hold: it is sent again or removed, whatever the state said before.
        """
        self.take_over()
        if self._number(f"select count(*) from cdi.sync_state where {_IS_PLANNED}", {"sync": self.sync.name}):
            self._count_resent("number <= sync_runs.sent_to", "status = 'running'", {"sync": self.sync.name})
            self._doubt(
                "select planned.key, planned.run_id, planned.number, planned.kind, planned.row_hash, planned.message_id"
                " from cdi.sync_state as planned inner join cdi.sync_runs as run on planned.run_id = run.run_id"
                " where planned.sync = $sync and planned.number <= run.sent_to"
            )
        self._forget_plan()
        self.warehouse.execute(
            f"update cdi.sync_runs set status = 'interrupted', {_FAILED} where sync = $sync and status = 'running'",
            {"sync": self.sync.name},
        )

    def _doubt(self, rows: str) -> None:
        """Nobody knows whether the tool holds rows (SQL: of a plan, as they are in the state) as they left."""
        message_id = _message_id("message_id", "run_id", "number")
        sent = f"select key, run_id, coalesce(row_hash, kind) as sent_hash, {message_id} as message_id from ({rows})"
        self.warehouse.execute(
            "update cdi.sync_state set row_hash = '', sent_hash = sent.sent_hash, message_id = sent.message_id"
            f" from ({sent} as unheard) as sent where sync_state.sync = $sync and sync_state.number is null"
            " and sync_state.key = sent.key",
            {"sync": self.sync.name},
        )
        self.warehouse.execute(
            "insert into cdi.sync_state (sync, key, row_hash, run_id, sent_hash, message_id)"
            f" select $sync, key, '', run_id, sent_hash, message_id from ({sent} as unheard) as sent where not exists"
            " (select 1 from cdi.sync_state as held where held.sync = $sync and held.number is null"
            " and held.key = sent.key)",
            {"sync": self.sync.name},
        )

    def _forget_plan(self) -> None:
        sync = {"sync": self.sync.name}
        self.warehouse.execute(f"delete from cdi.sync_state where {_IS_PLANNED}", sync)
        self.warehouse.execute("delete from cdi.sync_failures where sync = $sync", sync)

    def plan(self, scope: Scope = Scope()) -> Plan:
        """Compare the model with what the tool holds, in the warehouse; rows without a key of their own are left out.

        Raises UsageError where the model or its key column does not exist, WarehouseError where it cannot be read.
        """
        types = self.columns()
        try:
            return self._compare(types, scope)
        except UNAVAILABLE:
            raise
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
        # What has no limit and was sent already goes back further than anybody can ask for.
        has_limit = (
            "(exists (select 1 from cdi.sync_since where sync = $sync)"
            " or not exists (select 1 from cdi.sync_state where sync = $sync and delivered_at is not null))"
        )
        for since, can_be in ((self.sync.since, "true"), (scope.since, has_limit)):
            if since:
                self.warehouse.execute(
                    "insert into cdi.sync_since (sync, since) select $sync, cast($since as timestamp)"
                    f" where {can_be} and not exists"
                    " (select 1 from cdi.sync_since where sync = $sync and since <= cast($since as timestamp))",
                    {"sync": self.sync.name, "since": since},
                )
        since = "(select min(since) from cdi.sync_since where sync = $sync)"
        return f"({since} is null or {quote(self.sync.time_column)} >= {since})"

    def _compare(self, types: dict[str, str], scope: Scope) -> Plan:
        sources = {item.name: item.column for item in self.sync.fields} or {name: name for name in types}
        sent = {name: as_sent(self.warehouse.dialect, column, types[column]) for name, column in sources.items()}
        sync = {"sync": self.sync.name}
        sends_once = self.sync.real_mode in ("create", "append")
        # What was delivered once stays as it is, whatever it looks like now; in doubt it goes once more.
        is_news = (
            "not exists (select 1 from cdi.sync_state as held where held.sync = $sync"
            f" and held.key = cast(model.{quote(self.sync.key)} as text)"
            " and held.delivered_at is not null and held.row_hash <> '')"
            if sends_once
            else "true"
        )
        model = f"{quote(self.sync.schema, self.sync.table)} as model where {self._since(scope)} and {is_news}"
        for table in ("cdi_sync_rows", "cdi_sync_changes", "cdi_sync_unsendable"):
            self.warehouse.execute(f"drop table if exists {table}")
        self._forget_plan()
        self.warehouse.execute(
            f"create temporary table cdi_sync_unsendable as select {KEY}, count(*) as copies"
            f" from (select cast({sent[self.sync.key_field][0]} as text) as {KEY} from {model}) as keys"
            f" group by 1 having count(*) > 1 or {KEY} is null or trim({KEY}) = ''",
            sync if sends_once else None,
        )
        wanted = _WANTED[self.sync.real_mode]
        removed = "true" if "removed" in wanted else self._is_merged() if "merged" in wanted else "false"
        changed = "true" if "changed" in wanted else "held.delivered_at is null"
        differs = "true" if scope.full else f"held.row_hash is distinct from rows.{HASH}"
        if sends_once:
            differs = "(held.delivered_at is null or held.row_hash = '')"
        # What the tool may hold already keeps the id that it left under. An event has its key, whatever is known of it
        # by now. All else leaves under an id of its own, also where a row changes and changes back.
        kept_id = (
            f"rows.{KEY}"
            if self.sync.real_mode == "append"
            else f"case when held.sent_hash = coalesce(rows.{HASH}, 'removed') then held.message_id end"
        )
        is_asked = (
            f"coalesce(rows.{KEY}, held.key) in (select key from cdi.sync_rejected where sync = $sync)"
            if scope.only_rejected
            else "true"
        )
        fields = ", ".join(f"{sql} as {quote(name)}" for name, (sql, _) in sent.items())
        # A removed row has no values left but its key.
        values = ", ".join(
            f"coalesce(rows.{quote(name)}, cast(held.key as {kind})) as {quote(name)}"
            if name == self.sync.key_field
            else f"rows.{quote(name)}"
            for name, (_, kind) in sent.items()
        )
        self.warehouse.execute(
            f"""
            create temporary table cdi_sync_changes as
            select
                case
                    when rows.{HASH} is null then 'removed'
                    when held.delivered_at is null then 'added'
                    else 'changed'
                end as {_KIND},
                coalesce(rows.{KEY}, held.key) as {KEY},
                rows.{HASH},
                coalesce(held.row_hash = '' and held.sent_hash is not null, false) as {_IN_DOUBT},
                {kept_id} as {_KEPT},
                rows.{_FIELDS},
                case when held.row_hash <> '' and not {scope.full} then held.field_hashes end as {_HELD},
                {values}
            from (
                select
                    cast({quote(self.sync.key_field)} as text) as {KEY},
                    md5({hashed(sent)}) as {HASH},
                    {hashed_one_by_one(sent) if self.sends_deltas else "cast(null as text)"} as {_FIELDS},
                    *
                from (select {fields} from {model}) as model
            ) as rows
            full join (select * from cdi.sync_state where sync = $sync) as held on rows.{KEY} = held.key
            left join cdi_sync_unsendable as bad on rows.{KEY} = bad.{KEY}
            where (
                (trim(rows.{KEY}) <> '' and bad.copies is null and {differs} and {changed})
                or (rows.{HASH} is null and {removed})
            ) and {is_asked}
            """,
            sync,
        )
        # Numbered in a statement of its own, because counting keeps a query on one thread; removals go first.
        self.warehouse.execute(
            f"""
            create temporary table cdi_sync_rows as
            select *
            from (
                select row_number() over () as {_NUMBER}, * from cdi_sync_changes where {_KIND} = 'removed'
                union all
                select (select count(*) from cdi_sync_changes where {_KIND} = 'removed') + row_number() over (), *
                from cdi_sync_changes where {_KIND} <> 'removed'
            ) as numbered
            where {_NUMBER} <= $limit
            """,
            {"limit": 2**62 if scope.limit is None else scope.limit},
        )
        differences = self._counts("cdi_sync_changes")
        self.warehouse.execute("drop table cdi_sync_changes")
        self.warehouse.execute(
            "insert into cdi.sync_state"
            " (sync, run_id, number, key, kind, row_hash, message_id, in_doubt, field_hashes)"
            f" select $sync, $run_id, {_NUMBER}, {KEY}, {_KIND}, {HASH}, {_KEPT}, {_IN_DOUBT}, {_FIELDS}"
            " from cdi_sync_rows",
            self.names,
        )
        if self.warehouse.dialect == "postgres":
            # Without these every page is a scan of everything, and the planner guesses.
            self.warehouse.execute(f"create unique index on cdi_sync_rows ({_NUMBER})")
            for table in ("cdi_sync_rows", "cdi.sync_state"):
                self.warehouse.execute(f"analyze {table}")
        return Plan(
            sent,
            *(differences if scope.limit is None else self._counts("cdi_sync_rows")),
            differences=differences,
            rejected=self._number("select coalesce(sum(copies), 0) from cdi_sync_unsendable"),
            held=self._number(
                "select count(*) from cdi.sync_state where sync = $sync and delivered_at is not null", sync
            ),
        )

    def _number(self, sql: str, parameters: Mapping[str, object] | None = None) -> int:
        return int(self.warehouse.query(sql, parameters)[0][0])

    def _counts(self, table: str) -> tuple[int, ...]:
        """How many rows of a comparison were added, changed and removed."""
        counts = dict(self.warehouse.query(f"select {_KIND}, count(*) from {table} group by 1"))
        return tuple(counts.get(kind, 0) for kind in _KINDS)

    def _is_merged(self) -> str:
        """SQL: whether a row that left the model is a profile that became part of another, and so is none any more."""
        if self.sync.key != "profile_id" or not self.warehouse.relation_exists(*self.sync.identity_graph):
            return "false"
        graph = quote(*self.sync.identity_graph)
        return f"not exists (select 1 from {graph} as graph where graph.profile_id = held.key)"

    def page(self, plan: Plan, first: int, count: int) -> Page:
        """At most `count` rows from a number on, all removals or all not."""
        last = min(first + count - 1, plan.removed if first <= plan.removed else plan.total)
        message_id = _message_id(_KEPT, "cast($run_id as text)", _NUMBER)
        batches = self.warehouse.fetch(
            f"select {message_id} as {MESSAGE}, {_FIELDS}, {_HELD}, {', '.join(map(quote, plan.columns))}"
            f" from cdi_sync_rows where {_NUMBER} between $first and $last order by {_NUMBER}",
            {"first": first, "last": last, "run_id": self.names["run_id"]},
        )
        rows = pa.Table.from_batches(batches).combine_chunks()
        unchanged: list[frozenset[str]] = []
        if self.sends_deltas:
            hashes = zip(rows.column(_HELD).to_pylist(), rows.column(_FIELDS).to_pylist(), strict=True)
            unchanged = [unchanged_fields(plan.columns, held, new) for held, new in hashes]
        return Page(
            first,
            last,
            "remove" if first <= plan.removed else "upsert",
            rows.select(list(plan.columns)).to_batches()[0],
            rows.column(MESSAGE).to_pylist(),
            unchanged,
        )

    def sample(self, plan: Plan, count: int) -> list[dict[str, object]]:
        """Some rows of each kind of change, with the kind and the fields by the tool's names."""
        names = [KEY, _KIND, *plan.columns]
        rows = self.warehouse.query(
            f"select {', '.join(quote(name) for name in names)} from (select *,"
            f" row_number() over (partition by {_KIND} order by {_NUMBER}) as cdi_turn from cdi_sync_rows) as numbered"
            f" where cdi_turn <= $count order by {_NUMBER}",
            {"count": count},
        )
        return [dict(zip(names, row, strict=True)) for row in rows]

    def sequence(self) -> int:
        """1 more than the runs of this sync that delivered something."""
        return self._number(
            f"select 1 + count(*) from cdi.sync_runs where sync = $sync and {_DELIVERED} > 0", {"sync": self.sync.name}
        )

    def sending(self, last: int) -> None:
        """The rows up to a number are about to leave: from now on the tool may hold them."""
        self.warehouse.execute(
            "update cdi.sync_runs set sent_to = $last where run_id = $run_id and sync = $sync",
            {**self.names, "last": last},
        )

    def settled(self, last: int, failures: Mapping[int, Failure], sending: int | None = None) -> None:
        """The tool took the rows up to a number, those of `failures` (by their number) excepted; one transaction.

        `sending` says the same as the call of that name, in one go.
        """
        with self.warehouse.transaction():
            if failures:
                columns = {
                    "sync": pa.array([self.sync.name] * len(failures), pa.string()),
                    "number": pa.array(list(failures), pa.int64()),
                    "reason": pa.array([item.reason for item in failures.values()], pa.string()),
                    "in_doubt": pa.array([item.in_doubt for item in failures.values()], pa.bool_()),
                    "is_rejected": pa.array([item.is_rejected for item in failures.values()], pa.bool_()),
                }
                self.warehouse.append(quote("cdi", "sync_failures"), pa.table(columns).to_reader())
            self.warehouse.execute(
                "update cdi.sync_runs set settled_to = $last, settled_at = cast($now as timestamp), sent_to = $sent_to"
                " where run_id = $run_id and sync = $sync",
                {**self.names, "last": last, "now": now(), "sent_to": last if sending is None else sending},
            )
        if time.monotonic() - self._taken_over_at >= TAKE_OVER_SECONDS:
            with self.warehouse.transaction():
                self.take_over()

    def take_over(self) -> None:
        """Move the state for all rows that the tool has answered for, of this run or of one that was killed."""
        self._taken_over_at = time.monotonic()
        runs = self.warehouse.query(
            "select run_id, settled_to, settled_at from cdi.sync_runs"
            " where sync = $sync and status = 'running' and settled_to is not null",
            {"sync": self.sync.name},
        )
        for run_id, settled_to, settled_at in runs:
            run = {"sync": self.sync.name, "run_id": run_id, "settled_to": settled_to}
            self._count_resent("number <= $settled_to", "run_id = $run_id", run)
            self._take_over_refused(run)
            self._take_over_taken(run, settled_at)

    def _count_resent(self, rows: str, run: str, parameters: dict[str, object]) -> None:
        """Add to a run's count of rows that may have gone twice: of `rows` those that were in doubt when it planned."""
        if not self.knows_repeats:
            self.warehouse.execute(
                "update cdi.sync_runs set resent = resent + (select count(*) from cdi.sync_state as planned"
                f" where planned.sync = $sync and planned.run_id = sync_runs.run_id and in_doubt and {rows})"
                f" where sync = $sync and {run}",
                parameters,
            )

    def _take_over_refused(self, run: dict[str, object]) -> None:
        """Keep why rows were refused, and plan them no longer; what is settled and still planned was taken."""
        was_rejected = f"sync = $sync and key in (select key from cdi.sync_state where {_SETTLED})"
        count = "select count(*) from cdi.sync_failures where sync = $sync"
        if not self._number(count, {"sync": self.sync.name}):
            self.warehouse.execute(f"delete from cdi.sync_rejected where {was_rejected}", run)
            return
        self.warehouse.execute("drop table if exists cdi_sync_refused")
        self.warehouse.execute(
            "create temporary table cdi_sync_refused as select planned.key, planned.run_id, planned.number,"
            " planned.kind, planned.row_hash, planned.message_id, failed.reason, failed.in_doubt, failed.is_rejected"
            f" from (select * from cdi.sync_state where {_SETTLED}) as planned inner join cdi.sync_failures as failed"
            " on failed.sync = planned.sync and failed.number = planned.number",
            run,
        )
        self._doubt("select * from cdi_sync_refused where in_doubt")
        self.warehouse.execute(
            "update cdi.sync_runs set refused_again = refused_again + (select count(*) from cdi_sync_refused"
            " where is_rejected and key in (select key from cdi.sync_rejected where sync = $sync and is_rejected))"
            " where sync = $sync and run_id = $run_id",
            {"sync": run["sync"], "run_id": run["run_id"]},
        )
        self.warehouse.execute(f"delete from cdi.sync_rejected where {was_rejected}", run)
        self.warehouse.execute(
            "insert into cdi.sync_rejected"
            " (run_id, sync, key, operation, reason, count_rows, rejected_at, is_rejected)"
            " select refused.run_id, run.sync, refused.key,"
            " case when refused.kind = 'removed' then 'remove' else 'upsert' end,"
            " refused.reason, 1, run.settled_at, refused.is_rejected"
            " from cdi_sync_refused as refused inner join cdi.sync_runs as run on run.run_id = refused.run_id"
            " where run.sync = $sync",
            {"sync": run["sync"]},
        )
        self.warehouse.execute(
            f"delete from cdi.sync_state where {_SETTLED} and number in (select number from cdi_sync_refused)", run
        )
        self.warehouse.execute("delete from cdi.sync_failures where sync = $sync", {"sync": run["sync"]})
        self.warehouse.execute("drop table cdi_sync_refused")

    def _take_over_taken(self, run: dict[str, object], settled_at: datetime) -> None:
        """Put what the tool took in the place of what it held before, which is history."""
        counts = ", ".join(f"count(*) filter (where kind = '{kind}') as {kind}" for kind in _KINDS)
        added = ", ".join(f"delivered_{kind} = delivered_{kind} + taken.{kind}" for kind in _KINDS)
        self.warehouse.execute(
            f"update cdi.sync_runs set {added} from (select {counts} from cdi.sync_state where {_SETTLED}) as taken"
            " where sync = $sync and run_id = $run_id",
            run,
        )
        # What is simply new replaces nothing.
        replaced = (
            f"{_IS_HELD} and key in (select key from cdi.sync_state where {_SETTLED} and (kind <> 'added' or in_doubt))"
        )
        self.warehouse.execute(
            "insert into cdi.sync_changes (run_id, sync, key, operation, delivered_at)"
            " select run_id, sync, key, 'upsert', delivered_at from cdi.sync_state"
            f" where delivered_at is not null and {replaced}",
            run,
        )
        self.warehouse.execute(f"delete from cdi.sync_state where {replaced}", run)
        self.warehouse.execute(
            "insert into cdi.sync_changes (run_id, sync, key, operation, delivered_at)"
            " select run_id, sync, key, 'remove', cast($settled_at as timestamp) from cdi.sync_state"
            f" where {_SETTLED} and kind = 'removed'",
            {**run, "settled_at": settled_at},
        )
        self.warehouse.execute(f"delete from cdi.sync_state where {_SETTLED} and kind = 'removed'", run)
        self.warehouse.execute(
            f"update cdi.sync_state set number = null, delivered_at = cast($settled_at as timestamp) where {_SETTLED}",
            {**run, "settled_at": settled_at},
        )

    def forget_solved(self, scope: Scope) -> None:
        """Rows that were rejected once and that no longer need to be sent are no longer waiting."""
        if scope.is_everything:
            self.warehouse.execute(
                "delete from cdi.sync_rejected where sync = $sync and (key is null or not exists"
                " (select 1 from cdi.sync_state as planned where planned.sync = $sync and planned.number is not null"
                " and planned.key = sync_rejected.key))",
                {"sync": self.sync.name},
            )

    def start_run(self, plan: Plan, is_full: bool = False) -> None:
        """Write down that the run begins, and which rows it cannot send.

        `is_full` says that rows go although the tool should hold them: until it took them again nobody is sure of that.
        """
        columns = [f"{part}_{kind}" for part in ("planned", "delivered", "failed") for kind in _KINDS]
        with self.warehouse.transaction():
            self.warehouse.execute(
                "insert into cdi.sync_runs"
                f" (run_id, number, sync, started_at, status, {', '.join(columns)}, rejected, resent, refused_again)"
                f" select $run_id, {NEXT_RUN}, $sync, cast($now as timestamp), 'running',"
                " $added, $changed, $removed, 0, 0, 0, 0, 0, 0, $rejected, 0, 0",
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
                    f"update cdi.sync_state set row_hash = '' where {_IS_HELD}"
                    f" and key in (select key from cdi.sync_state where {_IS_PLANNED} and kind = 'changed')",
                    {"sync": self.sync.name},
                )
            self.warehouse.execute(
                "delete from cdi.sync_rejected where sync = $sync and (key is null or key in"
                f" (select {KEY} from cdi_sync_unsendable))",
                {"sync": self.sync.name},
            )
            self.warehouse.execute(
                "insert into cdi.sync_rejected (run_id, sync, key, operation, reason, count_rows, rejected_at)"
                f" select $run_id, $sync, {KEY}, 'upsert', case when {KEY} is null then 'the key is null'"
                f" when trim({KEY}) = '' then 'the key is empty' else 'several rows have this key' end, copies,"
                " cast($now as timestamp) from cdi_sync_unsendable",
                {**self.names, "now": now()},
            )

    def finish_run(self, otherwise: str, message: str, resent: int = 0) -> tuple[int, int]:
        """Move the state for what is left, and write down how the run ended.

        Returns how many rows were refused as before, and how many may have gone twice: `resent` are those of them that
        were sent again within the run.

        It succeeded if the tool took all rows but these, whose state did not change; if not, it is `otherwise`.
        """
        with self.warehouse.transaction():
            self.take_over()
            self._forget_plan()
            self.warehouse.execute(
                f"update cdi.sync_runs set {_FAILED}, finished_at = cast($now as timestamp), message = $message,"
                " resent = resent + $resent,"
                f" status = case when {_PLANNED} = {_DELIVERED} + refused_again then 'succeeded' else $otherwise end"
                " where run_id = $run_id and sync = $sync",
                {**self.names, "now": now(), "otherwise": otherwise, "message": message, "resent": resent},
            )
            return self.warehouse.query(
                "select refused_again, resent from cdi.sync_runs where run_id = $run_id and sync = $sync", self.names
            )[0]


def _message_id(kept: str, run_id: str, number: str) -> str:
    """SQL for the id under which a row of a plan leaves."""
    return f"coalesce({kept}, concat({run_id}, '-', {number}))"


NEXT_RUN = "(select 1 + count(*) from cdi.sync_runs where sync = $sync)"
"""SQL: the number of a sync's next run."""
_PLANNED, _DELIVERED = (f"({' + '.join(f'{part}_{kind}' for kind in _KINDS)})" for part in ("planned", "delivered"))
_FAILED = ", ".join(f"failed_{kind} = planned_{kind} - delivered_{kind}" for kind in _KINDS)


def has_run(warehouse: Warehouse, sync: str) -> bool:
    """Whether a sync was ever run."""
    return warehouse.relation_exists("cdi", "sync_runs") and bool(
        warehouse.query("select 1 from cdi.sync_runs where sync = $sync limit 1", {"sync": sync})
    )


def create_state_tables(warehouse: Warehouse) -> None:
    """Make the tables of schema cdi, and columns that an older version did not have, where they are missing."""
    warehouse.execute("create schema if not exists cdi")
    for name, columns in _TABLES.items():
        warehouse.execute(f"create table if not exists {quote('cdi', name)} ({columns})")
        there = warehouse.column_names("cdi", name)
        for column in columns.split(", "):
            if column.split()[0] not in there:
                warehouse.execute(f"alter table cdi.{name} add column {column}")
    if warehouse.dialect == "postgres":
        there = {name for (name,) in warehouse.query("select indexname from pg_indexes where schemaname = 'cdi'")}
        # To ask for one that is there would lock its table, and syncs that run would wait.
        for name, on in _INDEXES.items():
            if name not in there:
                warehouse.execute(f"create index if not exists {name} on cdi.{on}")
