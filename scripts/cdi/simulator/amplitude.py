"""Amplitude: users, events, cohorts, and whom it is asked to forget."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from aiohttp import BasicAuth, web

from cdi.simulator.base import Handler, Refused, SimulatedTool, json_body

KEY = "simulated0api0key"
SECRET = "simulated0secret0key"


class Amplitude(SimulatedTool):
    """Users with their properties, events by device and insert_id, and cohorts of users that it knows."""

    name = "amplitude"
    environment: ClassVar[dict[str, str]] = {
        "CDI_AMPLITUDE_URL": "{url}",
        "CDI_AMPLITUDE_APP_URL": "{url}",
        "CDI_AMPLITUDE_API_KEY": KEY,
        "CDI_AMPLITUDE_SECRET_KEY": SECRET,
    }
    rates: ClassVar[dict[str, tuple[int, float]]] = {"forget": (1, 1.0), "batch": (100, 1.0)}

    def __init__(self) -> None:
        super().__init__()
        self.users: dict[str, dict[str, Any]] = {}
        self.events: dict[tuple[str, str], dict[str, Any]] = {}
        self.cohorts: dict[str, set[str]] = {"c0h0rt1": set()}
        self.silenced: set[str] = set()
        """Devices whose events it does not want."""
        self._busy: set[str] = set()

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [
            ("POST", "/identify", self.identify),
            ("POST", "/batch", self.batch),
            ("POST", "/api/3/cohorts/membership", self.membership),
            ("POST", "/api/2/deletions/users", self.forget),
        ]

    def state(self) -> dict[str, Any]:
        cohorts = {name: len(members) for name, members in self.cohorts.items()}
        return {"users": len(self.users), "events": len(self.events), "cohorts": cohorts}

    def too_many(self) -> Refused:
        return Refused(429, {"code": 429, "error": "Too many requests for some devices and users", "eps_threshold": 30})

    async def identify(self, request: web.Request) -> web.Response:
        """Change properties of users: a form, whose answers are plain text."""
        body = await request.read()
        form = await request.post()
        if len(body) > 1_000_000:
            raise Refused(413, {"code": 413, "error": "Payload too large"})
        if form.get("api_key") != KEY:
            return web.Response(text="invalid api_key", status=400)
        rows = json_body(request, str(form.get("identification", "")).encode())
        rows = rows if isinstance(rows, list) else [rows]
        for row in rows:
            operations = row.get("user_properties", {})
            is_mixed = {name.startswith("$") for name in operations} == {True, False}
            if not (row.get("user_id") or row.get("device_id")) or is_mixed:
                return web.Response(text="missing_event", status=400)
        for row in rows:
            who = str(row.get("user_id") or row["device_id"])
            if len(who) < 5:
                # Dropped, and nobody told.
                self.counts["lost"] += 1
                continue
            user = self.users.setdefault(who, {})
            user.update(row["user_properties"].get("$set", {}))
            for name in row["user_properties"].get("$unset", {}):
                user.pop(name, None)
        return web.Response(text="success")

    async def batch(self, request: web.Request) -> web.Response:
        """Take events: all, or none where one of them is wrong."""
        body = await request.read()
        message = json_body(request, body)
        events = message.get("events", [])
        if message.get("api_key") != KEY:
            raise Refused(400, {"code": 400, "error": "Invalid API key: ***", "missing_field": None})
        if len(body) > 20_000_000 or len(events) > 2000:
            raise Refused(413, {"code": 413, "error": "Payload too large"})
        shortest = (message.get("options") or {}).get("min_id_length", 5)
        invalid: dict[str, list[int]] = {}
        missing: dict[str, list[int]] = {}
        lengths: dict[str, list[int]] = {}
        silenced = []
        for index, event in enumerate(events):
            if not event.get("event_type"):
                missing.setdefault("event_type", []).append(index)
            if not isinstance(event.get("time"), int):
                invalid.setdefault("time", []).append(index)
            # A type that Amplitude keeps for itself.
            if str(event.get("event_type")).startswith("["):
                invalid.setdefault("event_type", []).append(index)
            for name in ("user_id", "device_id"):
                if len(event.get(name, "x" * shortest)) < shortest:
                    lengths.setdefault(name, []).append(index)
            if not (event.get("user_id") or event.get("device_id")):
                missing.setdefault("user_id", []).append(index)
            if event.get("device_id") in self.silenced:
                silenced.append(index)
        if invalid or missing or lengths or silenced or not events:
            raise Refused(
                400,
                {
                    "code": 400,
                    "error": "Request missing required field" if missing else "Invalid field values on some events",
                    "missing_field": None if events else "events",
                    "events_with_invalid_fields": invalid,
                    "events_with_missing_fields": missing,
                    "events_with_invalid_id_lengths": lengths,
                    "silenced_events": silenced,
                },
            )
        for event in events:
            self.events.setdefault((event.get("device_id", ""), event["insert_id"]), event)
            self.users.setdefault(str(event.get("user_id") or event["device_id"]), {})
        return web.json_response({"code": 200, "events_ingested": len(events), "payload_size_bytes": len(body)})

    async def membership(self, request: web.Request) -> web.Response:
        """Change who is in a cohort; one request at a time."""
        self._check_secret(request)
        message = json_body(request, await request.read())
        name = message.get("cohort_id")
        if name not in self.cohorts:
            raise Refused(404, {"error": {"http_code": 404, "type": "not_found", "message": "Cohort not found"}})
        if name in self._busy:
            raise Refused(429, {"error": "concurrent access to the cohort"})
        self._busy.add(name)
        try:
            await asyncio.sleep(0.002)
            results = [self._change(name, change) for change in message["memberships"]]
        finally:
            self._busy.discard(name)
        return web.json_response({"cohort_id": name, "memberships_result": results})

    def _change(self, name: str, change: dict[str, Any]) -> dict[str, Any]:
        ids = change["ids"]
        if not 0 < len(ids) <= 100_000 or change["id_type"] != "BY_NAME":
            raise Refused(400, {"error": "ids must hold 1 to 100000 ids"})
        known = {each for each in ids if each in self.users}
        if change["operation"] == "ADD":
            self.cohorts[name] |= known
        else:
            self.cohorts[name] -= known
        return {"skipped_ids": [each for each in ids if each not in known], "operation": change["operation"]}

    async def forget(self, request: web.Request) -> web.Response:
        """Delete users with all of their events: at once, where the real one takes two weeks."""
        self._check_secret(request)
        message = json_body(request, await request.read())
        ids = message.get("user_ids", [])
        unknown = [each for each in ids if each not in self.users]
        if not 0 < len(ids) <= 100 or (unknown and message.get("ignore_invalid_id") != "true"):
            raise Refused(400, {"error": "1 to 100 known user_ids"})
        for each in ids:
            self.users.pop(each, None)
            for members in self.cohorts.values():
                members.discard(each)
        self.events = {key: event for key, event in self.events.items() if event.get("user_id") not in ids}
        return web.json_response([{"day": "2026-12-08", "status": "staging", "user_ids": ids}])

    def _check_secret(self, request: web.Request) -> None:
        try:
            user = BasicAuth.decode(request.headers.get("authorization", ""))
        except ValueError:
            user = BasicAuth("")
        if (user.login, user.password) != (KEY, SECRET):
            raise Refused(401, {"error": "Unauthorized"})
