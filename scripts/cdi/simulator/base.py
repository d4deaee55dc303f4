"""What every simulated tool has: who may come in, what it does wrong, and what it holds."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Faults:
    """What a tool does wrong, for tests."""

    answers: list[int | str | None] = field(default_factory=list)
    """One per request, first to last: a status code to refuse with; "drop" to take the rows and close the connection
    without an answer; "half" to take them and break off in the middle of the answer; None for nothing wrong."""
    shares: dict[int | str, float] = field(default_factory=dict)
    """After those: an answer as above, to the share of requests that get it, by chance."""
    retry_after: str | None = None
    """What an answer 429 asks for."""
    words: str = "{}"
    """The body of a refusal."""
    seconds: float = 0.0
    """Time that every answer takes once the rows are taken."""
    chance: random.Random = field(default_factory=lambda: random.Random(1))

    def next(self) -> int | str | None:
        """What goes wrong with the request at hand."""
        if self.answers:
            return self.answers.pop(0)
        point = self.chance.random() if self.shares else 1.0
        for answer, share in self.shares.items():
            if point < share:
                return answer
            point -= share
        return None


class SimulatedTool:
    """One tool of the server, below /<name>/.

    A subclass names its `routes` and keeps in memory what the tool would keep. A handler raises `Refused` for what the
    tool would refuse, with the tool's own status and words.
    """

    name: ClassVar[str]
    environment: ClassVar[dict[str, str]] = {}
    """Variables that a sync to this tool needs, with their values; {url} is the tool's address."""
    rates: ClassVar[dict[str, tuple[int, float]]] = {}
    """Requests per seconds by the name of a handler; beyond them the answer is 429."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.counts: Counter[str] = Counter()
        self.keeps_limits = False
        """Whether `rates` are enforced."""
        self._times: dict[str, deque[float]] = {}

    def routes(self) -> list[tuple[str, str, Handler]]:
        """Method, path below /<name> and handler of everything that can be asked."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """What it holds, in numbers, for people to look at."""
        return {}

    async def handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a request as the tool does, or as `faults` want it."""
        await request.read()
        self.counts["requests"] += 1
        fault = self.faults.next()
        if isinstance(fault, int):
            return self._refusal(fault, self.faults.words)
        try:
            self._check_rate(handler.__name__)
            response = await handler(request)
        except Refused as refused:
            response = web.json_response(refused.body, status=refused.status, headers=refused.headers)
        if self.faults.seconds:
            await asyncio.sleep(self.faults.seconds)
        if fault in ("drop", "half") and request.transport is not None:
            if fault == "half":
                body = response.body if isinstance(response, web.Response) and response.body else b"{}"
                text = bytes(body)
                request.transport.write(
                    f"HTTP/1.1 {response.status} OK\r\ncontent-length: {len(text) + 10}\r\n\r\n".encode()
                    + text[: len(text) // 2]
                )
            request.transport.close()
        return response

    def _refusal(self, status: int, words: str) -> web.Response:
        headers = {"retry-after": self.faults.retry_after} if status == 429 and self.faults.retry_after else {}
        return web.Response(status=status, text=words, content_type="application/json", headers=headers)

    def _check_rate(self, endpoint: str) -> None:
        if not self.keeps_limits or endpoint not in self.rates:
            return
        calls, seconds = self.rates[endpoint]
        times = self._times.setdefault(endpoint, deque())
        now = time.monotonic()
        while times and times[0] <= now - seconds:
            times.popleft()
        if len(times) >= calls:
            self.counts["too_many_requests"] += 1
            raise self.too_many()
        times.append(now)

    def too_many(self) -> Refused:
        """What the tool says to requests beyond its limits."""
        return Refused(429, {"error": "too many requests"})


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, body: Any = None, headers: dict[str, str] | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.body = {} if body is None else body
        self.headers = headers or {}


def json_body(request: web.Request, body: bytes) -> Any:
    """The JSON of a request; refused with 400 where it is none."""
    try:
        return json.loads(body)
    except ValueError:
        raise Refused(400, {"error": "the body is no JSON"}) from None
