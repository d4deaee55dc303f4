"""Intercom: contacts (users by their external_id), their tags, and events.

Intercom takes one contact per request. Its search lags behind by minutes, so nobody is looked up by it; a contact that
is there all the same is named in the answer 409. Answers and limits: https://developers.intercom.com/docs/references
(2.15) and .../rest-apis/rate-limiting.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Any, ClassVar
from urllib.parse import quote

import httpx

from cdi.sync.tools.answers import json_object, looked_up
from cdi.sync.tools.base import Delivery, Option
from cdi.sync.tools.field_names import nested, require_known
from cdi.sync.tools.http import BadRowsError, Endpoint, HttpTool, Item, Request, RowError
from cdi.sync.tools.json_values import to_json

# 10,000 a minute and app, dealt out in parts of ten seconds.
_ENDPOINT = Endpoint("app", rates=((1_666, 10.0),), connections=8)
_TWIN = re.compile(r"\bid=(\w+)")
_UNKNOWN = "there is no user with this id"


class _Intercom(HttpTool):
    """What goes to one workspace; the variable of url_env is the address of another region."""

    base_url = "https://api.intercom.io"
    url_env = "CDI_INTERCOM_URL"
    options: ClassVar[dict[str, Option]] = {"token_env": Option(default="CDI_INTERCOM_TOKEN")}

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        super().__init__(options, delivery)
        self.token = self.environment("token_env")

    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}", "intercom-version": "2.15", "accept": "application/json"}

    def endpoint(self, operation: str) -> Endpoint:
        return _ENDPOINT

    def words(self, response: httpx.Response) -> str:
        return _words(response)

    def ask(
        self, path: str, items: list[Item], body: Any = None, method: str = "POST", good: set[int] | None = None
    ) -> httpx.Response:
        """The good answer to a request."""
        return self.call(_ENDPOINT, Request(path, b"" if body is None else to_json(body), method), items, good)


class _Contacts(_Intercom):
    """What is about contacts by their external_id."""

    can_delete = True

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        super().__init__(options, delivery)
        self.require_key("external_id")

    def item(self, operation: str, row: dict[str, Any], message_id: str) -> Any:
        if not row.get("external_id"):
            raise RowError("external_id is missing")
        return {"external_id": str(row["external_id"])}

    def find(self, items: list[Item]) -> str | None:
        """Intercom's id of a contact; None where there is none, or where it is archived."""
        path = f"/contacts/find_by_external_id/{quote(items[0].value['external_id'], safe='')}"
        response = self.ask(path, items, method="GET", good={404})
        return None if response.status_code == 404 else _id(response)

    def create(self, items: list[Item], contact: dict[str, Any]) -> tuple[str, httpx.Response | None]:
        """Make a contact: its id, and Intercom's refusal where there was one before."""
        response = self.ask("/contacts", items, contact, good={409})
        if response.status_code != 409:
            return _id(response), None
        if twin := _TWIN.search(_words(response)):
            return twin[1], response
        raise BadRowsError(self.sentence(response))

    def deliver(self, operation: str, items: list[Item]) -> dict[int, str]:
        if operation == "delete":
            contact = self.find(items)
            if not contact:
                # Who is archived is found by nothing but an attempt to make them anew; without an address, so that
                # nothing can be sent to them if they were not there at all.
                contact, _ = self.create(items, items[0].value)
            self.ask(f"/contacts/{contact}", items, method="DELETE", good={404})
            return {}
        return self.change(operation, items)

    def change(self, operation: str, items: list[Item]) -> dict[int, str]:
        """As `deliver`, for what is no deletion."""
        raise NotImplementedError


