"""A webhook: signed JSON batches to any HTTP address.

Each batch is one POST of {sync, run_id, operation, rows}. Idempotency-Key is the same when the same batch is sent
again; X-CDI-Signature is `sha256=` and the HMAC of the body. Only 2xx means taken.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, ClassVar

import httpx
import orjson
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential_jitter,
)

from cdi.errors import UsageError
from cdi.sync.tools.base import Batch, RefusedError, Tool

# httpx logs addresses, and these may hold a secret.
logging.getLogger("httpx").setLevel(logging.WARNING)
log = logging.getLogger(__name__)

ATTEMPTS = 5
LONGEST_WAIT = 60.0
"""Seconds between two attempts, at most."""


class _TryAgainError(Exception):
    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


class WebhookTool(Tool):
    """Posts batches to the address in the environment variable `url_env`."""

    options: ClassVar[dict[str, bool]] = {"url_env": True, "secret_env": False, "batch_size": False}

    def __init__(self, sync: str, options: dict[str, Any], root: Path, run_id: str, sequence: int) -> None:
        super().__init__(sync, options, root, run_id, sequence)
        self.url_env = options["url_env"]
        self.url = _from_environment(sync, self.url_env)
        secret_env = options.get("secret_env")
        self.secret = _from_environment(sync, secret_env).encode() if secret_env else None
        self.batch_rows = int(options.get("batch_size", 500))
        self.client = httpx.Client(timeout=httpx.Timeout(30.0, connect=10.0))
        self.first_wait = 0.5

    def send(self, batch: Batch) -> None:
        """Post a batch, and again while the receiver is away or asks us to wait."""
        body = orjson.dumps(
            {
                "sync": self.sync,
                "run_id": self.run_id,
                "operation": batch.operation,
                "rows": batch.rows.to_pylist(),
            },
            default=_plain,
            option=orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z,
        )
        headers = {"content-type": "application/json", "idempotency-key": batch.idempotency_key}
        if self.secret:
            headers["x-cdi-signature"] = "sha256=" + hmac.new(self.secret, body, hashlib.sha256).hexdigest()
        backoff = wait_exponential_jitter(initial=self.first_wait, max=LONGEST_WAIT, jitter=self.first_wait)

        def wait(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            after = error.after if isinstance(error, _TryAgainError) else None
            return min(after, LONGEST_WAIT) if after is not None else backoff(state)

        try:
            for attempt in Retrying(
                stop=stop_after_attempt(ATTEMPTS),
                wait=wait,
                retry=retry_if_exception_type(_TryAgainError),
                reraise=True,
            ):
                with attempt:
                    self._post(body, headers)
        except _TryAgainError as error:
            raise RefusedError(f"{error} after {ATTEMPTS} attempts") from None

    def _post(self, body: bytes, headers: dict[str, str]) -> None:
        try:
            response = self.client.post(self.url, content=body, headers=headers)
        except httpx.InvalidURL:
            raise RefusedError(f"the address in {self.url_env} is no URL") from None
        except httpx.UnsupportedProtocol:
            raise RefusedError(f"the address in {self.url_env} is no http or https URL") from None
        except httpx.TransportError as error:
            raise _TryAgainError(f"{type(error).__name__} at the address in {self.url_env}") from None
        if response.is_success:
            return
        if response.status_code in (408, 425, 429) or response.status_code >= 500:
            raise _TryAgainError(f"HTTP {response.status_code}", _retry_after(response))
        # The receiver's own words help, but may repeat what we sent.
        raise RefusedError(f"HTTP {response.status_code} {response.reason_phrase}".strip())

    def finish(self) -> None:
        """Close the connection."""
        self.client.close()

    abandon = finish


def _from_environment(sync: str, name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise UsageError(
            f"Sync {sync} needs the environment variable {name}, which is not set.", "Set it and sync again."
        )
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    return str(value)


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds that the receiver asks us to wait, as a number or as a date."""
    text = response.headers.get("retry-after", "")
    if text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
