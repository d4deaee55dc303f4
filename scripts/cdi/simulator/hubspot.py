"""HubSpot, as far as contacts and lists of them go."""

from __future__ import annotations

import itertools
import re
from typing import Any, ClassVar

from aiohttp import web

from cdi.simulator.base import Handler, Refused, SimulatedTool, json_body

TOKEN = "pat-eu1-1f0a7c52-simulated"
UNIQUE = ("email", "profile_id")


class HubSpot(SimulatedTool):
    """Contacts by their ids, also archived ones, and lists of ids."""

    name = "hubspot"
    environment: ClassVar[dict[str, str]] = {"CDI_HUBSPOT_URL": "{url}", "CDI_HUBSPOT_TOKEN": TOKEN}
    rates: ClassVar[dict[str, tuple[int, float]]] = {"answer": (100, 10.0)}

    def __init__(self) -> None:
        super().__init__()
        self.contacts: dict[str, dict[str, str]] = {}
        self.archived: dict[str, dict[str, str]] = {}
        self.lists: dict[str, dict[str, Any]] = {
            "7": {"processingType": "MANUAL", "members": set()},
            "8": {"processingType": "DYNAMIC", "members": set()},
        }
        self.properties = {"email", "profile_id", "firstname", "tier"}
        self.blocked: set[str] = set()
        """Addresses that were deleted for good: nobody gets one of them again."""
        self.names_rows = True
        """Whether errors say which rows they are about."""
        self._numbers = itertools.count(101)

    def routes(self) -> list[tuple[str, str, Handler]]:
        contacts, one_list = "/crm/v3/objects/contacts", "/crm/v3/lists/{list}"
        return [
            ("POST", f"{contacts}/{{verb:gdpr-delete}}", self.answer),
            ("POST", f"{contacts}/batch/{{verb}}", self.answer),
            ("GET", one_list, self.answer),
            ("PUT", f"{one_list}/memberships/add-and-remove", self.answer),
        ]

    def state(self) -> dict[str, Any]:
        return {"contacts": len(self.contacts), "archived": len(self.archived)}

    def too_many(self) -> Refused:
        return _problem(429, "RATE_LIMITS", "You have reached your ten_secondly_rolling limit.",
                        policyName="TEN_SECONDLY_ROLLING")  # fmt: skip

    def put(self, **properties: str) -> str:
        """Somebody who is there without us: the id."""
        number = str(next(self._numbers))
        self.contacts[number] = properties
        return number

    def by(self, name: str) -> dict[str, dict[str, str]]:
        """The contacts by a property."""
        return {contact[name]: contact for contact in self.contacts.values() if contact.get(name)}

    async def answer(self, request: web.Request) -> web.Response:
        """Any request: one limit holds for all of them."""
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            raise _problem(401, "INVALID_AUTHENTICATION", "Authentication credentials not found.")
        if "list" in request.match_info:
            return await self._list(request)
        body = json_body(request, await request.read())
        verb = request.match_info["verb"]
        if verb == "gdpr-delete":
            return self._forget(body)
        inputs = body["inputs"]
        if not 0 < len(inputs) <= 100:
            raise _problem(400, "VALIDATION_ERROR", f"The maximum number of inputs is 100, {len(inputs)} were given")
        keys = [each["id"] for each in inputs if "id" in each]
        if len(set(keys)) < len(keys) and verb != "archive":
            raise _problem(400, "VALIDATION_ERROR", "Duplicate IDs found in batch input")
        if verb == "read":
            return self._read(body, self.archived if request.query.get("archived") == "true" else self.contacts)
        if verb == "archive":
            for key in keys:
                if key in self.contacts:
                    self.archived[key] = self.contacts.pop(key)
                    for members in self.lists.values():
                        members["members"].discard(key)
            return web.Response(status=204)
        return self._write(verb, inputs)

    def _find(self, name: str, key: str, where: dict[str, dict[str, str]]) -> str | None:
        if name not in UNIQUE:
            raise _problem(400, "VALIDATION_ERROR", f"{name} is not a unique property")
        key = key.lower() if name == "email" else key
        return next((number for number, contact in where.items() if contact.get(name) == key), None)

    def _read(self, body: dict[str, Any], where: dict[str, dict[str, str]]) -> web.Response:
        results, errors = [], []
        for each in body["inputs"]:
            number = self._find(body["idProperty"], each["id"], where)
            if number is None:
                errors.append({"status": "error", "category": "OBJECT_NOT_FOUND", "context": {"ids": [each["id"]]},
                               "message": "Could not get some CONTACT objects, they may be deleted"})  # fmt: skip
            else:
                wanted = {name: where[number].get(name) for name in body["properties"]}
                results.append({"id": number, "properties": wanted})
        return _multi(results, errors)

    def _write(self, verb: str, inputs: list[dict[str, Any]]) -> web.Response:
        for each in inputs:
            for name, value in each["properties"].items():
                if name not in self.properties:
                    raise _problem(400, "VALIDATION_ERROR", f'Property "{name}" does not exist')
                if not isinstance(value, str):
                    raise _problem(400, "VALIDATION_ERROR", f"Invalid input JSON: {name} is no text")
            if verb == "create" and (there := self._find("email", each["properties"].get("email", ""), self.contacts)):
                raise _problem(409, "CONFLICT", f"Contact already exists. Existing ID: {there}")
        results, errors = [], []
        for each in inputs:
            number = self._find(each["idProperty"], each["id"], self.contacts) if "id" in each else None
            trace = each.get("objectWriteTraceId")
            if number is None and verb == "update":
                errors.append({"status": "error", "category": "OBJECT_NOT_FOUND", "context": {"ids": [each["id"]]},
                               "message": "Could not get some CONTACT objects, they may be deleted"})  # fmt: skip
            elif problem := self._problem(each["properties"], number):
                errors.append({"status": "error", "category": "VALIDATION_ERROR", "message": problem,
                               "context": {"objectWriteTraceId": [trace]} if self.names_rows else {}})  # fmt: skip
            else:
                number = number or self.put()
                changed = self.contacts[number] | each["properties"]
                if "email" in changed:
                    changed["email"] = changed["email"].lower()
                self.contacts[number] = {name: value for name, value in changed.items() if value != ""}
                results.append({"id": number, "objectWriteTraceId": trace})
        return _multi(results, errors)

    def _problem(self, properties: dict[str, str], number: str | None) -> str:
        email = properties.get("email", "").lower()
        if email and not re.fullmatch(r"[^@\s]+@[^@\s]+\.[a-z]+", email):
            return f'Property values were not valid: [{{"message":"Email address {email} is invalid"}}]'
        if email in self.blocked:
            return f"{email} was deleted for privacy and cannot be added"
        if email and self._find("email", email, self.contacts) not in (None, number):
            return f"A contact with the email {email} already exists"
        return ""

    def _forget(self, body: dict[str, Any]) -> web.Response:
        number = body["objectId"]
        if "idProperty" in body:
            self.blocked.add(number.lower())
            number = self._find(body["idProperty"], number, self.contacts | self.archived)
        for where in (self.contacts, self.archived):
            if number in where:
                self.blocked |= {where.pop(number).get("email", "")} - {""}
        return web.Response(status=204)

    async def _list(self, request: web.Request) -> web.Response:
        found = self.lists.get(request.match_info["list"])
        if not found:
            raise _problem(404, "OBJECT_NOT_FOUND", "List does not exist")
        if request.method == "GET":
            return web.json_response({"list": {"processingType": found["processingType"], "objectTypeId": "0-1"}})
        if found["processingType"] == "DYNAMIC":
            raise _problem(400, "VALIDATION_ERROR", "Memberships of a dynamic list cannot be edited")
        body = json_body(request, await request.read())
        add = [each for each in body["recordIdsToAdd"] if each in self.contacts]
        found["members"] |= set(add)
        found["members"] -= set(body["recordIdsToRemove"])
        missing = [each for each in body["recordIdsToAdd"] if each not in self.contacts]
        return web.json_response(
            {"recordsIdsAdded": add, "recordIdsRemoved": body["recordIdsToRemove"], "recordIdsMissing": missing}
        )


def _multi(results: list[dict[str, Any]], errors: list[dict[str, Any]]) -> web.Response:
    body = {"status": "COMPLETE", "results": results}
    return web.json_response(body | ({"numErrors": len(errors), "errors": errors} if errors else {}),
                             status=207 if errors else 200)  # fmt: skip


def _problem(status: int, category: str, message: str, **more: str) -> Refused:
    return Refused(status, {"status": "error", "message": message, "category": category, **more})