class IntercomContacts(_Contacts):
    """Users by `external_id`: email, name, phone and the like, and custom_attributes.<name>.

    Mode mirror archives who left the model; upsert and update only profiles that became part of another.
    """

    modes = ("upsert", "update", "create", "mirror")

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        super().__init__(options, delivery)
        require_known(
            self,
            ("external_id", "email", "phone", "name", "avatar", "signed_up_at", "last_seen_at", "owner_id",
             "unsubscribed_from_emails", "language_override"),
            ("custom_attributes",),
        )  # fmt: skip

    def item(self, operation: str, row: dict[str, Any], message_id: str) -> Any:
        contact = super().item(operation, row, message_id)
        if operation != "upsert":
            return contact
        return nested({name: _value(name, value) for name, value in row.items()}) | contact | {"role": "user"}

    def change(self, operation: str, items: list[Item]) -> dict[int, str]:
        contact, mode = items[0].value, self.delivery.mode
        if operation == "remove":
            if found := self.find(items):
                self.ask(f"/contacts/{found}/archive", items)
            return {}
        found = None if mode == "create" else self.find(items)
        if not found and mode == "update":
            return {0: _UNKNOWN}
        if found:
            self.ask(f"/contacts/{found}", items, contact, "PUT")
            return {}
        found, refusal = self.create(items, contact)
        # Who is there already is what mode create leaves alone.
        return {} if refusal is None or mode == "create" else self._take_over(found, refusal, items)

    def _take_over(self, found: str, refusal: httpx.Response, items: list[Item]) -> dict[int, str]:
        """Make a contact ours that was there before: by another sync, by hand, with this address, or archived."""
        contact = items[0].value
        was_archived = "archived" in _words(refusal).lower()
        if was_archived:
            # Nothing can be read of it before.
            self.ask(f"/contacts/{found}/unarchive", items)
        try:
            there = json_object(self.ask(f"/contacts/{found}", items, method="GET"), "id")
            if there.get("external_id") in (None, "", contact["external_id"]):
                self.ask(f"/contacts/{found}", items, contact, "PUT")
                return {}
            reason = self.sentence(refusal)
        except BadRowsError as error:
            reason = error.message
        if was_archived:
            self.ask(f"/contacts/{found}/archive", items)
        return {0: reason}


class IntercomTags(_Contacts):
    """Users by `external_id` who have the tag that the option names."""

    modes = ("audience",)
    options: ClassVar[dict[str, Option]] = {**_Contacts.options, "tag": Option(required=True)}

    @cached_property
    def tag(self) -> str:
        """Intercom's id of the tag; it is made where there is none of this name."""
        request = Request("/tags", to_json({"name": self.given["tag"]}))
        return str(looked_up(self, _ENDPOINT, request, "id")["id"])

    def change(self, operation: str, items: list[Item]) -> dict[int, str]:
        found = self.find(items)
        if operation == "upsert":
            if not found:
                return {0: _UNKNOWN}
            self.ask(f"/contacts/{found}/tags", items, {"id": self.tag})
        elif found:
            # 404: it has no such tag.
            self.ask(f"/contacts/{found}/tags/{self.tag}", items, method="DELETE", good={404})
        return {}


class IntercomEvents(_Intercom):
    """Events of users: user_id, event_name, created_at, and metadata (JSON) or metadata.<name>; a repeat is another."""

    modes = ("append",)
    knows_repeats = False

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        super().__init__(options, delivery)
        for name in ("user_id", "event_name", "created_at"):
            self.require_field(name)

    def item(self, operation: str, row: dict[str, Any], message_id: str) -> Any:
        if not row.get("user_id") or not row.get("event_name") or row.get("created_at") is None:
            raise RowError("an event without user_id, event_name or created_at")
        given = {name: value for name, value in row.items() if value is not None}
        event = nested({name: value if name == "metadata" else _value(name, value) for name, value in given.items()})
        # The key tells rows apart for us; Intercom has no place for it.
        return {name: event[name] for name in ("user_id", "event_name", "created_at", "metadata") if name in event}

    def deliver(self, operation: str, items: list[Item]) -> dict[int, str]:
        response = self.ask("/events", items, items[0].value, good={404})
        return {0: _UNKNOWN} if response.status_code == 404 else {}


def _id(response: httpx.Response) -> str:
    return str(json_object(response, "id")["id"])


def _words(response: httpx.Response) -> str:
    """What Intercom says went wrong."""
    try:
        return "; ".join(str(error["message"]) for error in response.json()["errors"])
    except (ValueError, KeyError, TypeError):
        return response.text


def _value(name: str, value: Any) -> Any:
    """A value as Intercom takes it: moments in seconds since 1970."""
    if isinstance(value, dict | list):
        raise RowError(f"{name} has parts, which Intercom does not take")
    if isinstance(value, datetime):
        return int(value.replace(tzinfo=UTC).timestamp())
    if isinstance(value, date):
        return int(datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp())
    return value
