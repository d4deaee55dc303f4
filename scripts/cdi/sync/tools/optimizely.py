"""Optimizely Data Platform (ODP): attributes of profiles, events, and who is subscribed to a list.

Limits and answers: https://docs.developers.optimizely.com/optimizely-data-platform/reference. An answer 202 means
accepted, not done: what ODP makes of it later it does not say.
"""

from __future__ import annotations

from typing import Any, ClassVar

import httpx

from cdi.sync.tools.answers import json_object
from cdi.sync.tools.base import Delivery, Option
from cdi.sync.tools.event_fields import milliseconds, moment_of, name_of, properties_of
from cdi.sync.tools.http import BadRowsError, Endpoint, HttpTool, Item, Request, RowError, joined
from cdi.sync.tools.membership import AUDIENCE_OPTION, audience_property, require_key_alone, with_membership

MOST = 500
"""Objects of one request."""
_IDENTIFIER = "identifiers."


class _Odp(HttpTool):
    """What goes to an account by its private key; the address is that of its region."""

    base_url = "https://api.us1.odp.optimizely.com/v3"
    url_env = "CDI_OPTIMIZELY_URL"
    options: ClassVar[dict[str, Option]] = {"key_env": Option(default="CDI_OPTIMIZELY_API_KEY")}

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        super().__init__(options, delivery)
        self.key = self.environment("key_env")

    def headers(self) -> dict[str, str]:
        return {"x-api-key": self.key}

    def words(self, response: httpx.Response) -> str:
        try:
            answer = response.json()
            invalids = (answer.get("detail") or {}).get("invalids") or []
            reasons = [" ".join(str(value) for value in invalid.values()) for invalid in invalids]
            return "; ".join(reasons) or str(answer.get("title") or answer.get("message") or "")
        except (ValueError, AttributeError):
            return response.text

    def read(self, operation: str, items: list[Item], response: httpx.Response) -> dict[int, str]:
        status = json_object(response).get("status", 202)
        if isinstance(status, int) and status >= 400:
            raise BadRowsError(self.sentence(response))
        return {}


class _People(_Odp):
    """Rows that are people, by the identifier that the key is sent as: email, vuid or one of the account's own."""

    can_delete = True

    def endpoint(self, operation: str) -> Endpoint:
        return Endpoint("compliance", MOST, 1_000_000)

    def identifier(self, row: dict[str, Any]) -> dict[str, str]:
        """Who a row is; raises RowError where nobody is named."""
        key = self.delivery.key
        if not row.get(key):
            raise RowError(f"{key} is missing")
        return {key: str(row[key])}

    def item(self, operation: str, row: dict[str, Any], message_id: str) -> Any:
        return self.identifier(row)

    def request(self, operation: str, items: list[Item]) -> Request:
        return Request("/compliance/gdpr/delete", joined(items))


class OdpProfiles(_People):
    """People; every other field is an attribute, and null wipes it.

    Mode audience writes the attribute that the option `audience` names: true for members, false for who left. A profile
    that became part of another loses the attributes that are sent.
    """

    modes = ("upsert", "audience")
    options: ClassVar[dict[str, Option]] = {**_Odp.options, **AUDIENCE_OPTION}

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        super().__init__(options, delivery)
        self.audience = audience_property(self)

    def endpoint(self, operation: str) -> Endpoint:
        if operation == "delete":
            return super().endpoint(operation)
        return Endpoint("profiles", MOST, 1_000_000, rates=((10, 1.0),), connections=4)

    def item(self, operation: str, row: dict[str, Any], message_id: str) -> Any:
        identifier = self.identifier(row)
        if operation == "delete":
            return identifier
        if operation == "remove" and not self.audience:
            row = dict.fromkeys(self.delivery.fields)
        for name, value in row.items():
            if isinstance(value, dict | list):
                raise RowError(f"{name} has parts, which no attribute can hold")
        return {"attributes": with_membership(row, self.audience, operation) | identifier}

    def request(self, operation: str, items: list[Item]) -> Request:
        return super().request(operation, items) if operation == "delete" else Request("/profiles", joined(items))


class OdpLists(_People):
    """People who are subscribed to the list that the option names by its id; who left is unsubscribed."""

    modes = ("audience",)
    options: ClassVar[dict[str, Option]] = {
        **_Odp.options,
        "list": Option(required=True),
        # The general limit; that lists take many at once is shown by no example of theirs.
        "batch_size": Option(int, default=MOST),
    }

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        super().__init__(options, delivery)
        require_key_alone(self, "A change of it would subscribe anew who has unsubscribed.")

    def endpoint(self, operation: str) -> Endpoint:
        if operation == "delete":
            return super().endpoint(operation)
        return Endpoint("lists", self.given["batch_size"], 1_000_000, rates=((10, 1.0),))

    def item(self, operation: str, row: dict[str, Any], message_id: str) -> Any:
        identifier = self.identifier(row)
        if operation == "delete":
            return identifier
        return {"list_id": self.given["list"], **identifier, "subscribed": operation == "upsert"}

    def request(self, operation: str, items: list[Item]) -> Request:
        if operation == "delete":
            return super().request(operation, items)
        return Request("/lists/subscriptions", items[0].body if self.given["batch_size"] == 1 else joined(items))


class OdpEvents(_Odp):
    """Events: type, maybe action, time, identifiers.<name> for one or more identifiers, and properties (JSON).

    Nothing says that ODP can tell repeats, so they are counted as if it could not.
    """

    modes = ("append",)
    knows_repeats = False

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        super().__init__(options, delivery)
        self.require_field("type")
        self.require_field("time")
        if not any(name.startswith(_IDENTIFIER) for name in delivery.fields):
            self.refuse("fields must have an identifier, such as 'identifiers.email'.")

    def endpoint(self, operation: str) -> Endpoint:
        return Endpoint("events", MOST, 1_000_000)

    def item(self, operation: str, row: dict[str, Any], message_id: str) -> Any:
        kind, moment = name_of(row, "type"), moment_of(row)
        named = {name: str(value) for name, value in row.items() if name.startswith(_IDENTIFIER) and value}
        if not named:
            raise RowError("nobody did it: every identifier is missing")
        own = ("type", "action", "time", self.delivery.key, *(name for name in row if name.startswith(_IDENTIFIER)))
        return {
            "type": kind,
            **({"action": row["action"]} if row.get("action") else {}),
            "identifiers": {name.removeprefix(_IDENTIFIER): value for name, value in named.items()},
            # As Optimizely's own SDK names it; no document says what ODP does with it.
            "data": properties_of(row, own) | {"ts": milliseconds(moment) // 1000, "idempotence_id": message_id},
        }

    def request(self, operation: str, items: list[Item]) -> Request:
        return Request("/events", joined(items))
