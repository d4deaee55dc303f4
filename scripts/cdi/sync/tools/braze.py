"""Braze: attributes and events of users, by /users/track.

Limits and answers: https://www.braze.com/docs/api/endpoints/user_data/post_user_track and .../post_user_delete.
"""

from __future__ import annotations

import time
from typing import Any, ClassVar

import httpx

from cdi.sync.tools.base import Delivery, Option, RefusedError
from cdi.sync.tools.http import BadRowsError, Endpoint, HttpTool, Item, Request, RowError, joined
from cdi.sync.tools.json_values import to_json
from cdi.sync.tools.membership import AUDIENCE_OPTION, audience_property, with_membership


class _Braze(HttpTool):
    """What goes to /users/track. The address is that of the account's cluster, such as https://rest.fra-01.braze.eu."""

    url_env = "CDI_BRAZE_URL"
    options: ClassVar[dict[str, Option]] = {
        "key_env": Option(default="CDI_BRAZE_API_KEY"),
        # Older contracts have 75 of each kind; some have 50 in all.
        "batch_size": Option(int, default=75),
    }
    array: ClassVar[str]
    """The part of a request that the rows are."""

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        super().__init__(options, delivery)
        self.key = self.environment("key_env")

    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}

    def endpoint(self, operation: str) -> Endpoint:
        if operation == "delete":
            return Endpoint("users/delete", 50, 1_000_000, rates=((20_000, 60.0),))
        return Endpoint("users/track", self.given["batch_size"], 4_000_000, rates=((3_000, 3.0),), connections=4)

    def pause(self, response: httpx.Response) -> float | None:
        seconds, reset = super().pause(response), response.headers.get("x-ratelimit-reset", "")
        if seconds is None and response.status_code == 429 and reset.isdecimal():
            return max(0.0, float(reset) - time.time())
        return seconds

    def request(self, operation: str, items: list[Item]) -> Request:
        if operation == "delete":
            return Request("/users/delete", to_json({"external_ids": [item.value["external_id"] for item in items]}))
        return Request("/users/track", b'{"%s":%s}' % (self.array.encode(), joined(items)))

    def read(self, operation: str, items: list[Item], response: httpx.Response) -> dict[int, str]:
        try:
            answer = response.json()
            message, errors = str(answer["message"]), answer.get("errors", [])
            rejected = {
                int(error["index"]): str(error["type"]) for error in errors if error.get("input_array") == self.array
            }
        except (ValueError, KeyError, TypeError):
            # 2xx, but cut off or from somebody else.
            raise RefusedError("the answer is none of Braze's", in_doubt=True) from None
        if message not in ("success", "queued"):
            # Braze says 2xx and takes nothing.
            raise BadRowsError(f"HTTP {response.status_code} {message}")
        return {index: reason for index, reason in rejected.items() if index < len(items)}


class BrazeUsers(_Braze):
    """Users by `external_id`; every other field is an attribute, and null takes the attribute away.

    Braze counts every attribute that is written, so only those go that changed.

    Mode audience writes the attribute that the option `audience` names: true for members, false for who left.
    """

    array = "attributes"
    modes = ("upsert", "update", "audience")
    can_delete = True
    sends_deltas = True
    options: ClassVar[dict[str, Option]] = {**_Braze.options, **AUDIENCE_OPTION}

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        super().__init__(options, delivery)
        self.require_key("external_id")
        self.audience = audience_property(self)

    def item(self, operation: str, row: dict[str, Any], message_id: str) -> Any:
        _check_id(row["external_id"])
        if operation == "delete":
            return {"external_id": row["external_id"]}
        if operation == "remove" and not self.audience:
            # A profile that became part of another: who it was goes.
            return {"external_id": row["external_id"], "_update_existing_only": True, "email": None, "phone": None}
        row = with_membership(row, self.audience, operation)
        may_create = operation == "upsert" and self.delivery.mode != "update"
        return row if may_create else {**row, "_update_existing_only": True}


class BrazeEvents(_Braze):
    """Events of users: external_id, name, time and, if there are any, properties (JSON). Braze cannot tell repeats."""

    array = "events"
    modes = ("append",)
    knows_repeats = False

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        super().__init__(options, delivery)
        for name in ("external_id", "name", "time"):
            self.require_field(name)

    def item(self, operation: str, row: dict[str, Any], message_id: str) -> Any:
        _check_id(row.get("external_id"))
        if not row.get("name") or row.get("time") is None:
            raise RowError("an event without a name or a time")
        return {name: row[name] for name in ("external_id", "name", "time", "properties") if row.get(name) is not None}


def _check_id(external_id: Any) -> None:
    if not external_id or len(str(external_id)) > 997:
        raise RowError("external_id is missing or longer than 997 characters")
