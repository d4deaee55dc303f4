"""Braze, as far as its user endpoints go."""

from __future__ import annotations

import math
import time
from typing import Any, ClassVar

from aiohttp import web

from cdi.simulator.base import Handler, Refused, SimulatedTool, json_body

KEY = "simulated0braze0key"
ARRAYS = ("attributes", "events", "purchases")


class Braze(SimulatedTool):
    """Users with their attributes, and every event that came in: what is sent twice is there twice."""

    name = "braze"
    environment: ClassVar[dict[str, str]] = {"CDI_BRAZE_URL": "{url}", "CDI_BRAZE_API_KEY": KEY}
    rates: ClassVar[dict[str, tuple[int, float]]] = {"track": (3_000, 3.0), "delete": (20_000, 60.0)}

    def __init__(self) -> None:
        super().__init__()
        self.users: dict[str, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self.data_points = 0

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [("POST", "/users/track", self.track), ("POST", "/users/delete", self.delete)]

    def state(self) -> dict[str, Any]:
        return {"users": len(self.users), "events": len(self.events), "data_points": self.data_points}

    def too_many(self) -> Refused:
        over = math.ceil(time.time() + self.rates["track"][1])
        headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(over)}
        return Refused(429, {"message": "Rate limit exceeded"}, headers)

    async def track(self, request: web.Request) -> web.Response:
        """Take attributes and events; those that are wrong are named by their index, the others are taken."""
        body = await self._body(request, 4_000_000)
        rows = {name: body.get(name, []) for name in ARRAYS}
        if not any(rows.values()):
            raise Refused(400, {"message": "'attributes', 'events' or 'purchases' must be given"})
        if sum(map(len, rows.values())) > 75:
            # Braze takes nothing and says so in the body.
            return web.json_response({"message": "Max input length exceeded"}, status=201)
        errors = [
            {"type": problem, "input_array": name, "index": index}
            for name, objects in rows.items()
            for index, item in enumerate(objects)
            if (problem := self._take(name, item))
        ]
        answer = {f"{name}_processed": len(objects) for name, objects in rows.items() if objects}
        return web.json_response({"message": "success", **answer, **({"errors": errors} if errors else {})}, status=201)

    async def delete(self, request: web.Request) -> web.Response:
        """Forget users, for good."""
        ids = (await self._body(request, 4_000_000)).get("external_ids", [])
        if not ids or len(ids) > 50:
            raise Refused(400, {"message": "'external_ids' must hold 1 to 50 ids"})
        deleted = sum(self.users.pop(each, None) is not None for each in ids)
        return web.json_response({"deleted": deleted, "message": "success"}, status=201)

    async def _body(self, request: web.Request, longest: int) -> dict[str, Any]:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            raise Refused(401, {"message": "Invalid API Key"})
        body = await request.read()
        if len(body) > longest:
            raise Refused(413, {"message": "Payload too large"})
        return json_body(request, body)

    def _take(self, array: str, item: dict[str, Any]) -> str:
        """Keep an object; why it cannot be kept, where it cannot."""
        external_id = item.get("external_id")
        if not external_id or not isinstance(external_id, str):
            return "'external_id', 'braze_id', 'user_alias', 'email' or 'phone' is required"
        if array == "events":
            if not item.get("name") or not item.get("time"):
                return "'name' and 'time' are required for events"
            self.events.append(item)
            return ""
        if "email" in item and item["email"] is not None and "@" not in str(item["email"]):
            return f"'{item['email']}' is not a valid email"
        if item.get("_update_existing_only") and external_id not in self.users:
            return ""
        user = self.users.setdefault(external_id, {})
        for name, value in item.items():
            if name in ("external_id", "_update_existing_only"):
                continue
            # Also a value that it has already.
            self.data_points += 1
            if value is None:
                user.pop(name, None)
            else:
                user[name] = value
        return ""
