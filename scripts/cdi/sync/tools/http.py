"""Delivery over HTTP: requests as large as a tool allows, its limits, patience with it, and its words row by row."""

from __future__ import annotations

import json
import logging
import os
import re
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from functools import cached_property, partial
from itertools import accumulate
from typing import Any, ClassVar

import httpx
import orjson
import pyarrow as pa
from pyrate_limiter import Limiter, Rate
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from cdi.errors import UsageError
from cdi.sync.tools.base import Batch, Delivery, Failure, Option, Outcome, RefusedError, Tool
from cdi.sync.tools.json_values import to_json

# httpx logs addresses, and these may hold a secret.
logging.getLogger("httpx").setLevel(logging.WARNING)

ATTEMPTS = 5
FIRST_WAIT = 0.5
"""Seconds before the second attempt; each wait is about double the one before."""
LONGEST_WAIT = 60.0
"""Seconds between two attempts, at most: a tool that asks for more gets the rows in the next run."""
LONGEST_WORDS = 200
"""Characters of the tool's own words that an error repeats."""
PATIENCE = 3
"""Requests refused one after the other before a run gives up on the tool."""
REJECTIONS = 20
"""Rows rejected before any was taken that make a run give up: then the rows are not the reason."""

PAGE_ROWS = 20_000
"""Rows that the state moves by at once: what is in doubt after a kill."""

JITTER = 100
"""Milliseconds by which requests may arrive closer together than they left: so much longer is each limit's period."""

TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}
NOT_TAKEN = {425, 429}
"""Of these answers, the ones that say for sure that the rows were not taken."""
BAD_ROWS = {400, 409, 413, 422}
"""Answers that a single row can be the reason of."""


class RowError(Exception):
    """A row cannot be sent as it is; the message says why, without its values."""


class BadRowsError(RefusedError):
    """The tool refused a request because of what is in it; nothing of it was taken."""


class _TryAgainError(RefusedError):
    def __init__(self, message: str, in_doubt: bool, after: float | None = None) -> None:
        super().__init__(message, in_doubt)
        self.after = after


@dataclass(frozen=True)
class Endpoint:
    """Where rows go, and what may go there at once."""

    name: str
    """What has one name has one rate limit."""
    max_rows: int = 1
    max_bytes: int = 1_000_000
    rates: tuple[tuple[int, float], ...] = ()
    """Requests per seconds, as many rules as the tool has."""
    connections: int = 1
    """Requests at the same time."""


@dataclass(frozen=True)
class Request:
    """One request; the address is the tool's or the one in `base`, and `path` what comes after it."""

    path: str
    content: bytes = b""
    method: str = "POST"
    params: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    base: str = ""


