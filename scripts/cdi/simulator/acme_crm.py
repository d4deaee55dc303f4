"""A CRM that nobody wrote a module for, so that it is declared in YAML (docs/tools/http.md)."""

from __future__ import annotations

from typing import Any, ClassVar

from aiohttp import web

from cdi.simulator.base import Handler, Refused, SimulatedTool, json_body

KEY = "simulated0acme0key"


class AcmeCrm(SimulatedTool):
    """Contacts by their id, one by one or in batches; an event that comes twice is there twice."""

    name = "acme_crm"
    environment: ClassVar[dict[str, str]] = {"CDI_ACME_CRM_URL": "{url}", "CDI_ACME_CRM_API_KEY": KEY}
    rates: ClassVar[dict[str, tuple[int, float]]] = {"batch": (1000, 1.0)}

    def __init__(self) -> None:
        super().__init__()
        self.contacts: dict[str, dict[str, Any]] = {}
        self.forgotten: set[str] = set()
        self.events: list[dict[str, Any]] = []

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [
            ("PUT", "/contacts/{id}", self.put),
            ("DELETE", "/contacts/{id}", self.remove),
            ("POST", "/contacts/batch", self.batch),
            ("POST", "/contacts/forget", self.forget),
            ("POST", "/events", self.event),
        ]

    def state(self) -> dict[str, Any]:
        return {"contacts": len(self.contacts), "events": len(self.events)}

    async def put(self, request: web.Request) -> web.Response:
        """Create or change a contact."""
        if problem := self._take({**await self._body(request), "id": request.match_info["id"]}):
            raise Refused(422, {"message": problem})
        return web.json_response({"ok": True})

    async def remove(self, request: web.Request) -> web.Response:
        """Remove a contact."""
        self._check(request)
        if self.contacts.pop(request.match_info["id"], None) is None:
            raise Refused(404, {"message": "no such contact"})
        return web.Response(status=204)

    async def batch(self, request: web.Request) -> web.Response:
        """Create or change up to 100 contacts; with 200, whatever became of them."""
        contacts = (await self._body(request)).get("contacts", [])
        if len(contacts) > 100:
            return web.json_response({"ok": False, "message": "at most 100 contacts"})
        problems = [(index, self._take(contact)) for index, contact in enumerate(contacts)]
        errors = [{"position": index, "id": contacts[index].get("id"), "why": why} for index, why in problems if why]
        return web.json_response({"ok": True, "errors": errors})

    async def forget(self, request: web.Request) -> web.Response:
        """Forget people for good."""
        ids = (await self._body(request)).get("ids", [])
        self.forgotten |= set(ids)
        for each in ids:
            self.contacts.pop(each, None)
        return web.json_response({"ok": True})

    async def event(self, request: web.Request) -> web.Response:
        """Take an event."""
        self.events.append(await self._body(request))
        return web.json_response({"ok": True}, status=202)

    def _check(self, request: web.Request) -> None:
        if request.headers.get("x-api-key") != KEY:
            raise Refused(401, {"message": "unknown key"})

    async def _body(self, request: web.Request) -> dict[str, Any]:
        self._check(request)
        return json_body(request, await request.read())

    def _take(self, contact: dict[str, Any]) -> str:
        """Keep a contact; why it cannot be kept, where it cannot."""
        if not contact.get("id") or not isinstance(contact["id"], str):
            return "id must be a text"
        if "mail" in contact and contact["mail"] is not None and "@" not in contact["mail"]:
            return f"{contact['mail']} is no address"
        self.contacts[contact["id"]] = self.contacts.get(contact["id"], {}) | contact
        return ""
