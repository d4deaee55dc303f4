"""HubSpot: contacts, and who is in a list of contacts.

Limits and answers: https://developers.hubspot.com/docs/api-reference/legacy/crm/objects/contacts/guide, .../crm/lists,
and .../docs/developer-tooling/platform/usage-guidelines.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from functools import cached_property
from typing import Any, ClassVar
from urllib.parse import quote

import httpx

from cdi.sync.tools.answers import json_object, looked_up
from cdi.sync.tools.base import Delivery, Option, RefusedError
from cdi.sync.tools.http import Endpoint, HttpTool, Item, Request, RowError
from cdi.sync.tools.json_values import to_json

_MOST = 100
"""Contacts of one request."""
_CONTACTS = "/crm/v3/objects/contacts"


class _HubSpot(HttpTool):
    """What goes to contacts by the property that the key is sent as: `email`, or one whose values are unique."""

    base_url = "https://api.hubapi.com"
    url_env = "CDI_HUBSPOT_URL"
    options: ClassVar[dict[str, Option]] = {
        "token_env": Option(default="CDI_HUBSPOT_TOKEN"),
        # 100 for free and Starter accounts, 190 for Professional and Enterprise, if nothing else uses the app.
        "requests_per_10_seconds": Option(int, default=100),
    }
    can_delete = True

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        super().__init__(options, delivery)
        self.token = self.environment("token_env")
        self.is_by_email = delivery.key == "email"

    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"}

    def endpoint(self, operation: str) -> Endpoint:
        # All requests of an app share one limit, so all have the one name.
        return Endpoint("app", _MOST, 4_000_000, ((self.given["requests_per_10_seconds"], 10.0),), connections=2)

    def words(self, response: httpx.Response) -> str:
        try:
            return str(response.json()["message"])
        except (ValueError, KeyError, TypeError):
            return response.text

    def item(self, operation: str, row: dict[str, Any], message_id: str) -> Any:
        key = str(row.get(self.delivery.key) or "")
        if not key or (self.is_by_email and "@" not in key):
            raise RowError(f"{self.delivery.key} is missing or no e-mail address")
        return key

    def ask(
        self, path: str, body: Any, items: list[Item], method: str = "POST", params: dict[str, str] | None = None,
        good: set[int] | None = None,
    ) -> httpx.Response:  # fmt: skip
        """The good answer to a request."""
        return self.call(self.endpoint(""), Request(path, to_json(body), method, params or {}), items, good)

    def ids(self, items: list[Item], archived: bool = False) -> dict[int, str]:
        """HubSpot's ids of the contacts that it knows: position in `items` to id."""
        name = self.delivery.key
        body = {"idProperty": name, "properties": [name], "inputs": [{"id": item.row[name]} for item in items]}
        params = {"archived": "true"} if archived else {}
        # Those whom it does not know make the answer a 207, and are not in its results.
        answer = json_object(self.ask(f"{_CONTACTS}/batch/read", body, items, params=params), "results")
        found = {self.same(result["properties"][name]): str(result["id"]) for result in answer["results"]}
        keys = [self.same(item.row[name]) for item in items]
        return {position: found[key] for position, key in enumerate(keys) if key in found}

    def same(self, key: Any) -> str:
        """What two keys of one contact have in common."""
        return str(key).strip().lower() if self.is_by_email else str(key)

    def deliver(self, operation: str, items: list[Item]) -> dict[int, str]:
        if operation == "delete":
            self.forget(items)
            return {}
        return self.change(operation, items)

    def change(self, operation: str, items: list[Item]) -> dict[int, str]:
        """As `deliver`, for what is no deletion."""
        raise NotImplementedError

    def forget(self, items: list[Item]) -> None:
        """Delete contacts for good."""
        if self.is_by_email:
            bodies = [{"objectId": item.row["email"], "idProperty": "email"} for item in items]
        else:
            # Who left a mirror is archived, but there.
            known = self.ids(items, archived=True) | self.ids(items)
            bodies = [{"objectId": contact} for contact in known.values()]
        for body in bodies:
            self.ask(f"{_CONTACTS}/gdpr-delete", body, items)


