"""Google Analytics 4: events and user properties, by the Measurement Protocol.

It answers 2xx to whatever it gets and drops what it does not like, so everything that is documented to be dropped is
refused here. Limits: https://developers.google.com/analytics/devguides/collection/protocol/ga4/sending-events and
.../reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar
from urllib.parse import quote

from cdi.errors import UsageError
from cdi.sync.tools.answers import json_object
from cdi.sync.tools.base import Delivery, Option
from cdi.sync.tools.event_fields import microseconds, moment_of, name_of, properties_of
from cdi.sync.tools.forgetting import needed_to_forget
from cdi.sync.tools.google_login import CREDENTIALS_OPTION, google_login
from cdi.sync.tools.http import BadRowsError, Endpoint, HttpTool, Item, Request, RowError
from cdi.sync.tools.json_values import to_json
from cdi.sync.tools.membership import AUDIENCE_OPTION, audience_property, with_membership

OLDEST = timedelta(hours=72)
MOST_PROPERTIES = 25
DELETION_SCOPE = "https://www.googleapis.com/auth/analytics.edit"
LONGEST_NAME = 40
LONGEST_VALUES = {"page_title": 300, "page_referrer": 420, "page_location": 1000}
"""Parameters that may be longer than the others."""
LONGEST_USER_NAME, LONGEST_USER_VALUE = 24, 36
RESERVED_PREFIXES = ("google_", "ga_", "firebase_")
RESERVED_USER_NAMES = frozenset(
    {"first_open_time", "first_visit_time", "last_deep_link_referrer", "user_id", "first_open_after_install"}
)
RESERVED_EVENTS = frozenset(
    {"ad_activeview", "ad_click", "ad_exposure", "ad_query", "ad_reward", "adunit_exposure", "app_clear_data",
     "app_exception", "app_install", "app_remove", "app_store_refund", "app_update", "app_upgrade",
     "dynamic_link_app_open", "dynamic_link_app_update", "dynamic_link_first_open", "error", "firebase_campaign",
     "first_open", "first_visit", "in_app_purchase", "notification_dismiss", "notification_foreground",
     "notification_open", "notification_receive", "os_update", "session_start", "user_engagement"}
)  # fmt: skip


CONSENT = ("ad_user_data", "ad_personalization")
"""Fields of what somebody agreed to: GRANTED or DENIED."""


class _Ga4(HttpTool):
    """What goes to a data stream: a website's by `client_id`, or an app's by `app_instance_id`."""

    base_url = "https://www.google-analytics.com"
    url_env = "CDI_GA4_URL"
    options: ClassVar[dict[str, Option]] = {
        "measurement_id": Option(),
        "firebase_app_id": Option(),
        "secret_env": Option(default="CDI_GA4_API_SECRET"),
        # Asks Google first what it thinks of a request, which makes twice as many.
        "validate": Option(bool, default=False),
    }

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        super().__init__(options, delivery)
        streams = {"client_id": "measurement_id", "app_instance_id": "firebase_app_id"}
        named = [instance for instance, option in streams.items() if self.given[option]]
        if len(named) != 1:
            self.refuse("measurement_id (of a website) or firebase_app_id (of an app) must be given, and not both.")
        self.instance = named[0]
        stream = self.given[streams[self.instance]]
        self.account += f" {stream}"
        self.stream = {streams[self.instance]: stream, "api_secret": self.environment("secret_env")}

    @property
    def own(self) -> tuple[str, ...]:
        """Fields that say whom a row is about, rather than what of them."""
        return (self.instance, "user_id", *CONSENT)

    def parties(self, items: list[Item]) -> Iterable[list[Item]]:
        parties: dict[Any, list[Item]] = {}
        for item in items:
            consent = item.value.get("consent") or {}
            party = item.value[self.instance], item.value.get("user_id"), *(consent.get(name) for name in CONSENT)
            parties.setdefault(party, []).append(item)
        return parties.values()

    def whose(self, row: dict[str, Any]) -> dict[str, Any]:
        """What a request says of whom its rows are about."""
        if not row.get(self.instance):
            raise RowError(f"{self.instance} is missing")
        consent = {name: row[name] for name in CONSENT if row.get(name) is not None}
        if not set(consent.values()) <= {"GRANTED", "DENIED"}:
            raise RowError(f"{' and '.join(consent)} must be GRANTED or DENIED")
        ids = {name: str(row[name]) for name in (self.instance, "user_id") if row.get(name)}
        return ids | ({"consent": consent} if consent else {})

    def request(self, operation: str, items: list[Item]) -> Request:
        return Request("/mp/collect", to_json(self.payload(items)), params=self.stream)

    def payload(self, items: list[Item]) -> dict[str, Any]:
        """The body of a request about one person."""
        raise NotImplementedError

    def deliver(self, operation: str, items: list[Item]) -> dict[int, str]:
        if operation != "delete" and self.given["validate"]:
            body = self.payload(items) | {"validation_behavior": "ENFORCE_RECOMMENDATIONS"}
            asked = Request("/debug/mp/collect", to_json(body), params=self.stream)
            messages = json_object(self.call(Endpoint("debug"), asked), "validationMessages")["validationMessages"]
            if messages:
                raise BadRowsError(str(messages[0].get("description", "")))
        return super().deliver(operation, items)


class Ga4Users(_Ga4):
    """User properties of those whom Analytics knows: every field that is not in `own`; null takes one away.

    Each change rides on an event, called as the option `event` says. Analytics has no audiences that others may write,
    so mode audience writes the property that the option names: "true" for members, "false" for who left.
    """

    modes = ("upsert", "audience")
    can_delete = True
    options: ClassVar[dict[str, Option]] = {
        **_Ga4.options,
        **AUDIENCE_OPTION,
        "event": Option(default="profile_updated"),
        "property": Option(),
        "token_env": Option(default="CDI_GA4_ACCESS_TOKEN"),
        **CREDENTIALS_OPTION,
        "admin_url_env": Option(default="CDI_GA4_ADMIN_URL"),
    }

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        super().__init__(options, delivery)
        self.require_key(self.instance)
        self.audience = audience_property(self)
        if problem := _name_problem(self.given["event"], LONGEST_NAME, RESERVED_EVENTS):
            self.refuse(f"event: {problem}")
        self.properties = [name for name in delivery.fields if name not in self.own]
        names = [*self.properties, *([self.audience] if self.audience else [])]
        for name in names:
            if problem := _name_problem(name, LONGEST_USER_NAME, RESERVED_USER_NAMES):
                self.refuse(f"'{name}' can be no user property: {problem}")
        if len(names) > MOST_PROPERTIES:
            self.refuse(f"{len(names)} user properties, but Analytics takes {MOST_PROPERTIES}.")

    def endpoint(self, operation: str) -> Endpoint:
        if operation == "delete":
            return Endpoint("submitUserDeletion")
        return Endpoint("mp/collect", 1, 130_000, connections=8)

    def item(self, operation: str, row: dict[str, Any], message_id: str) -> Any:
        whose = self.whose(row)
        if operation == "delete":
            return whose
        if operation == "remove":
            row = row | dict.fromkeys(() if self.audience else self.properties)
        row = with_membership(row, self.audience, operation)
        properties = {name: value for name, value in row.items() if name not in self.own}
        return {
            **whose,
            "user_properties": {
                name: {"value": _scalar(name, value, LONGEST_USER_VALUE)} for name, value in properties.items()
            },
        }

    def payload(self, items: list[Item]) -> dict[str, Any]:
        return {**items[0].value, "events": [{"name": self.given["event"], "params": {}}]}

    def request(self, operation: str, items: list[Item]) -> Request:
        if operation != "delete":
            return super().request(operation, items)
        login = needed_to_forget(lambda: google_login(self.given, DELETION_SCOPE))
        name = "clientId" if self.instance == "client_id" else "appInstanceId"
        return Request(
            f"/v1alpha/properties/{quote(needed_to_forget(self._property), safe='')}:submitUserDeletion",
            to_json({name: items[0].value[self.instance]}),
            headers={"authorization": f"Bearer {login.token()}"},
            base=self.address("admin_url_env", "https://analyticsadmin.googleapis.com"),
        )

    def _property(self) -> str:
        if not self.given["property"]:
            raise UsageError("the option property, the number of the Analytics property, is missing.")
        return self.given["property"]


class Ga4Events(_Ga4):
    """Events: event, time, client_id or app_instance_id, maybe user_id, and properties (JSON), which become parameters.

    Characters that no name may have become underscores: Order Completed is Order_Completed. Analytics cannot tell
    repeats.
    """

    modes = ("append",)
    knows_repeats = False
    options: ClassVar[dict[str, Option]] = {
        **_Ga4.options,
        # 500 for Analytics 360.
        "longest_value": Option(int, default=100),
    }

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        super().__init__(options, delivery)
        for name in ("event", "time", self.instance):
            self.require_field(name)

    def endpoint(self, operation: str) -> Endpoint:
        return Endpoint("mp/collect", 25, 130_000, connections=8)

    def item(self, operation: str, row: dict[str, Any], message_id: str) -> Any:
        name, moment = _name(name_of(row)), moment_of(row)
        if problem := _name_problem(name, LONGEST_NAME, RESERVED_EVENTS):
            raise RowError(f"event: {problem}")
        now = datetime.now(UTC)
        if not now - OLDEST < moment <= now:
            raise RowError("time is more than 72 hours ago or ahead")
        properties = properties_of(row, ("event", "time", self.delivery.key, *self.own))
        return {
            **self.whose(row),
            "event": {"name": name, "timestamp_micros": microseconds(moment), "params": self._params(properties)},
        }

    def _params(self, properties: dict[str, Any]) -> dict[str, Any]:
        params: dict[str, Any] = {}
        for given, value in properties.items():
            name = _name(given)
            if problem := _name_problem(name, LONGEST_NAME, frozenset()):
                raise RowError(f"property {given}: {problem}")
            if name in params:
                raise RowError(f"two properties are called {name} in Analytics")
            params[name] = (
                [self._thing(thing) for thing in value]
                if name == "items" and isinstance(value, list)
                else _scalar(given, value, LONGEST_VALUES.get(name, self.given["longest_value"]))
            )
        if len(params) > MOST_PROPERTIES:
            raise RowError(f"more than {MOST_PROPERTIES} properties")
        return params

    def _thing(self, thing: Any) -> dict[str, Any]:
        """One of the things that were looked at or bought: the only parameter that may have parts."""
        if not isinstance(thing, dict):
            raise RowError("items must be objects")
        return {
            name: _scalar(f"items.{name}", value, self.given["longest_value"])
            for name, value in thing.items()
            if value is not None
        }

    def payload(self, items: list[Item]) -> dict[str, Any]:
        whose = {name: value for name, value in items[0].value.items() if name != "event"}
        return {**whose, "events": [item.value["event"] for item in items]}


def _name(given: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]+", "_", given.strip())


def _name_problem(name: str, longest: int, reserved: frozenset[str]) -> str:
    """Why Analytics would drop something with this name; empty where it would not."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        return "a name starts with a letter and has letters, digits and underscores."
    if len(name) > longest:
        return f"a name has {longest} characters at most."
    return "Analytics keeps this name for itself." if name in reserved or name.startswith(RESERVED_PREFIXES) else ""


def _scalar(name: str, value: Any, longest: int) -> Any:
    """A value as Analytics takes it: a number, a short text, or null; raises RowError for any other."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or isinstance(value, int | float | Decimal):
        return value
    if isinstance(value, dict | list):
        raise RowError(f"{name} has parts, which Analytics drops")
    text = value.isoformat() if isinstance(value, date) else str(value)
    if len(text) > longest:
        raise RowError(f"{name} is longer than {longest} characters")
    return text
