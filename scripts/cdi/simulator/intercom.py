"""Intercom, as far as contacts, their tags and events go."""

from __future__ import annotations

import itertools
import time
from typing import Any, ClassVar

from aiohttp import web

from cdi.simulator.base import Handler, Refused, SimulatedTool, json_body

TOKEN = "dG9rOnNpbXVsYXRlZA=="


class Intercom(SimulatedTool):
    """Contacts by Intercom's ids, also archived ones, names of tags by theirs, and every event that came in."""

    name = "intercom"
    environment: ClassVar[dict[str, str]] = {"CDI_INTERCOM_URL": "{url}", "CDI_INTERCOM_TOKEN": TOKEN}
    rates: ClassVar[dict[str, tuple[int, float]]] = {"answer": (1_666, 10.0)}

    def __init__(self) -> None:
        super().__init__()
        self.contacts: dict[str, dict[str, Any]] = {}
        self.tags: dict[str, str] = {}
        self.events: list[dict[str, Any]] = []
        self.attributes = {"tier"}
        """Custom attributes that somebody made; others are refused."""
        self.unseen: set[str] = set()
        """external_ids of users who are there and whom nobody finds yet."""
        self._numbers = itertools.count(0x5DA6F18E)

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [
            ("POST", "/contacts", self.answer),
            ("GET", "/contacts/find_by_external_id/{external_id}", self.answer),
            ("GET", "/contacts/{id}", self.answer),
            ("PUT", "/contacts/{id}", self.answer),
            ("DELETE", "/contacts/{id}", self.answer),
            ("POST", "/contacts/{id}/{change:archive|unarchive}", self.answer),
            ("POST", "/contacts/{id}/tags", self.answer),
            ("DELETE", "/contacts/{id}/tags/{tag}", self.answer),
            ("POST", "/tags", self.answer),
            ("POST", "/events", self.answer),
        ]

    def state(self) -> dict[str, Any]:
        archived = sum(contact["archived"] for contact in self.contacts.values())
        return {"contacts": len(self.contacts) - archived, "archived": archived, "events": len(self.events)}

    def too_many(self) -> Refused:
        reset = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 10)}
        refused = _problem(429, "rate_limit_exceeded", "The rate limit for the App has been exceeded")
        return Refused(refused.status, refused.body, reset)

    def put(self, **fields: Any) -> str:
        """Somebody who is there without us: the id."""
        number = f"{next(self._numbers):x}"
        self.contacts[number] = {"external_id": None, "email": None, "archived": False, "tags": set(),
                                 "custom_attributes": {}, **fields}  # fmt: skip
        return number

    def users(self) -> dict[str, dict[str, Any]]:
        """The contacts that are not archived, by their external_id."""
        return {contact["external_id"]: contact for contact in self.contacts.values() if not contact["archived"]}

    async def answer(self, request: web.Request) -> web.Response:
        """Any request: one limit holds for all of them."""
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            raise _problem(401, "unauthorized", "Access Token Invalid")
        content = await request.read()
        body = json_body(request, content) if content else {}
        path, method = request.match_info, request.method
        kind = request.path.split("/")[2]
        if kind == "events":
            return self._event(body)
        if kind == "tags":
            number = next((number for number, name in self.tags.items() if name == body["name"]), None)
            number = number or str(len(self.tags) + 17513)
            self.tags[number] = body["name"]
            return web.json_response({"type": "tag", "id": number, "name": body["name"]})
        if "external_id" in path:
            external_id = path["external_id"]
            return self._answered(None if external_id in self.unseen else self._live(external_id))
        if "id" not in path:
            return self._create(body)
        return self._one(path["id"], method, path, body, "tags" in request.path)

    def _one(self, number: str, method: str, path: Any, body: dict[str, Any], is_about_tags: bool) -> web.Response:
        contact = self.contacts.get(number)
        if contact is None:
            raise _not_found()
        if "change" in path:
            contact["archived"] = path["change"] == "archive"
            return web.json_response({"id": number, "archived": contact["archived"]})
        if method == "DELETE" and not is_about_tags:
            del self.contacts[number]
            return web.json_response({"id": number, "deleted": True})
        if contact["archived"]:
            raise _not_found()
        if is_about_tags:
            tag = path.get("tag") or body["id"]
            if tag not in self.tags or (method == "DELETE" and self.tags[tag] not in contact["tags"]):
                raise _not_found()
            (contact["tags"].add if method == "POST" else contact["tags"].remove)(self.tags[tag])
            return web.json_response({"type": "tag", "id": tag})
        if method == "PUT":
            self._write(number, body)
        return self._answered(number)

    def _answered(self, number: str | None) -> web.Response:
        if number is None:
            raise _not_found()
        contact = self.contacts[number]
        return web.json_response(
            {"type": "contact", "id": number, "external_id": contact["external_id"], "email": contact["email"]}
        )

    def _live(self, external_id: str) -> str | None:
        return next((number for number, contact in self.contacts.items()
                     if contact["external_id"] == external_id and not contact["archived"]), None)  # fmt: skip

    def _create(self, body: dict[str, Any]) -> web.Response:
        self._refuse_twin(body, None)
        _check(body, self.attributes)
        number = self.put()
        self._write(number, body)
        return self._answered(number)

    def _refuse_twin(self, body: dict[str, Any], own: str | None) -> None:
        for number, contact in self.contacts.items():
            same = [name for name in ("external_id", "email") if body.get(name) and body[name] == contact[name]]
            if same and number != own:
                which = "An archived contact" if contact["archived"] else "A contact"
                raise _problem(409, "conflict", f"{which} matching those details already exists with id={number}")

    def _write(self, number: str, body: dict[str, Any]) -> None:
        _check(body, self.attributes)
        self._refuse_twin(body, number)
        contact = self.contacts[number]
        contact["custom_attributes"] |= body.get("custom_attributes", {})
        contact |= {name: value for name, value in body.items() if name != "custom_attributes"}

    def _event(self, body: dict[str, Any]) -> web.Response:
        if not body.get("event_name") or not isinstance(body.get("created_at"), int):
            raise _problem(400, "parameter_invalid", "event_name and created_at are required")
        if any(isinstance(value, dict | list) for value in body.get("metadata", {}).values()):
            raise _problem(400, "parameter_invalid", "metadata must be flat")
        if self._live(body.get("user_id", "")) is None:
            raise _problem(404, "not_found", "User Not Found")
        self.events.append(body)
        return web.Response(status=202)


def _check(body: dict[str, Any], attributes: set[str]) -> None:
    if body.get("email") and "@" not in body["email"]:
        raise _problem(400, "parameter_invalid", f"Email {body['email']} is invalid")
    for name, value in body.get("custom_attributes", {}).items():
        if name not in attributes:
            raise _problem(400, "parameter_invalid", f"Custom attribute '{name}' does not exist")
        if isinstance(value, dict | list):
            raise _problem(400, "parameter_invalid", f"Custom attribute '{name}' is invalid")
    for name in ("signed_up_at", "last_seen_at"):
        if body.get(name) is not None and not isinstance(body[name], int):
            raise _problem(400, "parameter_invalid", f"{name} must be a Unix timestamp")


def _problem(status: int, code: str, message: str) -> Refused:
    return Refused(status, {"type": "error.list", "errors": [{"code": code, "message": message}]})


def _not_found() -> Refused:
    return _problem(404, "not_found", "Contact Not Found")
