"""A receiver of webhooks."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any, ClassVar

from aiohttp import web

from cdi.simulator.base import Handler, SimulatedTool

SECRET = "simulated0webhook0secret"


class WebhookReceiver(SimulatedTool):
    """Keeps the rows of every sync by their key; a repeated Idempotency-Key changes nothing."""

    name = "webhook"
    environment: ClassVar[dict[str, str]] = {"CDI_WEBHOOK_URL": "{url}", "CDI_WEBHOOK_SECRET": SECRET}

    def __init__(self, secret: str | None = SECRET) -> None:
        super().__init__()
        self.secret = secret
        self.refuses = ""
        """What must not stand in a request: the whole of it is refused."""
        self.url = ""
        """Its address, where somebody wrote it down."""
        self.held: dict[str, dict[Any, dict[str, Any]]] = {}
        self.seen_keys: set[str] = set()

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [("POST", "", self.post)]

    def state(self) -> dict[str, Any]:
        return {"held": {sync: len(rows) for sync, rows in sorted(self.held.items())}}

    async def post(self, request: web.Request) -> web.Response:
        """Take a batch."""
        body = await request.read()
        if self.secret is not None:
            expected = "sha256=" + hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
            if not hmac.compare_digest(expected, request.headers.get("x-cdi-signature", "")):
                return web.json_response({}, status=401)
        if self.refuses and self.refuses.encode() in body:
            return web.json_response({"error": f"{self.refuses} is no address"}, status=422)
        try:
            message = json.loads(body)
            sync, operation, rows = message["sync"], message["operation"], message["rows"]
            keyed = {row[message["key"]]: row for row in rows}
        except (ValueError, KeyError, TypeError):
            return web.json_response({}, status=400)
        self.counts["rows"] += len(rows)
        idempotency_key = request.headers.get("idempotency-key", "")
        if idempotency_key in self.seen_keys:
            self.counts["repeated_requests"] += 1
            return web.json_response({})
        if idempotency_key:
            self.seen_keys.add(idempotency_key)
        held = self.held.setdefault(sync, {})
        if operation in ("remove", "delete"):
            for key in keyed:
                held.pop(key, None)
        else:
            held.update(keyed)
        return web.json_response({})
