"""Mixpanel: what it takes in, and whom it is asked to forget."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, ClassVar

from aiohttp import BasicAuth, web

from cdi.simulator.base import Handler, Refused, SimulatedTool, json_body

TOKEN = "simulated0project0token"
DELETION_TOKEN = "simulated0deletion0token"
BANNED = {
    "00000000-0000-0000-0000-000000000000", "anon", "anonymous", "nil", "none", "null", "n/a", "na", "undefined",
    "unknown", "<nil>", "0", "-1", "true", "false", "[]", "{}",
}  # fmt: skip
OPERATIONS = ("$set", "$unset", "$delete")


class Mixpanel(SimulatedTool):
    """Profiles, groups, and events: one for all that have the same name, time, person and $insert_id."""

    name = "mixpanel"
    environment: ClassVar[dict[str, str]] = {
        "CDI_MIXPANEL_URL": "{url}",
        "CDI_MIXPANEL_APP_URL": "{url}",
        "CDI_MIXPANEL_TOKEN": TOKEN,
        "CDI_MIXPANEL_DELETION_TOKEN": DELETION_TOKEN,
    }
    rates: ClassVar[dict[str, tuple[int, float]]] = {"forget": (1, 1.0)}

    def __init__(self) -> None:
        super().__init__()
        self.profiles: dict[str, dict[str, Any]] = {}
        self.groups: dict[tuple[str, str], dict[str, Any]] = {}
        self.events: dict[tuple[Any, ...], dict[str, Any]] = {}

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [
            ("POST", "/import", self.take_events),
            ("POST", "/engage", self.engage),
            ("POST", "/groups", self.take_groups),
            ("POST", "/api/app/data-deletions/v3.0/", self.forget),
        ]

    def state(self) -> dict[str, Any]:
        return {"profiles": len(self.profiles), "groups": len(self.groups), "events": len(self.events)}

    def too_many(self) -> Refused:
        error = "Project exceeded rate limits. Please retry the request with exponential backoff."
        return Refused(429, {"code": 429, "error": error, "status": "Too Many Requests"})

    async def take_events(self, request: web.Request) -> web.Response:
        """Take events; those that are wrong are named in an answer 400, and the others are taken all the same."""
        try:
            user = BasicAuth.decode(request.headers.get("authorization", "")).login
        except ValueError:
            user = ""
        if user != TOKEN:
            raise Refused(401, {"code": 401, "error": "Invalid credentials", "status": "Unauthorized"})
        return await self._take(request, 10_000_000, self._take_event)

    async def engage(self, request: web.Request) -> web.Response:
        """Change profiles of people."""
        return await self._take(request, 10_000_000, self._take_update)

    async def take_groups(self, request: web.Request) -> web.Response:
        """Change profiles of groups."""
        return await self._take(request, 10_000_000, self._take_update)

    async def forget(self, request: web.Request) -> web.Response:
        """Delete people with all of their events: at once, where the real one takes days."""
        if request.headers.get("authorization") != f"Bearer {DELETION_TOKEN}" or request.query.get("token") != TOKEN:
            raise Refused(403, {"status": "error", "error": "Forbidden"})
        body = json_body(request, await request.read())
        ids = body.get("distinct_ids", [])
        if not 0 < len(ids) < 2000 or body.get("compliance_type") not in ("GDPR", "CCPA"):
            raise Refused(400, {"status": "error", "error": "distinct_ids must hold 1 to 1999 ids"})
        for each in ids:
            self.profiles.pop(each, None)
        self.events = {key: event for key, event in self.events.items() if event["distinct_id"] not in ids}
        return web.json_response({"status": "ok", "results": {"tracking_id": "1234567890"}})

    async def _take(
        self, request: web.Request, longest: int, take: Callable[[Any], tuple[str, str] | None]
    ) -> web.Response:
        body = await request.read()
        if len(body) > longest:
            error = f"request exceeds max limit of {longest} bytes"
            raise Refused(413, {"code": 413, "error": error, "status": "Request Entity Too Large"})
        rows = json_body(request, body)
        if not isinstance(rows, list) or not 0 < len(rows) <= 2000:
            raise Refused(413, {"code": 413, "error": "1 to 2000 records", "status": "Request Entity Too Large"})
        is_strict = request.query.get("strict") == "1"
        failed = [
            {"index": index, "$insert_id": "", "field": wrong[0], "message": f"'{wrong[0]}' is invalid: {wrong[1]}"}
            for index, row in enumerate(rows)
            if (wrong := take(row))
        ]
        if not is_strict:
            # What is wrong is dropped, and nobody told.
            return web.Response(text="1" if len(failed) < len(rows) else "0")
        counts = {"num_records_imported": len(rows) - len(failed)}
        if failed:
            error = "some data points in the request failed validation"
            answer = {"code": 400, "error": error, "failed_records": failed, "status": "Bad Request"}
            return web.json_response(answer | counts, status=400)
        return web.json_response({"code": 200, "status": "OK", **counts})

    def _take_event(self, event: Any) -> tuple[str, str] | None:
        """Keep an event; the field that keeps it from being kept, and why, where one does."""
        properties = event.get("properties") if isinstance(event, dict) else None
        if not isinstance(properties, dict) or not event.get("event"):
            return "event", "event and properties are required"
        moment = properties.get("time")
        if not isinstance(moment, int):
            return "properties.time", "must be specified as seconds since epoch"
        seconds = moment / 1000 if moment > 10_000_000_000 else moment
        if not 31_536_000 <= seconds <= time.time() + 3600:
            return "properties.time", "must be after 1971 and at most an hour ahead"
        person, insert_id = properties.get("distinct_id"), properties.get("$insert_id")
        if not isinstance(person, str) or person.lower() in BANNED:
            return "properties.distinct_id", "must be an id"
        if not isinstance(insert_id, str) or not re.fullmatch(r"[A-Za-z0-9-]{1,36}", insert_id):
            return "properties.$insert_id", "must be 1 to 36 alphanumeric characters or '-'"
        if insert_id.lower() in BANNED:
            return "properties.$insert_id", "must be an id"
        if len(properties) > 254:
            return "properties", "must be fewer than 255"
        self.events[event["event"], moment, person, insert_id] = {"event": event["event"], **_cut(properties)}
        return None

    def _take_update(self, update: Any) -> tuple[str, str] | None:
        operations = [name for name in OPERATIONS if isinstance(update, dict) and name in update]
        if len(operations) != 1:
            return "$set", "an update has one operation"
        if update.get("$token") != TOKEN:
            # A token of another project, or of none: taken, and nowhere to be seen.
            self.counts["lost"] += 1
            return None
        held: dict[Any, dict[str, Any]]
        if "$group_key" in update:
            held, whose = self.groups, (update["$group_key"], update.get("$group_id"))
            if not whose[1]:
                return "$group_id", "must be given"
        else:
            held, whose = self.profiles, update.get("$distinct_id")
            if not isinstance(whose, str) or not whose or whose.lower() in BANNED:
                return "$distinct_id", "must be an id"
        operation = operations[0]
        if operation == "$delete":
            held.pop(whose, None)
        elif operation == "$set":
            if any(isinstance(value, str) and "\0" in value for value in update["$set"].values()):
                return "$set", "string should be valid utf8"
            held.setdefault(whose, {}).update(_cut(update["$set"]))
        else:
            for name in update["$unset"]:
                held.get(whose, {}).pop(name, None)
        return None


def _cut(properties: dict[str, Any]) -> dict[str, Any]:
    return {name: value[:255] if isinstance(value, str) else value for name, value in properties.items()}
