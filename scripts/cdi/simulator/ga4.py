"""Google Analytics 4: it says yes to everything, and keeps what it likes."""

from __future__ import annotations

import re
import time
from typing import Any, ClassVar

from aiohttp import web

from cdi.simulator.base import Handler, Refused, SimulatedTool, json_body

MEASUREMENT_ID = "G-SIMULATED"
PROPERTY = "123456"
SECRET = "simulated0api0secret"
ACCESS_TOKEN = "simulated0access0token"


class Ga4(SimulatedTool):
    """User properties by client_id and events; what is sent twice is there twice, what is wrong is not there at all."""

    name = "ga4"
    environment: ClassVar[dict[str, str]] = {
        "CDI_GA4_URL": "{url}",
        "CDI_GA4_ADMIN_URL": "{url}/admin",
        "CDI_GA4_API_SECRET": SECRET,
        "CDI_GA4_ACCESS_TOKEN": ACCESS_TOKEN,
    }

    def __init__(self) -> None:
        super().__init__()
        self.users: dict[str, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self.forbidden_event = "forbidden"
        """An event that only the validation says something about."""

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [
            ("POST", "/mp/collect", self.collect),
            ("POST", "/debug/mp/collect", self.debug),
            ("POST", f"/admin/v1alpha/properties/{PROPERTY}:submitUserDeletion", self.forget),
        ]

    def state(self) -> dict[str, Any]:
        return {"users": len(self.users), "events": len(self.events)}

    async def collect(self, request: web.Request) -> web.Response:
        """Take events of one person; the answer is the same whatever it gets."""
        body = await request.read()
        stream = (request.query.get("measurement_id"), request.query.get("api_secret"))
        try:
            message = json_body(request, body)
        except Refused:
            message = {}
        events = message.get("events", [])
        if stream != (MEASUREMENT_ID, SECRET) or len(body) > 130_000 or not 0 < len(events) <= 25:
            self.counts["lost"] += len(events)
            return web.Response(status=204)
        client = message.get("client_id")
        if not client:
            self.counts["lost"] += len(events)
            return web.Response(status=204)
        for event in events:
            moment = event.get("timestamp_micros", message.get("timestamp_micros", time.time() * 1e6)) / 1e6
            if _is_wrong(event) or not time.time() - 72 * 3600 <= moment <= time.time() + 5:
                self.counts["lost"] += 1
            else:
                whose = {name: message[name] for name in ("client_id", "user_id", "consent") if name in message}
                self.events.append(event | whose)
        user = self.users.setdefault(client, {})
        for name, entry in message.get("user_properties", {}).items():
            value = entry.get("value")
            if value is None:
                user.pop(name, None)
            elif _is_name(name, 24) and not isinstance(value, dict | list | bool) and len(str(value)) <= 36:
                user[name] = value
            else:
                self.counts["lost"] += 1
        return web.Response(status=204)

    async def debug(self, request: web.Request) -> web.Response:
        """Say what is wrong with a request, as far as it is looked at; nothing is kept."""
        message = json_body(request, await request.read())
        wrong = [event["name"] for event in message.get("events", []) if event["name"] == self.forbidden_event]
        messages = [
            {"fieldPath": "events", "description": f"Event at index has name [{name}], which is reserved.",
             "validationCode": "NAME_RESERVED"}
            for name in wrong
        ]  # fmt: skip
        return web.json_response({"validationMessages": messages})

    async def forget(self, request: web.Request) -> web.Response:
        """Delete a user: at once, where the real one takes days."""
        if request.headers.get("authorization") != f"Bearer {ACCESS_TOKEN}":
            error = {"code": 401, "message": "Request had invalid authentication credentials."}
            raise Refused(401, {"error": {**error, "status": "UNAUTHENTICATED"}})
        client = json_body(request, await request.read()).get("clientId")
        self.users.pop(client, None)
        self.events = [event for event in self.events if event["client_id"] != client]
        return web.json_response({"deletionRequestTime": "2026-11-25T12:00:00Z"})


def _is_name(name: str, longest: int) -> bool:
    return bool(re.fullmatch(r"[A-Za-z]\w*", name)) and len(name) <= longest and not name.startswith(("ga_", "google_"))


def _is_wrong(event: dict[str, Any]) -> bool:
    params = event.get("params", {})
    return (
        not _is_name(event.get("name", ""), 40)
        or len(params) > 25
        or not all(
            _is_name(name, 40)
            and (
                isinstance(value, int | float)
                or (isinstance(value, str) and len(value) <= (1000 if name == "page_location" else 100))
                or (name == "items" and isinstance(value, list))
            )
            for name, value in params.items()
        )
    )
