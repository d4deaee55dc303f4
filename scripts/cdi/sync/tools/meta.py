"""Meta: members of custom audiences, hashed before they leave.

Limits, answers and normal forms:
https://developers.facebook.com/documentation/ads-commerce/marketing-api/audiences/guides/custom-audiences
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, ClassVar

import httpx

from cdi.sync.tools import normalise
from cdi.sync.tools.answers import after_taking, json_object
from cdi.sync.tools.base import Delivery, Option, RefusedError
from cdi.sync.tools.http import BadRowsError, Endpoint, HttpTool, Item, Request, RowError, joined
from cdi.sync.tools.json_values import to_json


def _gender(value: Any) -> str:
    return initial if (initial := normalise.letters(value)[:1]) in ("m", "f") else ""


def _number(digits: int, least: int, most: int) -> Callable[[Any], str]:
    def normal(value: Any) -> str:
        text = str(value).strip()
        if text and not (text.isdecimal() and least <= int(text) <= most):
            raise RowError("a part of the date of birth is out of range")
        return text.zfill(digits) if text else ""

    return normal


HASHED: dict[str, Callable[[Any], str]] = {
    "EMAIL": normalise.email,
    "PHONE": normalise.phone,
    "FN": normalise.letters,
    "LN": normalise.letters,
    "FI": lambda value: normalise.letters(value)[:1],
    "GEN": _gender,
    "DOBY": _number(4, 1900, 2100),
    "DOBM": _number(2, 1, 12),
    "DOBD": _number(2, 1, 31),
    "CT": normalise.letters,
    "ST": normalise.letters,
    "ZIP": normalise.postal_code,
    "COUNTRY": normalise.country,
}
"""Fields that Meta compares by their hash, and their normal form."""
PLAIN = ("EXTERN_ID", "MADID")
"""Fields that it takes as they are."""
KEYS = ("EMAIL", "PHONE", *PLAIN)
"""Fields that identify somebody on their own."""

_COUNTS = ("num_received", "num_invalid_entries")
_THROTTLED = {4, 17, 32, 613, *range(80000, 80015)}
_ROWS_MAY_BE_WHY = {100}
_NO_SUCH_OBJECT, _FLAGGED = 33, 1713230


class MetaAudience(HttpTool):
    """Members of the custom audience whose id is `audience`, by Meta's own names of fields (EMAIL, PHONE, FN, ...).

    Who leaves the model leaves the audience by the key alone.
    """

    base_url = "https://graph.facebook.com/v25.0"
    url_env = "CDI_META_URL"
    modes = ("audience",)
    options: ClassVar[dict[str, Option]] = {
        "token_env": Option(default="CDI_META_TOKEN"),
        "audience": Option(required=True),
        # The country of phone numbers without a country code, where COUNTRY does not say.
        "region": Option(default=""),
        "batch_size": Option(int, default=10_000),
    }

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        super().__init__(options, delivery)
        self.token = self.environment("token_env")
        if not self.given["audience"].isdecimal():
            self.refuse("audience is not the number of a custom audience.")
        if not 1 <= self.given["batch_size"] <= 10_000:
            self.refuse("batch_size must be from 1 to 10,000, which is the most that Meta takes.")
        self.require_key(*KEYS)
        if unknown := [name for name in delivery.fields if name not in HASHED and name not in PLAIN]:
            self.refuse(
                f"Meta knows no field '{unknown[0]}'.", f"Map columns to some of: {', '.join([*HASHED, *PLAIN])}."
            )

    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"}

    def endpoint(self, operation: str) -> Endpoint:
        return Endpoint("users", self.given["batch_size"], 4_000_000)

    def item(self, operation: str, row: dict[str, Any], message_id: str) -> Any:
        values = [self._value(name, row) for name in self._schema(operation)]
        if not self._value(self.delivery.key, row):
            raise RowError(f"{self.delivery.key} is missing")
        return values

    def request(self, operation: str, items: list[Item]) -> Request:
        # Each request is an upload of its own: how many rows a run has is not known when its first ones leave.
        session = {
            "session_id": secrets.randbits(53),
            "batch_seq": 1,
            "last_batch_flag": True,
            "estimated_num_total": len(items),
        }
        body = b'{"session":%s,"payload":{"schema":%s,"data":%s}}' % (
            to_json(session), to_json(self._schema(operation)), joined(items),
        )  # fmt: skip
        return Request(f"/{self.given['audience']}/users", body, "DELETE" if operation == "remove" else "POST")

    def deliver(self, operation: str, items: list[Item]) -> dict[int, str]:
        request = self.request(operation, items)
        answer = json_object(self.call(self.endpoint(operation), request, items), *_COUNTS)
        received, invalid = (answer[name] for name in _COUNTS)
        if received != len(items):
            raise RefusedError("num_received is not what was sent", in_doubt=True)
        if invalid == len(items):
            return dict.fromkeys(range(len(items)), "invalid, by num_invalid_entries")
        if not invalid:
            return {}
        # Which ones Meta does not say: halves find them, and whom it took already it takes again.
        half = len(items) // 2
        with after_taking():
            rejected = self.deliver(operation, items[:half])
            others = self.deliver(operation, items[half:])
        return rejected | {half + position: reason for position, reason in others.items()}

    def words(self, response: httpx.Response) -> str:
        error = _error(response)
        said = " ".join(str(error[part]) for part in ("message", "error_user_msg") if error.get(part))
        return normalise.without_hashes(said or response.text)

    def refusal(self, response: httpx.Response) -> RefusedError:
        # The code says what is wrong; the status is 400 for most of it.
        error = _error(response)
        code, subcode = error.get("code"), error.get("error_subcode")
        if code is None:
            return super().refusal(response)
        message = f"{self.sentence(response)} (code {code})"
        if code in _ROWS_MAY_BE_WHY and subcode not in (_NO_SUCH_OBJECT, _FLAGGED):
            return BadRowsError(message)
        # Also a limit of the account, which takes minutes to be free again: the next run goes on.
        return RefusedError(message, in_doubt=bool(error.get("is_transient")) and code not in _THROTTLED, is_final=True)

    def _schema(self, operation: str) -> tuple[str, ...]:
        return self.delivery.fields if operation == "upsert" else (self.delivery.key,)

    def _value(self, name: str, row: dict[str, Any]) -> str:
        value = row.get(name)
        if name in PLAIN:
            return "" if value is None else str(value)
        if name == "PHONE":
            # A key has to look the same when nothing else is left of its row.
            near = "" if name == self.delivery.key else row.get("COUNTRY")
            return normalise.hashed(value, lambda text: normalise.phone(text, near, self.given["region"]))
        return normalise.hashed(value, HASHED[name])


def _error(response: httpx.Response) -> dict[str, Any]:
    try:
        error = response.json()["error"]
    except (ValueError, KeyError, TypeError):
        return {}
    return error if isinstance(error, dict) else {}
