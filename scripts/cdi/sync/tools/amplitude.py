"""Amplitude: properties of users, events, and who is in a cohort.

Limits and answers: https://amplitude.com/docs/apis/analytics/identify, .../batch-event-upload,
.../behavioral-cohorts and .../user-privacy.
"""

from __future__ import annotations

import base64
from typing import Any, ClassVar
from urllib.parse import urlencode

import httpx

from cdi.sync.tools.answers import json_object
from cdi.sync.tools.base import Delivery, Option, RefusedError
from cdi.sync.tools.event_fields import milliseconds, moment_of, name_of, properties_of
from cdi.sync.tools.forgetting import needed_to_forget
from cdi.sync.tools.http import BadRowsError, Endpoint, HttpTool, Item, Request, RowError, joined
from cdi.sync.tools.json_values import to_json
from cdi.sync.tools.membership import require_key_alone

THROTTLED = 15.0
"""Seconds to leave Amplitude alone after an answer 429."""


class _Amplitude(HttpTool):
    """What goes to a project by its API key."""

    base_url = "https://api2.amplitude.com"
    url_env = "CDI_AMPLITUDE_URL"
    options: ClassVar[dict[str, Option]] = {
        "key_env": Option(default="CDI_AMPLITUDE_API_KEY"),
        # What a project allows; Amplitude drops shorter ids without a word.
        "min_id_length": Option(int, default=5),
    }

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        super().__init__(options, delivery)
        self.key = self.environment("key_env")

    def pause(self, response: httpx.Response) -> float | None:
        seconds = super().pause(response)
        return THROTTLED if seconds is None and response.status_code == 429 else seconds

    def words(self, response: httpx.Response) -> str:
        try:
            return str(response.json()["error"])
        except (ValueError, KeyError, TypeError):
            return response.text

    def checked_id(self, name: str, value: Any) -> str:
        """An id as text; raises RowError for one that Amplitude would drop."""
        text = str(value or "")
        if len(text) < self.given["min_id_length"]:
            raise RowError(f"{name} is shorter than {self.given['min_id_length']} characters")
        return text


class _People(_Amplitude):
    """Rows that are users, who can be forgotten."""

    can_delete = True
    options: ClassVar[dict[str, Option]] = {
        **_Amplitude.options,
        "secret_env": Option(default="CDI_AMPLITUDE_SECRET_KEY"),
        "app_url_env": Option(default="CDI_AMPLITUDE_APP_URL"),
        "requester": Option(default="cdi"),
    }

    def app_address(self) -> str:
        """Where cohorts and deletions go."""
        return self.regional_address("app_url_env", "https://amplitude.com")

    def app_headers(self) -> dict[str, str]:
        """What cohorts and deletions ask for."""
        pair = f"{self.key}:{self.environment('secret_env')}"
        return {"authorization": "Basic " + base64.b64encode(pair.encode()).decode()}

    def endpoint(self, operation: str) -> Endpoint:
        return Endpoint("deletions/users", 100, rates=((1, 1.0),))

    def item(self, operation: str, row: dict[str, Any], message_id: str) -> Any:
        return row["user_id"]

    def request(self, operation: str, items: list[Item]) -> Request:
        body = {
            "user_ids": [item.value for item in items],
            "requester": self.given["requester"],
            # Who is not there is forgotten.
            "ignore_invalid_id": "true",
            "delete_from_org": "false",
        }
        headers, base = needed_to_forget(self.app_headers), needed_to_forget(self.app_address)
        return Request("/api/2/deletions/users", to_json(body), headers=headers, base=base)


class AmplitudeUsers(_People):
    """Users by `user_id` or `device_id`; every other field is a property, and null takes it away.

    A profile that became part of another loses these properties.
    """

    modes = ("upsert",)
    options: ClassVar[dict[str, Option]] = {**_People.options, "batch_size": Option(int, default=100)}

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        super().__init__(options, delivery)
        self.require_key("user_id", "device_id")
        # Amplitude deletes users by their own ids only.
        self.can_delete = delivery.key == "user_id"

    def endpoint(self, operation: str) -> Endpoint:
        if operation == "delete":
            return super().endpoint(operation)
        # 1 MB, where as a form every quotation mark is three bytes; how many at once is not documented.
        return Endpoint("identify", self.given["batch_size"], 300_000, connections=4)

    def item(self, operation: str, row: dict[str, Any], message_id: str) -> Any:
        if operation == "delete":
            return super().item(operation, row, message_id)
        key = self.delivery.key
        whose = {key: self.checked_id(key, row[key])}
        if operation == "remove":
            row = dict.fromkeys(self.delivery.fields)
        held = {name: value for name, value in row.items() if value is not None and name != key}
        wiped = {name: "-" for name, value in row.items() if value is None and name != key}
        operations = {"$set": held, "$unset": wiped}
        return {**whose, "user_properties": {name: values for name, values in operations.items() if values}}

    def request(self, operation: str, items: list[Item]) -> Request:
        if operation == "delete":
            return super().request(operation, items)
        form = urlencode({"api_key": self.key, "identification": joined(items)}).encode()
        return Request("/identify", form, headers={"content-type": "application/x-www-form-urlencoded"})

    def read(self, operation: str, items: list[Item], response: httpx.Response) -> dict[int, str]:
        if operation != "delete" and response.text.strip() not in ("success", ""):
            try:
                code = json_object(response).get("code")
            except RefusedError:
                code = None
            if code != 200:
                raise BadRowsError(self.sentence(response))
        return {}


