"""Optimizely Data Platform: profiles, events, and lists that people are subscribed to."""

from __future__ import annotations

from typing import Any, ClassVar

from aiohttp import web

from cdi.simulator.base import Handler, Refused, SimulatedTool, json_body

KEY = "simulated0private0key"
IDENTIFIERS = ("email", "vuid", "customer_id")


class Optimizely(SimulatedTool):
    """Profiles by their identifier, every event that came in, and lists of identifiers: subscribed or not."""

    name = "optimizely"
    environment: ClassVar[dict[str, str]] = {"CDI_OPTIMIZELY_URL": "{url}/v3", "CDI_OPTIMIZELY_API_KEY": KEY}
    rates: ClassVar[dict[str, tuple[int, float]]] = {"take_profiles": (10, 1.0), "subscribe": (10, 1.0)}

    def __init__(self) -> None:
        super().__init__()
        self.profiles: dict[str, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self.lists: dict[str, dict[str, bool]] = {"newsletter": {}}

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [
            ("POST", "/v3/profiles", self.take_profiles),
            ("POST", "/v3/events", self.take_events),
            ("POST", "/v3/lists/subscriptions", self.subscribe),
            ("POST", "/v3/compliance/gdpr/delete", self.forget),
        ]

    def state(self) -> dict[str, Any]:
        subscribed = {name: sum(members.values()) for name, members in self.lists.items()}
        return {"profiles": len(self.profiles), "events": len(self.events), "lists": subscribed}

    def too_many(self) -> Refused:
        return Refused(429, {"message": "Limit Exceeded"})

    async def take_profiles(self, request: web.Request) -> web.Response:
        """Take profiles: all, or none where one of them is wrong."""
        rows = await self._rows(request)
        wrong = []
        for row in rows:
            attributes = row.get("attributes", {})
            if not any(attributes.get(name) for name in IDENTIFIERS):
                wrong.append({"field": "attributes", "reason": "at least one identifier is required"})
            if "@" not in (attributes.get("email") or "@"):
                wrong.append({"field": "email", "reason": f"{attributes['email']} is not an email"})
        self._check(wrong)
        for row in rows:
            attributes = row["attributes"]
            who = next(attributes[name] for name in reversed(IDENTIFIERS) if attributes.get(name))
            profile = self.profiles.setdefault(who, {})
            for name, value in attributes.items():
                if value is None:
                    profile.pop(name, None)
                else:
                    profile[name] = value
        return _accepted()

    async def take_events(self, request: web.Request) -> web.Response:
        """Take events: all, or none where one of them is wrong."""
        rows = await self._rows(request)
        self._check(
            [
                {"event": index, "message": "type, identifiers and data are required"}
                for index, row in enumerate(rows)
                if not (row.get("type") and row.get("identifiers") and isinstance(row.get("data"), dict))
                or not set(row["identifiers"]) <= set(IDENTIFIERS)
            ]
        )
        self.events += rows
        return _accepted()

    async def subscribe(self, request: web.Request) -> web.Response:
        """Subscribe people to lists, or unsubscribe them."""
        rows = await self._rows(request)
        self._check(
            [{"field": "list_id", "reason": "not found"} for row in rows if row.get("list_id") not in self.lists]
            + [{"field": "email", "reason": "invalid"} for row in rows if "@" not in row.get("email", "")]
        )
        for row in rows:
            self.lists[row["list_id"]][row["email"]] = row["subscribed"]
        return _accepted()

    async def forget(self, request: web.Request) -> web.Response:
        """Delete people with all that is known of them."""
        gone = {value for row in await self._rows(request) for value in row.values()}
        for who in gone:
            self.profiles.pop(who, None)
            for members in self.lists.values():
                members.pop(who, None)
        self.events = [event for event in self.events if not gone & set(event["identifiers"].values())]
        return _accepted()

    async def _rows(self, request: web.Request) -> list[dict[str, Any]]:
        if request.headers.get("x-api-key") != KEY:
            raise Refused(403, {"message": "Forbidden"})
        rows = json_body(request, await request.read())
        rows = rows if isinstance(rows, list) else [rows]
        if not 0 < len(rows) <= 500:
            self._check([{"field": "", "reason": "1 to 500 objects"}])
        return rows

    def _check(self, wrong: list[dict[str, Any]]) -> None:
        if wrong:
            raise Refused(
                400,
                {"title": "Bad Request", "status": 400, "timestamp": "2026-11-25T12:00:00Z",
                 "detail": {"invalids": wrong}},
            )  # fmt: skip


def _accepted() -> web.Response:
    return web.json_response({"title": "Accepted", "status": 202, "timestamp": "2026-11-25T12:00:00Z"}, status=202)
