"""What several tests need: messages as they land, put straight into raw tables, and tables read back."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import orjson
import pyarrow as pa

from cdi.warehouse import Warehouse

START = datetime(2026, 11, 1, 12, 0, 0)
_numbers = itertools.count(1)


def message(type_: str = "track", at: datetime = START, **fields: Any) -> dict[str, Any]:
    """A message in Segment's format that happened and was received at `at` (UTC)."""
    stamp = at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {
        "type": type_,
        "messageId": f"m-{next(_numbers):08d}",
        "originalTimestamp": stamp,
        "sentAt": stamp,
        "receivedAt": stamp,
        **fields,
    }


def land_messages(warehouse: Warehouse, messages: Iterable[Mapping[str, Any]], load: int) -> None:
    """Put messages into raw.segment_messages as load number `load` (each a minute after the one before)."""
    lines = [orjson.dumps(record).decode() for record in messages]
    loaded_at = START + timedelta(days=1, minutes=load)
    table = pa.table(
        {
            "message": lines,
            "load_id": [f"load-{load:04d}"] * len(lines),
            "loaded_at": pa.array([loaded_at] * len(lines), pa.timestamp("us")),
            "source_file": ["test.ndjson"] * len(lines),
            "source_line": list(range(1, len(lines) + 1)),
        },
        schema=pa.schema(
            {
                "message": pa.string(),
                "load_id": pa.string(),
                "loaded_at": pa.timestamp("us"),
                "source_file": pa.string(),
                "source_line": pa.int64(),
            }
        ),
    )
    warehouse.append('"raw"."segment_messages"', table.to_reader())


def rows_of(warehouse: Warehouse, table: str, columns: str = "*") -> list[tuple[Any, ...]]:
    """All rows of a table in a stable order, JSON as text."""
    return sorted(warehouse.query(f"select {columns} from {table}"), key=repr)
