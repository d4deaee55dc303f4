"""Mailchimp: members of a list (an audience, as its pages call it), their tags, and static segments.

Nobody is ever subscribed again: `status_if_new` is all that is said about a subscription, and it counts for people whom
the list does not know. Limits and answers: https://mailchimp.com/developer/marketing/docs/fundamentals and
.../marketing/api/lists.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar
from urllib.parse import quote

import httpx

from cdi.sync.tools.answers import after_taking, json_object, looked_up
from cdi.sync.tools.base import Delivery, Option, RefusedError
from cdi.sync.tools.field_names import nested, require_known
from cdi.sync.tools.http import Endpoint, HttpTool, Item, Request, RowError, joined
from cdi.sync.tools.json_values import to_json

_MOST = 500
"""Members of one request."""
_SINGLE = Endpoint("one member", connections=4)
_EXISTS = "ERROR_CONTACT_EXISTS"
_UNKNOWN = "the list has no member with this address"


class _Mailchimp(HttpTool):
    """What goes to one list; the address is that of the data center at the end of the key."""

    url_env = "CDI_MAILCHIMP_URL"
    options: ClassVar[dict[str, Option]] = {
        "key_env": Option(default="CDI_MAILCHIMP_API_KEY"),
        "list": Option(required=True),
    }
    can_delete = True
    # An answer may take two minutes.
    timeout = 120.0

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        super().__init__(options, delivery)
        self.require_key("email_address")
        self.path = f"/lists/{quote(self.given['list'], safe='')}"

    def _address(self) -> str:
        self.key = self.environment("key_env")
        center = self.key.rpartition("-")[2]
        if re.fullmatch(r"[a-z]{2,6}\d{1,4}", center):
            self.base_url = f"https://{center}.api.mailchimp.com/3.0"
        elif not os.environ.get(self.given["url_env"]):
            self.refuse(
                f"key_env: the key in {self.given['key_env']} does not end with its data center, such as -us21.",
                f"Set {self.given['url_env']} to https://<data center>.api.mailchimp.com/3.0.",
            )
        return super()._address()

    def headers(self) -> dict[str, str]:
        return {"authorization": f"Basic {base64.b64encode(f'any:{self.key}'.encode()).decode()}"}

    def words(self, response: httpx.Response) -> str:
        try:
            answer = response.json()
            errors = [f"{error.get('field', '')}: {error.get('message', '')}" for error in answer.get("errors", [])]
            return "; ".join([f"{answer.get('title', '')}: {answer.get('detail', '')}", *errors])
        except (ValueError, AttributeError):
            return response.text

    def item(self, operation: str, row: dict[str, Any], message_id: str) -> Any:
        if "@" not in str(row.get("email_address") or ""):
            raise RowError("email_address is no e-mail address")
        return row["email_address"]

    def endpoint(self, operation: str) -> Endpoint:
        return _SINGLE

    def deliver(self, operation: str, items: list[Item]) -> dict[int, str]:
        _ = self.place
        if operation != "delete":
            return self.change(operation, items)
        self.ask_member(items[0], "POST", "/actions/delete-permanent")
        return {}

    def change(self, operation: str, items: list[Item]) -> dict[int, str]:
        """As `deliver`, for what is no deletion."""
        return super().deliver(operation, items)

    @cached_property
    def place(self) -> dict[str, Any]:
        """What Mailchimp says of where the rows go: it answers 404 to an unknown list as it does to unknown people."""
        request = Request(self.path, method="GET", params={"fields": "id"})
        return looked_up(self, _SINGLE, request, "id")

    def member(self, item: Item) -> str:
        """The path of a member."""
        address = str(item.row["email_address"]).lower()
        return f"{self.path}/members/{hashlib.md5(address.encode(), usedforsecurity=False).hexdigest()}"

    def ask_member(
        self, item: Item, method: str = "GET", path: str = "", content: bytes = b""
    ) -> httpx.Response | None:
        """The answer to a request about one member; None where the list does not know who that is."""
        request = Request(self.member(item) + path, content, method)
        response = self.call(_SINGLE, request, [item], good={404})
        return None if response.status_code == 404 else response


class MailchimpMembers(_Mailchimp):
    """Members by `email_address`, with merge_fields.<TAG>, interests.<id>, language, vip and the like.

    Mode update changes members that are there; mode create adds and leaves those that are there alone.
    """

    modes = ("upsert", "update", "create")
    options: ClassVar[dict[str, Option]] = {
        **_Mailchimp.options,
        "status_if_new": Option(choices=("subscribed", "pending", "unsubscribed", "transactional")),
    }

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        super().__init__(options, delivery)
        if "status" in delivery.fields or "status_if_new" in delivery.fields:
            self.refuse(
                "a status is no field: it would subscribe people again who have left the list.",
                "The option status_if_new is what new members get.",
            )
        require_known(
            self,
            ("email_address", "email_type", "language", "vip", "ip_signup", "timestamp_signup", "ip_opt",
             "timestamp_opt"),
            ("merge_fields", "interests", "location"),
        )  # fmt: skip
        if delivery.mode != "update" and not self.given["status_if_new"]:
            self.refuse(
                "option 'status_if_new' is missing.",
                "What new members are: subscribed where you have their consent, else pending (they are asked by mail),"
                " unsubscribed or transactional.",
            )

    def endpoint(self, operation: str) -> Endpoint:
        if operation == "delete" or self.delivery.mode == "update":
            return _SINGLE
        return Endpoint("members", _MOST, 5_000_000, connections=4)

    def item(self, operation: str, row: dict[str, Any], message_id: str) -> Any:
        super().item(operation, row, message_id)
        # Null is no value of any field but a merge field, which is empty then.
        member = nested({name: value for name, value in row.items() if value is not None or _is_merge_field(name)})
        if "merge_fields" in member:
            member["merge_fields"] = {tag: _merged(tag, value) for tag, value in member["merge_fields"].items()}
        return member if self.delivery.mode == "update" else member | {"status_if_new": self.given["status_if_new"]}

    def change(self, operation: str, items: list[Item]) -> dict[int, str]:
        if self.delivery.mode == "update":
            return {} if self.ask_member(items[0], "PATCH", content=items[0].body) else {0: _UNKNOWN}
        return super().change(operation, items)

    def request(self, operation: str, items: list[Item]) -> Request:
        changes = b"false" if self.delivery.mode == "create" else b"true"
        return Request(self.path, b'{"members":' + joined(items) + b',"update_existing":' + changes + b"}")

    def read(self, operation: str, items: list[Item], response: httpx.Response) -> dict[int, str]:
        errors = {
            str(error.get("email_address", "")).lower(): str(error.get("error", ""))
            for error in json_object(response, "errors")["errors"]
            # Who is there already is what mode create leaves alone.
            if self.delivery.mode != "create" or error.get("error_code") != _EXISTS
        }
        return {
            position: errors[address]
            for position, item in enumerate(items)
            if (address := item.value["email_address"].lower()) in errors
        }


class MailchimpTags(_Mailchimp):
    """Members by `email_address` who have the tag that the option names."""

    modes = ("audience",)
    options: ClassVar[dict[str, Option]] = {
        **_Mailchimp.options,
        "tag": Option(required=True),
        # Whether automations that a tag starts stay asleep.
        "is_syncing": Option(bool, default=False),
    }

    def change(self, operation: str, items: list[Item]) -> dict[int, str]:
        status = "active" if operation == "upsert" else "inactive"
        body = {"tags": [{"name": self.given["tag"], "status": status}], "is_syncing": self.given["is_syncing"]}
        is_known = self.ask_member(items[0], "POST", "/tags", to_json(body))
        # Who is no member has no tag either.
        return {} if is_known or operation == "remove" else {0: _UNKNOWN}


class MailchimpSegments(_Mailchimp):
    """Members by `email_address` who are in the static segment that the option names by its number."""

    modes = ("audience",)
    options: ClassVar[dict[str, Option]] = {**_Mailchimp.options, "segment": Option(int, required=True)}

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        super().__init__(options, delivery)
        self.segment = f"{self.path}/segments/{self.given['segment']}"

    def endpoint(self, operation: str) -> Endpoint:
        return _SINGLE if operation == "delete" else Endpoint("segment", _MOST)

    @cached_property
    def place(self) -> dict[str, Any]:
        request = Request(self.segment, method="GET", params={"fields": "type"})
        found = looked_up(self, _SINGLE, request, "type")
        if found["type"] != "static":
            raise RefusedError("the segment is not static: the tool itself says who is in it", is_final=True)
        return found

    def request(self, operation: str, items: list[Item]) -> Request:
        name = "members_to_add" if operation == "upsert" else "members_to_remove"
        return Request(self.segment, b'{"%s":%s}' % (name.encode(), joined(items)))

    def read(self, operation: str, items: list[Item], response: httpx.Response) -> dict[int, str]:
        answer = json_object(response, "members_added")
        if operation == "remove":
            return {}
        added = {str(member["email_address"]).lower() for member in answer["members_added"]}
        # Mailchimp passes over addresses in silence: of those who were in the segment before, and of those it ignores.
        with after_taking():
            reasons = {
                position: self._why_not(item) for position, item in enumerate(items) if item.value.lower() not in added
            }
        return {position: reason for position, reason in reasons.items() if reason}

    def _why_not(self, item: Item) -> str:
        """Why somebody cannot be in a segment; empty for a member who can."""
        response = self.ask_member(item)
        if response is None:
            return _UNKNOWN
        is_archived = json_object(response, "status")["status"] == "archived"
        return "the member is archived" if is_archived else ""


def _is_merge_field(name: str) -> bool:
    return name.startswith("merge_fields.")


def _merged(tag: str, value: Any) -> Any:
    """A value as merge fields take it: text, a number or the parts of an address."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, list):
        raise RowError(f"merge_fields.{tag} is a list")
    return value
