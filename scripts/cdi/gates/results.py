"""What gates found, and the table that keeps it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pyarrow as pa

from cdi.warehouse import Warehouse

TABLE = "cdi.validation_results"
KEEP_PASSED_DAYS = 30
"""A job that runs every few minutes writes tens of thousands of rows a day that say that nothing is wrong."""

_COLUMNS = {
    "run_id": "text", "validated_at": "timestamp", "gate": "text", "table_name": "text", "column_name": "text",
    "expectation": "text", "description": "text", "severity": "text", "owner": "text", "success": "boolean",
    "observed_value": "text", "unexpected_count": "bigint", "examples": "text",
}  # fmt: skip
_ARROW = {"text": pa.string(), "timestamp": pa.timestamp("us"), "boolean": pa.bool_(), "bigint": pa.int64()}


@dataclass(frozen=True)
class Outcome:
    """What became of one expectation on one table."""

    gate: str
    table: str
    column: str
    expectation: str
    description: str
    severity: str
    owner: str
    success: bool
    observed: str
    unexpected_count: int | None = None
    examples: tuple[dict[str, str], ...] = ()

    @property
    def stops(self) -> bool:
        """Whether later floors and syncs must not run."""
        return not self.success and self.severity == "stop"

    @property
    def place(self) -> str:
        """The table, and the column where it is about one."""
        return f"{self.table}.{self.column}" if self.column and ", " not in self.column else self.table

    @property
    def example_text(self) -> str:
        """Some rows that break it, by their keys."""
        return "; ".join(" ".join(f"{name}={value}" for name, value in row.items()) for row in self.examples)

    def __str__(self) -> str:
        text = f"{self.place}: {self.description}. Seen: {self.observed}"
        if self.examples:
            text += f", for example {self.example_text}"
        return text + (f". Owner: {self.owner}." if self.owner else ".")


@dataclass(frozen=True)
class GateResult:
    """What became of one gate."""

    gate: str
    outcomes: list[Outcome] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def stopped_by(self) -> list[Outcome]:
        """The failed expectations that stop."""
        return [outcome for outcome in self.outcomes if outcome.stops]

    @property
    def warnings(self) -> list[Outcome]:
        """The failed expectations that only warn."""
        return [outcome for outcome in self.outcomes if not outcome.success and not outcome.stops]


def ensure_table(warehouse: Warehouse) -> None:
    """Make the table where it is missing."""
    warehouse.execute("create schema if not exists cdi")
    columns = ", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())
    warehouse.execute(f"create table if not exists {TABLE} ({columns})")


def last_passed_at(warehouse: Warehouse, gate: str) -> datetime | None:
    """When a gate was last passed: at that time nothing that stops had failed."""
    rows = warehouse.query(
        f"select max(validated_at) from (select validated_at from {TABLE} where gate = $gate"
        " group by run_id, validated_at"
        " having sum(case when severity = 'stop' and not success then 1 else 0 end) = 0) as passed",
        {"gate": gate},
    )
    return rows[0][0]


def failed_gates(warehouse: Warehouse) -> list[str]:
    """The gates that something stopped when they were last checked."""
    if not warehouse.relation_exists(*TABLE.split(".")):
        return []
    rows = warehouse.query(
        f"select distinct gate from {TABLE} as result where severity = 'stop' and not success and validated_at ="
        f" (select max(validated_at) from {TABLE} as other where other.gate = result.gate) order by gate"
    )
    return [row[0] for row in rows]


def remember(warehouse: Warehouse, run_id: str, validated_at: datetime, results: Iterable[GateResult]) -> None:
    """Keep what was found, and forget what was fine long ago."""
    rows = [
        {
            "run_id": run_id, "validated_at": validated_at, "gate": outcome.gate, "table_name": outcome.table,
            "column_name": outcome.column or None, "expectation": outcome.expectation,
            "description": outcome.description, "severity": outcome.severity, "owner": outcome.owner or None,
            "success": outcome.success, "observed_value": outcome.observed,
            "unexpected_count": outcome.unexpected_count,
            "examples": json.dumps(outcome.examples) if outcome.examples else None,
        }
        for result in results
        for outcome in result.outcomes
    ]  # fmt: skip
    if not rows:
        return
    schema = pa.schema({name: _ARROW[kind] for name, kind in _COLUMNS.items()})
    with warehouse.transaction():
        warehouse.execute(
            f"delete from {TABLE} where success and validated_at < $before",
            {"before": validated_at - timedelta(days=KEEP_PASSED_DAYS)},
        )
        warehouse.append(TABLE, pa.Table.from_pylist(rows, schema=schema).to_reader())
