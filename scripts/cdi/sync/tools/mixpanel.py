"""Mixpanel: profiles of people and of groups, and events.

Limits and answers: https://developer.mixpanel.com/reference/import-events, .../profile-batch-update and .../gdpr-api.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import httpx

from cdi.sync.tools.answers import json_object
from cdi.sync.tools.base import Delivery, Option, RefusedError
from cdi.sync.tools.event_fields import milliseconds, moment_of, name_of, properties_of
from cdi.sync.tools.forgetting import needed_to_forget
from cdi.sync.tools.http import BadRowsError, Endpoint, HttpTool, Item, Request, RowError, joined
from cdi.sync.tools.json_values import to_json
from cdi.sync.tools.membership import AUDIENCE_OPTION, audience_property, with_membership

BANNED_IDS = frozenset(
    {"00000000-0000-0000-0000-000000000000", "anon", "anonymous", "nil", "none", "null", "n/a", "na", "undefined",
     "unknown", "<nil>", "0", "-1", "true", "false", "[]", "{}"}
)  # fmt: skip
"""What Mixpanel takes for a mistake where an id should be."""
MOST_PROPERTIES = 254
DEEPEST = 3


class _Mixpanel(HttpTool):
    """What goes to a project by its token."""

    base_url = "https://api.mixpanel.com"
    url_env = "CDI_MIXPANEL_URL"
    options: ClassVar[dict[str, Option]] = {"token_env": Option(default="CDI_MIXPANEL_TOKEN")}

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        super().__init__(options, delivery)
        self.token = self.environment("token_env")

    def words(self, response: httpx.Response) -> str:
        try:
            answer = response.json()
            failed = answer.get("failed_records") or [{}]
            return str(failed[0].get("message") or answer.get("error") or "")
        except (ValueError, AttributeError):
            return response.text

    def deliver(self, operation: str, items: list[Item]) -> dict[int, str]:
        request = self.request(operation, items)
        # 400 is what a partial failure is called here.
        return self.read(operation, items, self.call(self.endpoint(operation), request, items, good={400}))

    def read(self, operation: str, items: list[Item], response: httpx.Response) -> dict[int, str]:
        answer = json_object(response)
        owners = self.owners(items)
        try:
            failed = {int(each["index"]): str(each["message"]) for each in answer.get("failed_records") or []}
            rejected = {owners[index]: words for index, words in failed.items()}
        except (ValueError, KeyError, TypeError, IndexError):
            raise RefusedError("the answer is not the tool's own", in_doubt=True) from None
        taken = answer.get("num_records_imported", len(owners) if response.is_success and not failed else 0)
        is_good = response.is_success and answer.get("status") in (1, "OK")
        if (failed or is_good) and taken == len(owners) - len(failed):
            return rejected
        # It says 2xx to rows that it does not take, or does not say what became of each.
        raise BadRowsError(self.sentence(response))

    def owners(self, items: list[Item]) -> list[int]:
        """The position in `items` of whose part each object of the request is."""
        return list(range(len(items)))


class _Updates(_Mixpanel):
    """Profiles, whatever of; every other field than the key is a property, and null takes it away."""

    path: ClassVar[str]

    def endpoint(self, operation: str) -> Endpoint:
        # Of 2,000 updates; a row can be two.
        return Endpoint(self.path, 1000, 2_000_000, connections=4)

    def whose(self, row: dict[str, Any]) -> dict[str, Any]:
        """What says whose profile a row is."""
        raise NotImplementedError

    def item(self, operation: str, row: dict[str, Any], message_id: str) -> Any:
        whose = {"$token": self.token, **self.whose(row)}
        if operation == "remove" and self.delivery.mode != "audience":
            # Of two profiles that are one by now, the other stays.
            return [{**whose, "$delete": None, **({"$ignore_alias": True} if "$distinct_id" in whose else {})}]
        row = self.properties(operation, {name: row[name] for name in row if name != self.delivery.key})
        held = {name: value for name, value in row.items() if value is not None}
        wiped = [name for name, value in row.items() if value is None]
        _check(held)
        updates = [{**whose, "$set": held}] if held or not wiped else []
        return [*updates, *([{**whose, "$unset": wiped}] if wiped else [])]

    def properties(self, operation: str, row: dict[str, Any]) -> dict[str, Any]:
        """What the profile is to have of a row."""
        return row

    def request(self, operation: str, items: list[Item]) -> Request:
        # Else the profiles would be where our server stands.
        params = {"strict": "1", "verbose": "1", "ip": "0"}
        return Request(self.path, b"[" + b",".join(item.body[1:-1] for item in items) + b"]", params=params)

    def owners(self, items: list[Item]) -> list[int]:
        return [position for position, item in enumerate(items) for _ in item.value]


class MixpanelProfiles(_Updates):
    """People by `distinct_id`. Mixpanel has no cohorts that others may write, so an audience is a property.

    Mode mirror deletes the profiles of who left, the others only of who became part of another.
    """

    path = "/engage"
    modes = ("upsert", "mirror", "audience")
    can_delete = True
    options: ClassVar[dict[str, Option]] = {
        **_Mixpanel.options,
        **AUDIENCE_OPTION,
        "deletion_token_env": Option(default="CDI_MIXPANEL_DELETION_TOKEN"),
        "app_url_env": Option(default="CDI_MIXPANEL_APP_URL"),
        "compliance_type": Option(default="GDPR", choices=("GDPR", "CCPA")),
    }

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        super().__init__(options, delivery)
        self.require_key("distinct_id")
        self.audience = audience_property(self)

    def endpoint(self, operation: str) -> Endpoint:
        if operation == "delete":
            return Endpoint("data-deletions", 1999, rates=((1, 1.0),))
        return super().endpoint(operation)

    def whose(self, row: dict[str, Any]) -> dict[str, Any]:
        return {"$distinct_id": checked_id("distinct_id", row["distinct_id"])}

    def item(self, operation: str, row: dict[str, Any], message_id: str) -> Any:
        return row["distinct_id"] if operation == "delete" else super().item(operation, row, message_id)

    def properties(self, operation: str, row: dict[str, Any]) -> dict[str, Any]:
        return with_membership(row, self.audience, operation)

    def request(self, operation: str, items: list[Item]) -> Request:
        if operation != "delete":
            return super().request(operation, items)
        token = needed_to_forget(lambda: self.environment("deletion_token_env"))
        body = {"distinct_ids": [item.value for item in items], "compliance_type": self.given["compliance_type"]}
        return Request(
            "/api/app/data-deletions/v3.0/",
            to_json(body),
            params={"token": self.token},
            headers={"authorization": f"Bearer {token}"},
            base=needed_to_forget(lambda: self.regional_address("app_url_env", "https://mixpanel.com")),
        )

    def read(self, operation: str, items: list[Item], response: httpx.Response) -> dict[int, str]:
        if operation != "delete":
            return super().read(operation, items, response)
        if not response.is_success or json_object(response).get("status") != "ok":
            raise BadRowsError(self.sentence(response))
        return {}


class MixpanelGroups(_Updates):
    """Groups, such as companies, by `group_id`; `group_key` is what the project calls groups of this kind."""

    path = "/groups"
    modes = ("upsert", "mirror")
    options: ClassVar[dict[str, Option]] = {**_Mixpanel.options, "group_key": Option(required=True)}

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        super().__init__(options, delivery)
        self.require_key("group_id")

    def endpoint(self, operation: str) -> Endpoint:
        # 200 updates at once are what others send; the limit for groups is not documented.
        return Endpoint(self.path, 100, 1_000_000, connections=4)

    def whose(self, row: dict[str, Any]) -> dict[str, Any]:
        return {"$group_key": self.given["group_key"], "$group_id": row["group_id"]}


class MixpanelEvents(_Mixpanel):
    """Events: event, time, one of distinct_id, user_id and device_id, and properties (JSON).

    Mixpanel deduplicates by name, time, person and `$insert_id`, which is the key.
    """

    modes = ("append",)

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        super().__init__(options, delivery)
        self.require_field("event")
        self.require_field("time")
        if not set(delivery.fields) & {"distinct_id", "user_id", "device_id"}:
            self.refuse("fields must have 'distinct_id', 'user_id' or 'device_id'.")

    def headers(self) -> dict[str, str]:
        return {"authorization": "Basic " + base64.b64encode(f"{self.token}:".encode()).decode()}

    def endpoint(self, operation: str) -> Endpoint:
        return Endpoint("/import", 2000, 10_000_000, connections=4)

    def item(self, operation: str, row: dict[str, Any], message_id: str) -> Any:
        event, moment = name_of(row), moment_of(row)
        if moment.year < 1971 or moment > datetime.now(UTC) + timedelta(hours=1):
            raise RowError("time is before 1971 or more than an hour ahead")
        own = ("event", "time", "distinct_id", "user_id", "device_id", self.delivery.key)
        properties = properties_of(row, own)
        ids = {name: checked_id(name, row[name]) for name in own[2:5] if row.get(name)}
        if not ids:
            raise RowError("nobody did it: neither distinct_id nor user_id nor device_id")
        properties |= {f"${name}": value for name, value in ids.items() if name != "distinct_id"}
        properties |= {
            "time": milliseconds(moment),
            "distinct_id": ids.get("distinct_id") or ids.get("user_id") or f"$device:{ids['device_id']}",
            "$insert_id": _insert_id(message_id),
        }
        _check(properties)
        return {"event": event, "properties": properties}

    def request(self, operation: str, items: list[Item]) -> Request:
        body = gzip.compress(joined(items), compresslevel=1)
        return Request("/import", body, params={"strict": "1"}, headers={"content-encoding": "gzip"})


def checked_id(name: str, value: Any) -> str:
    """An id as text; raises RowError for one that Mixpanel takes for a mistake."""
    if str(value).strip().lower() in BANNED_IDS:
        raise RowError(f"{name} is nobody's: Mixpanel does not take it")
    return str(value)


def _insert_id(message_id: str) -> str:
    """The id, or a hash of one that Mixpanel would refuse."""
    if re.fullmatch(r"[A-Za-z0-9-]{1,36}", message_id) and message_id.lower() not in BANNED_IDS:
        return message_id
    return hashlib.sha256(message_id.encode()).hexdigest()[:36]


def _check(properties: dict[str, Any]) -> None:
    if len(properties) > MOST_PROPERTIES:
        raise RowError(f"more than {MOST_PROPERTIES} properties")
    for name, value in properties.items():
        if _is_too_large(value, DEEPEST):
            raise RowError(f"{name} has more than {MOST_PROPERTIES} parts, or parts of parts of parts of parts")


def _is_too_large(value: Any, deepest: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    parts = list(value.values()) if isinstance(value, dict) else value
    return deepest == 0 or len(parts) > MOST_PROPERTIES or any(_is_too_large(part, deepest - 1) for part in parts)