class AmplitudeCohorts(_People):
    """Users by `user_id` who are in the cohort that the option names by its id, as its address in Amplitude ends."""

    modes = ("audience",)
    options: ClassVar[dict[str, Option]] = {**_People.options, "cohort": Option(required=True)}

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        super().__init__(options, delivery)
        self.require_key("user_id")
        require_key_alone(self, "Send properties with the object user.")
        self.cohorts = (self.app_address(), self.app_headers())

    def endpoint(self, operation: str) -> Endpoint:
        if operation == "delete":
            return super().endpoint(operation)
        # One after the other: Amplitude answers 429 to two at the same cohort.
        return Endpoint("cohorts/membership", 10_000, 5_000_000)

    def request(self, operation: str, items: list[Item]) -> Request:
        if operation == "delete":
            return super().request(operation, items)
        members = {
            "ids": [item.value for item in items],
            # What Amplitude calls user ids here.
            "id_type": "BY_NAME",
            "operation": "ADD" if operation == "upsert" else "REMOVE",
        }
        body = {"cohort_id": self.given["cohort"], "skip_invalid_ids": True, "memberships": [members]}
        base, headers = self.cohorts
        return Request("/api/3/cohorts/membership", to_json(body), headers=headers, base=base)

    def read(self, operation: str, items: list[Item], response: httpx.Response) -> dict[int, str]:
        if operation == "delete":
            return {}
        results = json_object(response, "memberships_result")["memberships_result"]
        skipped = {str(each) for result in results for each in result.get("skipped_ids") or []}
        if operation == "remove":
            # Whom Amplitude does not know is in no cohort.
            return {}
        return {
            position: "no user with this user_id is known"
            for position, item in enumerate(items)
            if item.value in skipped
        }


class AmplitudeEvents(_Amplitude):
    """Events: event, time, user_id or device_id or both, and properties (JSON).

    Amplitude deduplicates by device and `insert_id`, which is the key, for seven days.
    """

    modes = ("append",)

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        super().__init__(options, delivery)
        self.require_field("event")
        self.require_field("time")
        if not set(delivery.fields) & {"user_id", "device_id"}:
            self.refuse("fields must have 'user_id' or 'device_id'.")

    def endpoint(self, operation: str) -> Endpoint:
        return Endpoint("batch", 2000, 20_000_000, connections=4)

    def item(self, operation: str, row: dict[str, Any], message_id: str) -> Any:
        event, moment = name_of(row), moment_of(row)
        ids = {name: self.checked_id(name, row[name]) for name in ("user_id", "device_id") if row.get(name)}
        if not ids:
            raise RowError("nobody did it: neither user_id nor device_id")
        own = ("event", "time", "user_id", "device_id", self.delivery.key)
        return {
            "event_type": event,
            "time": milliseconds(moment),
            "insert_id": message_id,
            "event_properties": properties_of(row, own),
            **ids,
        }

    def request(self, operation: str, items: list[Item]) -> Request:
        head = to_json({"api_key": self.key, "options": {"min_id_length": self.given["min_id_length"]}})
        return Request("/batch", head[:-1] + b',"events":' + joined(items) + b"}")

    def deliver(self, operation: str, items: list[Item]) -> dict[int, str]:
        rejected: dict[int, str] = {}
        left = list(range(len(items)))
        while left:
            chunk = [items[position] for position in left]
            response = self.call(self.endpoint(operation), self.request(operation, chunk), chunk, good={400})
            if response.status_code != 400:
                break
            # None of it was taken, but Amplitude says because of which.
            wrong = self._wrong(response, len(chunk))
            rejected |= {left[index]: words for index, words in wrong.items()}
            left = [position for index, position in enumerate(left) if index not in wrong]
        return rejected

    def _wrong(self, response: httpx.Response, count: int) -> dict[int, str]:
        """The events that an answer 400 names, and why; it names at least one, or an error is raised."""
        answer = json_object(response)
        error = str(answer.get("error", ""))
        if answer.get("missing_field") == "api_key" or "api key" in error.lower():
            raise RefusedError(self.sentence(response), is_final=True)
        wrong: dict[int, str] = dict.fromkeys(answer.get("silenced_events") or [], "the device is silenced")
        for name, problem in (
            ("events_with_invalid_fields", "invalid"),
            ("events_with_missing_fields", "missing"),
            ("events_with_invalid_id_lengths", "of a wrong length"),
        ):
            for field, indexes in (answer.get(name) or {}).items():
                wrong |= dict.fromkeys(indexes, f"{field} is {problem}: {error}")
        wrong = {index: words for index, words in wrong.items() if 0 <= index < count}
        if not wrong:
            raise BadRowsError(self.sentence(response))
        return wrong