@dataclass(slots=True)
class Item:
    """A row on its way."""

    index: int
    """In the batch."""
    body: bytes
    """What it is in a request, as JSON."""
    message_id: str
    """See Batch.message_ids."""
    value: Any = None
    """What `HttpTool.item` made of it; None where a tool makes only bodies."""
    row: dict[str, Any] | None = None
    """Its fields; JSON is read, and what is null and to be skipped left out. None where the body has them all."""

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of the row, from wherever they are."""
        return json.loads(self.body, parse_float=Decimal) if self.row is None else self.row


class WrittenItems(Sequence[Item]):
    """Items that were written all at once, one after the other in memory; one is made only where somebody looks at it.

    bodies: what each is in a request, as JSON, and a comma.
    """

    def __init__(self, bodies: pa.StringArray, message_ids: list[str], first: int = 0) -> None:
        self.bodies = bodies
        self.message_ids = message_ids
        self.first = first

    def __len__(self) -> int:
        return len(self.message_ids)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            start, stop, _ = place.indices(len(self))
            bodies = self.bodies.slice(start, max(0, stop - start))
            return WrittenItems(bodies, self.message_ids[start:stop], self.first + start)
        index = range(len(self))[place]
        return Item(self.first + index, self.bodies[index].as_py()[:-1].encode(), self.message_ids[index])

    @property
    def _ends(self) -> memoryview:
        """Where each begins in memory, and where the last ends."""
        offset = self.bodies.offset
        return memoryview(self.bodies.buffers()[1]).cast("i")[offset : offset + len(self) + 1]

    @property
    def text(self) -> memoryview:
        """All of them, with commas between."""
        ends = self._ends
        return memoryview(self.bodies.buffers()[2])[ends[0] : max(ends[0], ends[-1] - 1)]

    def count_within(self, size: int) -> int:
        """How many from the first on have no more bytes together."""
        ends = self._ends
        return bisect_right(ends, ends[0] + size) - 1


_limiters: dict[tuple[str, str], Limiter] = {}
_limiters_mutex = threading.Lock()


def limiter(account: str, endpoint: Endpoint) -> Limiter | None:
    """The limiter that all syncs of an account share at an endpoint; None where there is no limit."""
    if not endpoint.rates:
        return None
    with _limiters_mutex:
        # By its name: syncs of one account that send batches of other sizes have the same limit.
        if (account, endpoint.name) not in _limiters:
            rates = [Rate(calls, round(seconds * 1000) + JITTER) for calls, seconds in endpoint.rates]
            _limiters[account, endpoint.name] = Limiter(sorted(rates, key=lambda rate: rate.interval))
        return _limiters[account, endpoint.name]


class HttpTool(Tool):
    """A tool behind an HTTP API.

    A subclass says where rows go (`endpoint`), what a row becomes (`item`), how items become a request (`request`) and
    which of them an answer rejects (`read`). What takes more than one request per chunk overrides `deliver`.
    """

    base_url: ClassVar[str] = ""
    """The vendor's address; empty where every customer has another."""
    url_env: ClassVar[str] = ""
    """Variable with another address, a region's or a simulator's; the option url_env names another variable."""
    options: ClassVar[dict[str, Option]] = {}
    timeout: ClassVar[float] = 30.0
    """Seconds that an answer may take."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.options = {"url_env": Option(default=cls.url_env, required=not cls.url_env)} | cls.options

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        super().__init__(options, delivery)
        for name, option in self.options.items():
            if option.type is int and self.given[name] is not None and self.given[name] < 1:
                self.refuse(f"{name} {self.given[name]} is less than 1.")
        self._variables: dict[str, str] = {}
        """Addresses that came from the environment, to where they stood."""
        self._usual: set[str] = set()
        """Addresses that are the vendor's, and so no secret."""
        self.url = self._address()
        self.resent = 0
        """Rows sent again in this run because nobody knew whether they had arrived."""
        self._mutex = threading.Lock()
        self._is_abandoned = threading.Event()
        self._refused_in_a_row = 0
        self._rejected_before_any = 0
        self._has_taken = False
        self._over: RefusedError | None = None
        self.account = f"{type(self).__module__.rpartition('.')[2]} {self.url}"
        self.batch_rows = self._batch_rows()

    # What a subclass says.

    def endpoint(self, operation: str) -> Endpoint:
        """Where rows of an operation go."""
        raise NotImplementedError

    def item(self, operation: str, row: dict[str, Any], message_id: str) -> Any:
        """What a row becomes in a request, as to be written in JSON; raises RowError for one that cannot be sent."""
        raise NotImplementedError

    def request(self, operation: str, items: Sequence[Item]) -> Request:
        """The request of some rows."""
        raise NotImplementedError

    def read(self, operation: str, items: Sequence[Item], response: httpx.Response) -> dict[int, str]:
        """The rows that a good answer rejects all the same: position in `items` to the tool's words.

        Raises RefusedError where a good status hides a bad answer.
        """
        return {}

    def parties(self, items: Sequence[Item]) -> Iterable[Sequence[Item]]:
        """Items that may share a request: by whom they are about, where a request names only one."""
        return [items]

    def pause(self, response: httpx.Response) -> float | None:
        """Seconds that an answer asks us to wait before the next attempt; None where it does not say."""
        return _retry_after(response)

    def deliver(self, operation: str, items: Sequence[Item]) -> dict[int, str]:
        """Deliver some rows: the position in `items` of those that were rejected, to the tool's words.

        Raises BadRowsError where one of them made the tool refuse all, RefusedError where no row is the reason.
        """
        request = self.request(operation, items)
        return self.read(operation, items, self.call(self.endpoint(operation), request, items))

    def headers(self) -> dict[str, str]:
        """Headers of every request: who we are."""
        return {}

    def authentication(self) -> httpx.Auth | None:
        """What signs every request, where a header that stays the same is not enough."""
        return None

    def refusal(self, response: httpx.Response) -> RefusedError:
        """What an answer means that is neither good nor worth another attempt."""
        status, message = response.status_code, self.sentence(response)
        if status in BAD_ROWS:
            return BadRowsError(message)
        return RefusedError(message, in_doubt=status >= 500, is_final=status < 500)

    def words(self, response: httpx.Response) -> str:
        """What the tool said, in an answer that is not good; it is masked and cut later."""
        return response.text

    # What all have in common.

    def _address(self) -> str:
        return self.address("url_env", self.base_url)

    def address(self, option: str, usual: str) -> str:
        """The address in the variable that an option names, or the usual one; raises UsageError where it is none."""
        name = self.given[option]
        if usual and not os.environ.get(name):
            self._usual.add(usual)
            return usual
        value = self.environment(option)
        try:
            url = httpx.URL(value)
        except httpx.InvalidURL:
            url = httpx.URL("")
        if url.scheme not in ("http", "https") or not url.host:
            raise UsageError(f"{option}: the value of {name} is no http or https address.")
        self._variables[value] = name
        return value

    def regional_address(self, option: str, usual: str) -> str:
        """As `address`, of a tool whose second address belongs to the first: both of a region, or neither.

        Raises UsageError where only the first was set.
        """
        name, first = self.given[option], self._variables.get(self.url)
        if first and not os.environ.get(name):
            raise UsageError(
                f"{option}: the environment variable {name} is not set, but {first} is.",
                "Set both: they are of the same region.",
            )
        return self.address(option, usual)

    def _batch_rows(self) -> int:
        endpoint = self.endpoint("upsert")
        if self.knows_repeats:
            # As many requests as are worth one transaction of the state.
            return endpoint.max_rows * max(1, PAGE_ROWS // endpoint.max_rows)
        # Few: what is in doubt after a kill is sent again, and counts twice.
        return endpoint.max_rows * endpoint.connections

    @cached_property
    def client(self) -> httpx.Client:
        """The connections of all requests."""
        limits = httpx.Limits(max_connections=64)
        return httpx.Client(timeout=httpx.Timeout(self.timeout, connect=10.0), limits=limits, headers=self.headers(),
                            auth=self.authentication())  # fmt: skip

    def send(self, batch: Batch) -> Outcome:
        """Deliver a batch in as many requests as it takes."""
        return self.prepared(batch)()

    def prepared(self, batch: Batch) -> Callable[[], Outcome]:
        outcome = Outcome()
        items = self.items(batch, outcome)
        endpoint = self.endpoint(batch.operation)
        chunks = [chunk for party in self.parties(items) for chunk in _chunks(party, endpoint)]
        return partial(self._send_chunks, batch.operation, chunks, outcome)

    def _send_chunks(self, operation: str, chunks: list[Sequence[Item]], outcome: Outcome) -> Outcome:
        endpoint = self.endpoint(operation)

        def attempt(chunk: Sequence[Item]) -> dict[int, Failure]:
            return self._attempt(operation, chunk)

        if endpoint.connections == 1 or len(chunks) <= 1:
            failures = [attempt(chunk) for chunk in chunks]
        else:
            with ThreadPoolExecutor(endpoint.connections) as pool:
                try:
                    failures = list(pool.map(attempt, chunks))
                except BaseException:
                    # The others do not wait for the tool any more.
                    self._is_abandoned.set()
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise
        for found in failures:
            outcome.failures.update(found)
        outcome.is_over = self._over is not None
        return outcome

    def items(self, batch: Batch, outcome: Outcome) -> Sequence[Item]:
        """The rows of a batch on their way; those that cannot be sent go to the failures of `outcome`."""
        columns = {name: column.to_pylist() for name, column in zip(batch.rows.schema.names, batch.rows.columns,
                                                                     strict=True)}  # fmt: skip
        for name in self.delivery.json_fields & columns.keys():
            columns[name] = [None if text is None else orjson.loads(text) for text in columns[name]]
        skipped = self.delivery.skips_null if batch.operation == "upsert" else columns.keys() - {self.delivery.key}
        names = list(columns)
        items: list[Item] = []
        for index, (values, message_id) in enumerate(
            zip(zip(*columns.values(), strict=True), batch.message_ids, strict=True)
        ):
            row = dict(zip(names, values, strict=True))
            if batch.unchanged:
                known = batch.unchanged[index] - {self.delivery.key}
                row = {name: value for name, value in row.items() if name not in known}
            if skipped:
                row = {name: value for name, value in row.items() if value is not None or name not in skipped}
            try:
                value = self.item(batch.operation, row, message_id)
                items.append(Item(index, to_json(value), message_id, value, row))
            except RowError as error:
                outcome.failures[index] = Failure(str(error), is_rejected=True)
        return items

    def _attempt(self, operation: str, items: Sequence[Item]) -> dict[int, Failure]:
        """Deliver some rows, in halves where one of them is bad: index in the batch to what happened."""
        if self._over:
            failure = Failure(self._over.message)
            return {item.index: failure for item in items}
        try:
            rejected = self.deliver(operation, items)
        except BadRowsError as error:
            if len(items) == 1:
                reason = self.masked(error.message, items)
                self._count_rejected(reason)
                return {items[0].index: Failure(reason, is_rejected=True)}
            half = len(items) // 2
            return self._attempt(operation, items[:half]) | self._attempt(operation, items[half:])
        except RefusedError as error:
            masked = RefusedError(self.masked(error.message, items), error.in_doubt, error.is_final)
            with self._mutex:
                self._refused_in_a_row += 1
                if error.is_final or self._refused_in_a_row >= PATIENCE:
                    self._over = RefusedError(masked.message)
            return {item.index: Failure(masked.message, masked.in_doubt) for item in items}
        with self._mutex:
            self._refused_in_a_row = 0
            self._has_taken = self._has_taken or len(rejected) < len(items)
        return {
            items[position].index: Failure(self.masked(reason, items), is_rejected=True)
            for position, reason in rejected.items()
        }

    def _count_rejected(self, reason: str) -> None:
        with self._mutex:
            self._rejected_before_any += 1
            if not self._has_taken and self._rejected_before_any >= REJECTIONS:
                self._over = RefusedError(f"every row so far was refused: {reason}")

    def call(
        self, endpoint: Endpoint, request: Request, items: Sequence[Item] = (), good: set[int] | None = None
    ) -> httpx.Response:
        """Send a request, and again while the tool is away or asks us to wait; its good answer, or any in `good`.

        Raises BadRowsError for 400, 409, 413 and 422, RefusedError for everything else that is not 2xx.
        """
        attempts: list[RefusedError] = []
        limit = limiter(self.account, endpoint)

        def attempt() -> httpx.Response:
            if limit:
                limit.try_acquire(endpoint.name)
            if self._is_abandoned.is_set():
                raise RefusedError("stopped", is_final=True)
            if any(error.in_doubt for error in attempts) and not self.knows_repeats:
                with self._mutex:
                    self.resent += len(items)
            try:
                return self._call_once(request, good or set())
            except RefusedError as error:
                attempts.append(error)
                raise

        try:
            return Retrying(
                stop=stop_after_attempt(ATTEMPTS),
                wait=_wait,
                retry=retry_if_exception(_is_worth_another),
                sleep=self._is_abandoned.wait,
                reraise=True,
            )(attempt)
        except RefusedError as error:
            after = f" after {len(attempts)} attempts" if len(attempts) > 1 else ""
            # One attempt whose fate is unknown is enough: the rows may have arrived with it.
            if isinstance(error, BadRowsError) and not any(item.in_doubt for item in attempts):
                raise
            asks_for_long = isinstance(error, _TryAgainError) and (error.after or 0) > LONGEST_WAIT
            raise RefusedError(
                f"{error.message}{after}", any(item.in_doubt for item in attempts), error.is_final or asks_for_long
            ) from None

    def _call_once(self, request: Request, good: set[int]) -> httpx.Response:
        base = request.base or self.url
        variable = self._variables.get(base, self.given["url_env"])
        place = f"at {base}" if base in self._usual else f"at the address in {variable}"
        try:
            response = self.client.request(
                request.method,
                base.rstrip("/") + request.path if request.path else base,
                content=request.content,
                params=request.params or None,
                headers={"content-type": "application/json"} | request.headers,
            )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise _TryAgainError(f"{type(error).__name__} {place}", in_doubt=False) from None
        except httpx.RequestError as error:
            raise _TryAgainError(f"{type(error).__name__} {place}", in_doubt=True) from None
        if response.is_success or response.status_code in good:
            return response
        status = response.status_code
        message = self.sentence(response)
        if status in TRY_AGAIN:
            raise _TryAgainError(message, in_doubt=status not in NOT_TAKEN, after=self.pause(response))
        raise self.refusal(response)

    def sentence(self, response: httpx.Response) -> str:
        """Status and words of an answer; `masked` makes it fit to be kept."""
        said = " ".join(self.words(response).split())
        reason = response.reason_phrase
        return f"HTTP {response.status_code} {f'{reason}: {said}' if _WORD.search(said) else reason}".strip()

    def masked(self, message: str, items: Iterable[Item]) -> str:
        """A message cut short, with every word masked that stands in what we sent."""
        sent = to_json([list(item.fields.values()) for item in items]).decode()
        secrets = " ".join(str(value) for value in self.secrets())
        secret_words = {word.casefold() for word in _WORD.findall(f"{sent} {self.url} {secrets}")} - _NO_SECRETS
        # Masked first, then cut: half of a word would not be recognized.
        text = _WORD.sub(lambda found: "***" if found[0].casefold() in secret_words else found[0], message[:10_000])
        return text if len(text) <= LONGEST_WORDS + 40 else text[: LONGEST_WORDS + 40] + "…"

    def secrets(self) -> list[str]:
        """Values that no message may hold: those of all variables that options name."""
        return [os.environ.get(str(self.given.get(name)), "") for name in self.options if name.endswith("_env")]

    def finish(self) -> None:
        """Close the connections."""
        self.client.close()

    abandon = finish


_WORD = re.compile(r"\w+")
_NO_SECRETS = {"http", "https", "true", "false", "null", "com"}


def _chunks(items: Sequence[Item], endpoint: Endpoint) -> Iterator[Sequence[Item]]:
    """Items in their order, as many at once as fit."""
    # Room for what a request says besides, and for a comma each.
    room = endpoint.max_bytes - 1000
    start = 0
    while start < len(items):
        chunk = items[start : start + endpoint.max_rows]
        if isinstance(chunk, WrittenItems):
            count = chunk.count_within(room)
        else:
            count = bisect_right(list(accumulate([len(item.body) + 1 for item in chunk])), room)
        chunk = chunk[: max(1, count)]
        yield chunk
        start += len(chunk)


def joined(items: Sequence[Item]) -> bytes:
    """The bodies of items as one JSON array."""
    text = items.text if isinstance(items, WrittenItems) else b",".join([item.body for item in items])
    return b"".join([b"[", text, b"]"])


def message_ids(items: Sequence[Item]) -> list[str]:
    """The ids of items."""
    return items.message_ids if isinstance(items, WrittenItems) else [item.message_id for item in items]


def _is_worth_another(error: BaseException) -> bool:
    return isinstance(error, _TryAgainError) and (error.after is None or error.after <= LONGEST_WAIT)


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, _TryAgainError) and error.after is not None:
        return error.after
    return min(wait_exponential_jitter(FIRST_WAIT, LONGEST_WAIT, jitter=FIRST_WAIT)(state), LONGEST_WAIT)


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds that the tool asks us to wait, as a number or as a date."""
    text = response.headers.get("retry-after", "")
    if text.isdecimal():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
