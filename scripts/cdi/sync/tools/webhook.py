"""A webhook: signed JSON batches to any HTTP address.

Each batch is one POST of {sync, run_id, operation, key, rows}; `key` names the column that identifies a row. The
operation is upsert, remove (no longer in the audience) or delete (to be forgotten, by law).
Idempotency-Key is the same when the same batch is sent again because its fate is not known; X-CDI-Signature is
`sha256=` and the HMAC of the body. Only 2xx means taken.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any, ClassVar

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from cdi.errors import UsageError
from cdi.sync.tools.base import Batch, Delivery, Option, RefusedError, Tool
from cdi.sync.tools.json_values import to_json

# httpx logs addresses, and these may hold a secret.
logging.getLogger("httpx").setLevel(logging.WARNING)

ATTEMPTS = 5
FIRST_WAIT = 0.5
"""Seconds before the second attempt; each wait is about double the one before."""
LONGEST_WAIT = 60.0
"""Seconds between two attempts, at most: a receiver that asks for more gets the rows in the next run."""
LONGEST_WORDS = 200
"""Characters of the receiver's own words that an error repeats."""

TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}
NOT_TAKEN = {425, 429}
"""Of these answers, the ones that say for sure that the rows were not taken."""


class _TryAgainError(RefusedError):
    def __init__(self, message: str, in_doubt: bool, after: float | None = None) -> None:
        super().__init__(message, in_doubt)
        self.after = after


class WebhookTool(Tool):
    """Posts batches to the address in the environment variable `url_env`."""

    options: ClassVar[dict[str, Option]] = {
        "url_env": Option(required=True),
        "secret_env": Option(),
        "batch_size": Option(int),
    }
    can_delete = True

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        super().__init__(options, delivery)
        self.url_env = options["url_env"]
        self.url = _url(self.url_env)
        self.secret = _from_environment("secret_env", options["secret_env"]) if "secret_env" in options else ""
        self.batch_rows = options.get("batch_size", 500)
        if self.batch_rows < 1:
            raise UsageError(f"batch_size {self.batch_rows} is less than 1.")

    @cached_property
    def client(self) -> httpx.Client:
        """One connection for all batches."""
        return httpx.Client(timeout=httpx.Timeout(30.0, connect=10.0))

    def send(self, batch: Batch) -> None:
        """Post a batch, and again while the receiver is away or asks us to wait."""
        body = to_json(
            {
                "sync": self.delivery.sync,
                "run_id": self.delivery.run_id,
                "operation": batch.operation,
                "key": self.delivery.key,
                "rows": batch.rows.to_pylist(),
            }
        )
        headers = {"content-type": "application/json", "idempotency-key": batch.idempotency_key}
        if self.secret:
            digest = hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
            headers["x-cdi-signature"] = f"sha256={digest}"
        attempts: list[RefusedError] = []

        def post() -> None:
            try:
                self._post(batch, body, headers)
            except RefusedError as error:
                attempts.append(error)
                raise

        try:
            Retrying(
                stop=stop_after_attempt(ATTEMPTS),
                wait=_wait,
                retry=retry_if_exception(_is_worth_another),
                reraise=True,
            )(post)
        except RefusedError as error:
            after = f" after {len(attempts)} attempts" if len(attempts) > 1 else ""
            # One attempt whose fate is unknown is enough: the rows may have arrived with it.
            raise RefusedError(f"{error.message}{after}", any(item.in_doubt for item in attempts)) from None

    delete = send
    """The operation says what is to be done."""

    def _post(self, batch: Batch, body: bytes, headers: dict[str, str]) -> None:
        try:
            response = self.client.post(self.url, content=body, headers=headers)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise _TryAgainError(f"{type(error).__name__} at the address in {self.url_env}", in_doubt=False) from None
        except httpx.RequestError as error:
            raise _TryAgainError(f"{type(error).__name__} at the address in {self.url_env}", in_doubt=True) from None
        if response.is_success:
            return
        status = response.status_code
        words = self._words(response, batch)
        if status in TRY_AGAIN:
            raise _TryAgainError(words, in_doubt=status not in NOT_TAKEN, after=_retry_after(response))
        raise RefusedError(words, in_doubt=status >= 500)

    def _words(self, response: httpx.Response, batch: Batch) -> str:
        """What the receiver said, cut short, with every word masked that stands in what we sent."""
        sent = to_json([column.to_pylist() for column in batch.rows.columns]).decode()
        secret_words = {word.casefold() for word in _WORD.findall(f"{sent} {self.url} {self.secret}")}
        said = " ".join(response.text.split())
        text = f"{response.reason_phrase}: {said}" if _WORD.search(said) else response.reason_phrase
        # Masked first, then cut: half of a word would not be recognized.
        masked = _WORD.sub(lambda found: "***" if found[0].casefold() in secret_words else found[0], text[:10_000])
        cut = masked if len(masked) <= LONGEST_WORDS else masked[:LONGEST_WORDS] + "…"
        return f"HTTP {response.status_code} {cut}".strip()

    def finish(self) -> None:
        """Close the connection."""
        self.client.close()

    abandon = finish


_WORD = re.compile(r"\w+")


def _is_worth_another(error: BaseException) -> bool:
    return isinstance(error, _TryAgainError) and (error.after is None or error.after <= LONGEST_WAIT)


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, _TryAgainError) and error.after is not None:
        return error.after
    return min(wait_exponential_jitter(FIRST_WAIT, LONGEST_WAIT, jitter=FIRST_WAIT)(state), LONGEST_WAIT)


def _url(name: str) -> str:
    value = _from_environment("url_env", name)
    try:
        url = httpx.URL(value)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host:
        raise UsageError(f"url_env: the value of {name} is no http or https address.")
    return value


def _from_environment(option: str, name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise UsageError(f"{option}: the environment variable {name} is not set.", "Set it and sync again.")
    return value


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds that the receiver asks us to wait, as a number or as a date."""
    text = response.headers.get("retry-after", "")
    if text.isdecimal():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
