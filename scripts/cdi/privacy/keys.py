"""Keyed hashes of identifiers: what is kept of somebody who is to be forgotten.

HMAC-SHA256, computed by a DuckDB in memory over Arrow: the key is a parameter there and reaches neither the warehouse
nor a log, a compiled model or a query plan.
"""

from __future__ import annotations

import os

import duckdb
import pyarrow as pa

from cdi.errors import UsageError

VARIABLE = "CDI_PRIVACY_KEY"
SHORTEST = 32
_BLOCK = 64
"""Bytes of a block of SHA-256 (RFC 2104)."""


class Hasher:
    """Hashes identifiers with the key in the environment; raises UsageError where there is none."""

    def __init__(self) -> None:
        key = os.environ.get(VARIABLE, "")
        if len(key) < SHORTEST:
            raise UsageError(
                f"The environment variable {VARIABLE} "
                + (f"holds less than {SHORTEST} characters." if key else "is not set."),
                "Suppressed people are known by hashes with this key alone. Set it to the key that was used before, or"
                " for the first time to what `openssl rand -hex 32` prints; keep it like a password.",
            )
        # A longer key would have to be hashed first: it is cut to the block by that rule.
        padded = _padded(key.encode())
        self.pads = {
            "inner": bytes(byte ^ 0x36 for byte in padded),
            "outer": bytes(byte ^ 0x5C for byte in padded),
        }
        self.engine = duckdb.connect(config={"threads": "1"})

    def hashes(self, identifiers: pa.Table) -> pa.Table:
        """The rows with a column `identifier_hash` beside their column `identifier`."""
        self.engine.register("identifiers", identifiers)
        return self.engine.sql(
            "select *, sha256($outer::blob || unhex(sha256($inner::blob || encode(identifier)))) as identifier_hash"
            " from identifiers",
            params=self.pads,
        ).to_arrow_table()

    def hash(self, identifier: str) -> str:
        """The hash of one identifier, type:value."""
        return self.hashes(pa.table({"identifier": [identifier]}))["identifier_hash"][0].as_py()


def _padded(key: bytes) -> bytes:
    if len(key) > _BLOCK:
        import hashlib

        key = hashlib.sha256(key).digest()
    return key.ljust(_BLOCK, b"\0")
