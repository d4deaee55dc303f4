"""Rows as JSON, the same for every tool."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson


def to_json(value: Any, newline: bool = False) -> bytes:
    """JSON with timestamps in UTC (`2026-11-23T12:00:00Z`) and decimals as numbers with all of their digits."""
    option = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z
    return orjson.dumps(value, default=_plain, option=option | orjson.OPT_APPEND_NEWLINE if newline else option)


def _plain(value: Any) -> Any:
    return orjson.Fragment(str(value)) if isinstance(value, Decimal) else str(value)
