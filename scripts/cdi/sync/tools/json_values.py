"""Rows as JSON, the same for every tool."""

from __future__ import annotations

from collections.abc import Set
from decimal import Decimal
from functools import cache
from typing import Any

import duckdb
import orjson
import pyarrow as pa

from cdi.warehouse import quote


def to_json(value: Any, newline: bool = False) -> bytes:
    """JSON with timestamps in UTC (`2026-11-23T12:00:00Z`) and decimals as numbers with all of their digits."""
    option = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z
    return orjson.dumps(value, default=_plain, option=option | orjson.OPT_APPEND_NEWLINE if newline else option)


def _plain(value: Any) -> Any:
    return orjson.Fragment(str(value)) if isinstance(value, Decimal) else str(value)


def rows_to_json(rows: pa.RecordBatch, json_fields: Set[str] = frozenset()) -> pa.StringArray:
    """Each row as a JSON object, as `to_json` writes it, and a comma; text of `json_fields` is JSON already.

    DuckDB writes a whole column at once: many times quicker than row by row in Python.
    """
    fields = ", ".join(
        f"{quote(field.name)} := {_field_to_json(quote(field.name), field.type, field.name in json_fields)}"
        for field in rows.schema
    )
    with _engine().cursor() as connection:
        connection.register("rows", rows)
        result = connection.sql(f"select cast(to_json(struct_pack({fields})) as text) || ',' as body from rows")
        return result.to_arrow_table().column("body").combine_chunks()


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": 1})


def _field_to_json(column: str, kind: pa.DataType, is_json: bool) -> str:
    if is_json:
        return f"cast({column} as json)"
    if pa.types.is_floating(kind):
        return f"case when isfinite({column}) then {column} end"
    if pa.types.is_timestamp(kind):
        fraction = f"case when microsecond({column}) % 1000000 = 0 then '' else strftime({column}, '.%f') end"
        return f"strftime({column}, '%Y-%m-%dT%H:%M:%S') || {fraction} || 'Z'"
    return column
