"""DuckDB for Great Expectations, which knows no dialect of it: PostgreSQL's, over a connection that is already open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
import duckdb_engine
from sqlalchemy.dialects import registry
from sqlalchemy.pool import StaticPool

URL = "cdi_duckdb:///"

_open: list[duckdb.DuckDBPyConnection] = []


class DuckDBAsPostgres(duckdb_engine.Dialect):
    """Calls itself PostgreSQL and starts no transactions: GX gives connections back before it reads their results."""

    name = "postgresql"

    def connect(self, *_: Any, **__: Any) -> Any:
        """A cursor of the connection that is open: a DuckDB file has one writing process and one set of settings."""
        return duckdb_engine.ConnectionWrapper(_open[-1].cursor())

    @classmethod
    def get_pool_class(cls, url: Any) -> Any:
        """One cursor, closed when the engine is disposed of: results are read after the connection was given back."""
        return StaticPool

    def do_begin(self, dbapi_connection: Any) -> None:
        """Nothing to begin."""

    def do_commit(self, dbapi_connection: Any) -> None:
        """Nothing to commit."""

    def do_rollback(self, dbapi_connection: Any) -> None:
        """Nothing to roll back."""


registry.register("cdi_duckdb", __name__, "DuckDBAsPostgres")


@contextmanager
def using(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Let what is opened at URL inside be this connection."""
    _open.append(connection)
    try:
        yield
    finally:
        _open.pop()
