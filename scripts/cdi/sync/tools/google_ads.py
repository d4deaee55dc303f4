"""Google Ads: members of Customer Match audiences, by the Data Manager API, hashed before they leave.

Limits, answers and normal forms: https://developers.google.com/data-manager/api/devguides/limits and
.../devguides/concepts/formatting. Google says at once only whether a request is well-formed; what became of its members
it knows later, and never by row.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any, ClassVar

import httpx

from cdi.sync.tools import normalise
from cdi.sync.tools.answers import json_object
from cdi.sync.tools.base import Delivery, Option, RefusedError
from cdi.sync.tools.google_login import CREDENTIALS_OPTION, google_login
from cdi.sync.tools.http import BadRowsError, Endpoint, HttpTool, Item, Request, RowError, joined
from cdi.sync.tools.json_values import to_json

log = logging.getLogger(__name__)

ADDRESS = ("given_name", "family_name", "region_code", "postal_code")
"""Parts of an address: Google compares it where all four are known."""
KEYS = ("email_address", "phone_number")
SCOPE = "https://www.googleapis.com/auth/datamanager"
MOST_IDENTIFIERS = 10
ROUNDS = 5
"""Requests without the rows that the one before named, before they are looked for in halves."""


class _NamedRowsError(BadRowsError):
    """Google refused a request and named the rows that are why, by their position in it."""

    def __init__(self, message: str, rows: dict[int, str]) -> None:
        super().__init__(message)
        self.rows = rows


class GoogleAdsAudience(HttpTool):
    """Members of the audience whose id is `audience` in the Google Ads account `account`.

    email_address and phone_number may be lists. Who leaves the model leaves the audience by the key alone.
    """

    base_url = "https://datamanager.googleapis.com/v1"
    url_env = "CDI_GOOGLE_ADS_URL"
    modes = ("audience",)
    options: ClassVar[dict[str, Option]] = {
        "token_env": Option(default="CDI_GOOGLE_ADS_TOKEN"),
        **CREDENTIALS_OPTION,
        "account": Option(required=True),
        "audience": Option(required=True),
        # The manager account, where access is by one.
        "login_account": Option(default=""),
        # The Google Cloud project whose quota counts, where the token does not say.
        "quota_project": Option(default=""),
        # Nobody but who declares a sync can accept Google's terms.
        "customer_match_terms": Option(required=True, choices=("accepted",)),
        # What the members agreed to, by the Digital Markets Act.
        "ad_user_data": Option(choices=("granted", "denied")),
        "ad_personalization": Option(choices=("granted", "denied")),
        # The country of phone numbers without a country code, where region_code does not say.
        "region": Option(default=""),
    }

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        super().__init__(options, delivery)
        self.login = google_login(self.given, SCOPE)
        self.require_key(*KEYS)
        known = (*KEYS, *ADDRESS)
        if unknown := [name for name in delivery.fields if name not in known]:
            self.refuse(f"Google knows no field '{unknown[0]}'.", f"Map columns to some of: {', '.join(known)}.")
        some = [name for name in ADDRESS if name in delivery.fields]
        if some and len(some) < len(ADDRESS):
            self.refuse(f"an address has {', '.join(ADDRESS)}, but fields has only {', '.join(some)}.")
        self.destination = {"operatingAccount": _account(self, "account")}
        if self.given["login_account"]:
            self.destination["loginAccount"] = _account(self, "login_account")
        self.destination["productDestinationId"] = self.given["audience"]
        self.consent = {
            name: f"CONSENT_{self.given[option].upper()}"
            for name, option in (("adUserData", "ad_user_data"), ("adPersonalization", "ad_personalization"))
            if self.given[option]
        }

    def headers(self) -> dict[str, str]:
        project = self.given["quota_project"]
        return {"x-goog-user-project": project} if project else {}

    def authentication(self) -> httpx.Auth:
        return self.login

    def secrets(self) -> list[str]:
        return [*super().secrets(), str(self.login.credentials.token or "")]

    def endpoint(self, operation: str) -> Endpoint:
        # Both share the limits of the project.
        rates = ((300, 60.0), (100_000, 86_400.0))
        return Endpoint("audienceMembers", 10_000, 4_000_000, rates=rates, connections=4)

    def item(self, operation: str, row: dict[str, Any], message_id: str) -> Any:
        identifiers = list(self._identifiers(row))
        if not any(_KEY_NAMES[self.delivery.key] in identifier for identifier in identifiers):
            raise RowError(f"{self.delivery.key} is missing")
        if len(identifiers) > MOST_IDENTIFIERS:
            raise RowError(f"more than {MOST_IDENTIFIERS} identifiers")
        return {"userData": {"userIdentifiers": identifiers}}

    def request(self, operation: str, items: list[Item]) -> Request:
        head: dict[str, Any] = {"destinations": [self.destination], "encoding": "HEX"}
        if operation == "upsert":
            head["termsOfService"] = {"customerMatchTermsOfServiceStatus": "ACCEPTED"}
            head |= {"consent": self.consent} if self.consent else {}
        body = to_json(head)[:-1] + b',"audienceMembers":' + joined(items) + b"}"
        return Request(f"/audienceMembers:{'remove' if operation == 'remove' else 'ingest'}", body)

    def deliver(self, operation: str, items: list[Item]) -> dict[int, str]:
        rejected: dict[int, str] = {}
        for _ in range(ROUNDS):
            others = [position for position in range(len(items)) if position not in rejected]
            if not others:
                return rejected
            try:
                super().deliver(operation, [items[position] for position in others])
                return rejected
            except _NamedRowsError as error:
                # Nothing of the request was taken: once more, without the rows that Google names.
                refused = error
                rejected |= {others[position]: why for position, why in error.rows.items() if position < len(others)}
        raise BadRowsError(refused.message)

    def read(self, operation: str, items: list[Item], response: httpx.Response) -> dict[int, str]:
        answer = json_object(response, "requestId")
        # With it Google says later how many members it could not use, and why.
        log.info("Google took request %s of %s rows", answer["requestId"], len(items))
        return {}

    def refusal(self, response: httpx.Response) -> RefusedError:
        refusal = super().refusal(response)
        if not isinstance(refusal, BadRowsError):
            return refusal
        rows: dict[int, str] = {}
        for field, reason in _violations(response):
            if found := _MEMBER.search(field):
                rows.setdefault(int(found[1]), normalise.without_hashes(reason))
            elif field.startswith(_NO_MEMBER):
                return RefusedError(f"{refusal.message} ({field}: {reason})", is_final=True)
        return _NamedRowsError(refusal.message, rows) if rows else refusal

    def words(self, response: httpx.Response) -> str:
        try:
            said = str(response.json()["error"]["message"])
        except (ValueError, KeyError, TypeError):
            said = response.text
        return normalise.without_hashes(said)

    def _identifiers(self, row: dict[str, Any]) -> Iterator[dict[str, Any]]:
        region = normalise.country(row.get("region_code"))
        for address in _values(row.get("email_address")):
            yield {"emailAddress": normalise.hashed(address, normalise.google_email)}
        # A key has to look the same when nothing else is left of its row.
        near = "" if self.delivery.key == "phone_number" else region
        for number in _values(row.get("phone_number")):
            yield {"phoneNumber": normalise.hashed(number, lambda text: self._phone(text, near))}
        given, family = (normalise.hashed(row.get(name), normalise.name) for name in ADDRESS[:2])
        code = str(row.get("postal_code") or "").strip()
        if given and family and region and code:
            yield {
                "address": {"givenName": given, "familyName": family, "regionCode": region.upper(), "postalCode": code}
            }

    def _phone(self, text: str, region: str) -> str:
        digits = normalise.phone(text, region, self.given["region"])
        return f"+{digits}" if digits else ""


_KEY_NAMES = {"email_address": "emailAddress", "phone_number": "phoneNumber"}
# Both spellings occur: that of the messages, and that of their JSON.
_MEMBER = re.compile(r"audience_?members\[(\d+)\]", re.IGNORECASE)
_NO_MEMBER = ("destination", "terms", "consent", "encoding", "encryption")


def _violations(response: httpx.Response) -> Iterator[tuple[str, str]]:
    """Path and reason of every field that an answer 400 complains of."""
    try:
        details = response.json()["error"]["details"]
        for detail in details:
            for violation in detail.get("fieldViolations", []):
                yield str(violation["field"]), str(violation.get("reason") or violation.get("description", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        return


def _values(value: Any) -> list[Any]:
    """The values of a field that may be a list, without those that are none."""
    values = value if isinstance(value, list) else [value]
    return [each for each in values if each is not None and str(each).strip()]


def _account(tool: GoogleAdsAudience, option: str) -> dict[str, str]:
    number = tool.given[option].replace("-", "")
    if not number.isdecimal():
        tool.refuse(f"{option} is not the number of a Google Ads account.")
    return {"accountType": "GOOGLE_ADS", "accountId": number}
