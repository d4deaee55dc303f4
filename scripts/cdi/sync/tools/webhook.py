"""A webhook: signed JSON batches to any HTTP address.

Each batch is one POST of {sync, run_id, operation, key, rows}; `key` names the field that identifies a row. The
operation is upsert, remove (no longer in the model) or delete (to be forgotten, by law). Idempotency-Key is the same
when the same rows are sent again because their fate is not known; X-CDI-Signature is `sha256=` and the HMAC of the
body. Two requests go at a time, unless `connections` says otherwise. Only 2xx means taken; an answer
{"rejected": [{"index": 0, "reason": "..."}]} takes all rows but those.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Any, ClassVar

import httpx

from cdi.sync.tools.base import Batch, Delivery, Option, Outcome
from cdi.sync.tools.http import Endpoint, HttpTool, Item, Request, WrittenItems, joined, message_ids
from cdi.sync.tools.json_values import rows_to_json, to_json


class Webhook(HttpTool):
    """Posts batches to the address in the environment variable `url_env`."""

    options: ClassVar[dict[str, Option]] = {
        "secret_env": Option(),
        "batch_size": Option(int, default=500),
        "connections": Option(int, default=2),
    }
    modes = ("mirror", "upsert", "create", "audience", "append")
    can_delete = True

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        super().__init__(options, delivery)
        self.secret = self.environment("secret_env") if self.given["secret_env"] else ""

    def endpoint(self, operation: str) -> Endpoint:
        return Endpoint("webhook", self.given["batch_size"], 5_000_000, connections=self.given["connections"])

    def item(self, operation: str, row: dict[str, Any], message_id: str) -> Any:
        return row

    def items(self, batch: Batch, outcome: Outcome) -> Sequence[Item]:
        rows = batch.rows
        if batch.operation != "upsert":
            rows = rows.select([self.delivery.key])
        elif any(rows.column(name).null_count for name in self.delivery.skips_null):
            # Fields differ from row to row.
            return super().items(batch, outcome)
        return WrittenItems(rows_to_json(rows, self.delivery.json_fields), batch.message_ids)

    def request(self, operation: str, items: Sequence[Item]) -> Request:
        head = to_json(
            {
                "sync": self.delivery.sync,
                "run_id": self.delivery.run_id,
                "operation": operation,
                "key": self.delivery.key,
            }
        )
        body = head[:-1] + b',"rows":' + joined(items) + b"}"
        ids = "\n".join(message_ids(items))
        headers = {"idempotency-key": hashlib.sha256(f"{operation}\n{ids}".encode()).hexdigest()}
        if self.secret:
            digest = hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
            headers["x-cdi-signature"] = f"sha256={digest}"
        return Request("", body, headers=headers)

    def read(self, operation: str, items: Sequence[Item], response: httpx.Response) -> dict[int, str]:
        try:
            rejected = response.json()["rejected"]
            return {int(row["index"]): str(row["reason"]) for row in rejected if int(row["index"]) < len(items)}
        except (ValueError, KeyError, TypeError):
            return {}
