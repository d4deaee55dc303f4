"""What the warehouse knows of syncs: what each tool holds, what each run did, and what was not sent and why.

All in schema cdi. sync_state has no values, only the key and a hash of the columns that were delivered.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa

from cdi.sync.declared import DeclaredSync
from cdi.warehouse import Warehouse, quote

log = logging.getLogger(__name__)

_TABLES = {
    "sync_state": "sync text, key text, row_hash text, delivered_at timestamp, run_id text",
    "sync_runs": "run_id text, sync text, started_at timestamp, finished_at timestamp, status text,"
    " planned_added bigint, planned_changed bigint, planned_removed bigint,"
    " delivered bigint, failed bigint, rejected bigint, message text",
    "sync_rejected": "run_id text, sync text, key text, reason text, count_rows bigint, rejected_at timestamp",
}

KEY, HASH, KIND, NUMBER = "cdi_key", "cdi_hash", "cdi_kind", "cdi_number"


@dataclass(frozen=True)
class Plan:
    """What a run has to deliver, numbered from 1: first removals, then additions and changes."""

    columns: list[str]
    added: int
    changed: int
    removed: int
    rejected: int

    @property
    def total(self) -> int:
        """Rows to deliver."""
        return self.added + self.changed + self.removed


class State:
    """The state of one sync in one run."""

    def __init__(self, warehouse: Warehouse, sync: DeclaredSync, run_id: str) -> None:
        self.warehouse = warehouse
        self.sync = sync
        self.run_id = run_id
        self.names = {"sync": sync.name, "run_id": run_id}

    def plan(self) -> Plan:
        """Compare the model with what the tool holds, in the warehouse; rows with no key or a double one are left out.

        Raises UsageError where the model or its key column does not exist.
        """
        columns = self.warehouse.column_names(self.sync.schema, self.sync.table)
        if not columns:
            raise self.sync.error(
                f"{self.sync.schema}.{self.sync.table} does not exist in the warehouse.",
                "Build it first: dbt build.",
            )
        if self.sync.key not in columns:
            raise self.sync.error(
                f"key '{self.sync.key}' is no column of the model.", f"Its columns: {', '.join(columns)}."
            )
        listed = ", ".join(quote(name) for name in columns)
        # In the order of the names, each with its length: neither the order of columns nor what stands in them can
        # make two different rows look the same, and null is not the empty text.
        hashed = " || ".join(
            f"'{name.replace(chr(39), chr(39) * 2)}=' || coalesce(cast(length(cast({quote(name)} as text)) as text)"
            f" || ':' || cast({quote(name)} as text), 'null') || ';'"
            for name in sorted(columns)
        )
        self.warehouse.execute("drop table if exists cdi_sync_rows")
        self.warehouse.execute("drop table if exists cdi_sync_plan")
        self.warehouse.execute(
            f"create temporary table cdi_sync_rows as select cast({quote(self.sync.key)} as text) as {KEY},"
            f" md5({hashed}) as {HASH}, count(*) over (partition by {quote(self.sync.key)}) as cdi_copies, {listed}"
            f" from {quote(self.sync.schema, self.sync.table)}"
        )
        self.warehouse.execute(
            f"""
            create temporary table cdi_sync_plan as
            select row_number() over (order by {KIND} desc, {KEY}) as {NUMBER}, *
            from (
                select case when state.key is null then 'added' else 'changed' end as {KIND}, rows.{KEY}, rows.{HASH},
                    {", ".join(f"rows.{quote(name)}" for name in columns)}
                from cdi_sync_rows as rows
                left join cdi.sync_state as state on state.sync = $sync and state.key = rows.{KEY}
                where rows.{KEY} is not null and rows.cdi_copies = 1
                    and (state.key is null or state.row_hash <> rows.{HASH})
                union all
                select 'removed', state.key, cast(null as text), {self._nulls(columns)}
                from cdi.sync_state as state
                where state.sync = $sync
                    and not exists (select 1 from cdi_sync_rows as rows where rows.{KEY} = state.key)
            ) as changes
            """,
            {"sync": self.sync.name},
        )
        counts = dict(self.warehouse.query(f"select {KIND}, count(*) from cdi_sync_plan group by 1"))
        rejected = self.warehouse.query(f"select count(*) from cdi_sync_rows where {KEY} is null or cdi_copies > 1")[0][
            0
        ]
        return Plan(columns, counts.get("added", 0), counts.get("changed", 0), counts.get("removed", 0), rejected)

    def _nulls(self, columns: list[str]) -> str:
        """Nulls of the columns' types, the key aside, which is cast back from text."""
        types = dict(
            self.warehouse.query(
                "select column_name, data_type from information_schema.columns"
                " where table_schema = $schema and table_name = $table",
                {"schema": self.sync.schema, "table": self.sync.table},
            )
        )
        return ", ".join(
            f"cast(state.key as {types[name]})" if name == self.sync.key else f"cast(null as {types[name]})"
            for name in columns
        )

    def sequence(self) -> int:
        """1 more than the runs of this sync that delivered something."""
        return (
            1
            + self.warehouse.query(
                "select count(*) from cdi.sync_runs where sync = $sync and delivered > 0",
                {"sync": self.sync.name},
            )[0][0]
        )

    def page(self, plan: Plan, after: int, count: int) -> tuple[pa.Table, str, int]:
        """The next rows after a number, all removals or all not: (rows, operation, number of the last)."""
        kinds = self.warehouse.query(
            f"select min({NUMBER}), max({NUMBER}) from cdi_sync_plan where {NUMBER} > $after and {NUMBER} <= $upto"
            f" and ({KIND} = 'removed') = (select {KIND} = 'removed' from cdi_sync_plan where {NUMBER} = $after + 1)",
            {"after": after, "upto": after + count},
        )
        last = kinds[0][1]
        operation = self.warehouse.query(
            f"select case when {KIND} = 'removed' then 'remove' else 'upsert' end from cdi_sync_plan"
            f" where {NUMBER} = $number",
            {"number": last},
        )[0][0]
        listed = ", ".join(quote(name) for name in plan.columns)
        batches = list(
            self.warehouse.fetch(
                f"select {listed}, {KEY}, {HASH} from cdi_sync_plan where {NUMBER} > $after and {NUMBER} <= $last"
                f" order by {NUMBER}",
                {"after": after, "last": last},
            )
        )
        return pa.Table.from_batches(batches), operation, last

    def delivered(self, first: int, last: int) -> None:
        """The tool holds the rows of the plan from one number to another: moves the state with them."""
        part = {"sync": self.sync.name, "first": first, "last": last}
        with self.warehouse.transaction():
            self.warehouse.execute(
                f"delete from cdi.sync_state where sync = $sync and key in (select {KEY} from cdi_sync_plan"
                f" where {NUMBER} between $first and $last)",
                part,
            )
            self.warehouse.execute(
                f"insert into cdi.sync_state (sync, key, row_hash, delivered_at, run_id)"
                f" select $sync, {KEY}, {HASH}, cast($now as timestamp), $run_id from cdi_sync_plan"
                f" where {NUMBER} between $first and $last and {KIND} <> 'removed'",
                {**part, "now": _now(), "run_id": self.run_id},
            )

    def start_run(self, plan: Plan) -> None:
        """Write down that the run begins, and which rows it cannot send."""
        with self.warehouse.transaction():
            self.warehouse.execute(
                "insert into cdi.sync_runs (run_id, sync, started_at, status, planned_added, planned_changed,"
                " planned_removed, delivered, failed, rejected) values ($run_id, $sync, $now, 'running', $added,"
                " $changed, $removed, 0, 0, $rejected)",
                {
                    **self.names,
                    "now": _now(),
                    "added": plan.added,
                    "changed": plan.changed,
                    "removed": plan.removed,
                    "rejected": plan.rejected,
                },
            )
            if plan.rejected:
                self.warehouse.execute(
                    "insert into cdi.sync_rejected (run_id, sync, key, reason, count_rows, rejected_at)"
                    f" select $run_id, $sync, {KEY}, case when {KEY} is null then 'the key is null' else"
                    " 'several rows have this key' end, count(*), cast($now as timestamp) from cdi_sync_rows"
                    f" where {KEY} is null or cdi_copies > 1 group by {KEY}",
                    {**self.names, "now": _now()},
                )

    def progress(self, delivered: int, failed: int) -> None:
        """Write down how far the run is."""
        self.warehouse.execute(
            "update cdi.sync_runs set delivered = $delivered, failed = $failed where run_id = $run_id and sync = $sync",
            {**self.names, "delivered": delivered, "failed": failed},
        )

    def finish_run(self, status: str, message: str) -> None:
        """Write down how the run ended."""
        self.warehouse.execute(
            "update cdi.sync_runs set finished_at = $now, status = $status, message = $message"
            " where run_id = $run_id and sync = $sync",
            {**self.names, "now": _now(), "status": status, "message": message},
        )


def create_state_tables(warehouse: Warehouse) -> None:
    """Make the tables of schema cdi where they are missing."""
    with warehouse.transaction():
        warehouse.execute("create schema if not exists cdi")
        for name, columns in _TABLES.items():
            warehouse.execute(f"create table if not exists {quote('cdi', name)} ({columns})")


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