class HubSpotContacts(_HubSpot):
    """Contacts; every field is a property by its internal name.

    Mode mirror archives who left the model (HubSpot can restore them for 90 days); upsert and update only profiles
    that became part of another.
    """

    modes = ("upsert", "update", "create", "mirror")

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        super().__init__(options, delivery)
        for name in delivery.fields:
            if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
                self.refuse(
                    f"'{name}' is no internal name of a property.",
                    "These have lower case letters, digits and underscores; HubSpot shows them beside the labels.",
                )
        if self.is_by_email and delivery.skips_null and delivery.mode in ("upsert", "mirror"):
            self.refuse(
                "nulls: skip leaves out fields, and HubSpot takes no part of a contact that is known by email.",
                "Send nulls, or make the key a property with unique values.",
            )

    def item(self, operation: str, row: dict[str, Any], message_id: str) -> Any:
        key = super().item(operation, row, message_id)
        if operation != "upsert":
            return {"id": key}
        properties = {name: _text(name, value) for name, value in row.items()}
        # The answer names wrong rows by it.
        contact = {"properties": properties, "objectWriteTraceId": message_id}
        if self.delivery.mode == "create":
            return contact | {"associations": []}
        return contact | {"id": key, "idProperty": self.delivery.key}

    def change(self, operation: str, items: list[Item]) -> dict[int, str]:
        if operation == "remove":
            if known := self.ids(items):
                self.ask(f"{_CONTACTS}/batch/archive", {"inputs": [{"id": each} for each in known.values()]}, items)
            return {}
        verb = self.delivery.mode if self.delivery.mode in ("update", "create") else "upsert"
        # Who is there already is what mode create leaves alone; among others they make HubSpot refuse all.
        good = {409} if verb == "create" and len(items) == 1 else None
        response = self.ask(f"{_CONTACTS}/batch/{verb}", {"inputs": [item.value for item in items]}, items, good=good)
        return {} if response.status_code == 409 else self.read(operation, items, response)

    def read(self, operation: str, items: list[Item], response: httpx.Response) -> dict[int, str]:
        answer = json_object(response, "results")
        taken = {result.get("objectWriteTraceId") for result in answer["results"]}
        rejected: dict[int, str] = {}
        for error in answer.get("errors") or []:
            if self.delivery.mode == "create" and error.get("category") == "CONFLICT":
                continue
            named = {self.same(each) for each in _named(error)}
            wrong = [
                position
                for position, item in enumerate(items)
                if named & {item.message_id, self.same(item.row[self.delivery.key])}
            ]
            # An error that names nobody is about some of those who were not confirmed.
            wrong = wrong or [position for position, item in enumerate(items) if item.message_id not in taken]
            rejected |= dict.fromkeys(wrong, str(error.get("message", "")))
        return rejected


class HubSpotLists(_HubSpot):
    """Contacts who are in the list that the option names by its id; it must be a static one, of contacts."""

    modes = ("audience",)
    options: ClassVar[dict[str, Option]] = {**_HubSpot.options, "list": Option(required=True)}

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        super().__init__(options, delivery)
        self.path = f"/crm/v3/lists/{quote(self.given['list'], safe='')}"

    @cached_property
    def place(self) -> dict[str, Any]:
        """What HubSpot says of the list."""
        request = Request(self.path, method="GET")
        found = looked_up(self, self.endpoint(""), request, "list")["list"]
        if found.get("processingType") == "DYNAMIC":
            raise RefusedError("the list is dynamic: the tool itself says who is in it", is_final=True)
        return found

    def change(self, operation: str, items: list[Item]) -> dict[int, str]:
        _ = self.place
        known = self.ids(items)
        unknown = f"there is no contact with this {self.delivery.key}"
        rejected = {position: unknown for position in range(len(items)) if position not in known}
        if known:
            changes: dict[str, list[str]] = {"recordIdsToAdd": [], "recordIdsToRemove": []}
            changes["recordIdsToAdd" if operation == "upsert" else "recordIdsToRemove"] = list(known.values())
            response = self.ask(f"{self.path}/memberships/add-and-remove", changes, items, "PUT")
            missing = {str(each) for each in json_object(response).get("recordIdsMissing") or []}
            rejected |= {position: unknown for position, contact in known.items() if contact in missing}
        # Whom HubSpot does not know is in no list.
        return rejected if operation == "upsert" else {}


def _named(error: dict[str, Any]) -> list[Any]:
    """The contacts that an error is about: what their requests were called, or their keys."""
    context = error.get("context") or {}
    values = [context[name] for name in ("objectWriteTraceId", "ids", "id") if name in context]
    return [each for value in values for each in (value if isinstance(value, list) else [value])]


def _text(name: str, value: Any) -> str:
    """A value as properties take it; an empty text takes the value away."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and not any(isinstance(each, dict | list) for each in value):
        # Several choices of one property.
        return ";".join(_text(name, each) for each in value)
    if isinstance(value, dict | list):
        raise RowError(f"{name} has parts, which no property can hold")
    if isinstance(value, datetime):
        return f"{value.isoformat(timespec='milliseconds')}Z"
    return value.isoformat() if isinstance(value, date) else str(value)
