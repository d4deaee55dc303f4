"""A webhook receiver: a real HTTP server that keeps what it was sent, for the demo, for tests and for trying out."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Faults:
    """What the receiver does wrong, for tests."""

    answers: list[int | str | None] = field(default_factory=list)
    """One per request, first to last: a status code to refuse with; "drop" to take the rows and close the connection
    without an answer; None for nothing wrong."""
    retry_after: str | None = None
    """What an answer 429 asks for."""
    words: str = "{}"
    """The body of a refusal."""
    seconds: float = 0.0
    """Time that every answer takes once the rows are taken."""


class WebhookReceiver:
    """Keeps the rows of every sync by their key, and counts requests; a repeated Idempotency-Key changes nothing.

    A context manager: `with WebhookReceiver(secret=b"...") as receiver: receiver.url`.
    """

    def __init__(self, port: int = 0, secret: bytes | None = None) -> None:
        self.secret = secret
        self.held: dict[str, dict[Any, dict[str, Any]]] = {}
        self.counts: Counter[str] = Counter()
        self.seen_keys: set[str] = set()
        self.faults = Faults()
        self.mutex = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self.server.daemon_threads = True

    @property
    def url(self) -> str:
        """The address to post to."""
        return f"http://127.0.0.1:{self.server.server_address[1]}/"

    def __enter__(self) -> WebhookReceiver:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def serve_forever(self) -> None:
        """Serve until interrupted."""
        self.server.serve_forever()

    def state(self) -> dict[str, Any]:
        """What GET /state answers: rows held per sync, and what came in."""
        with self.mutex:
            return {"held": {sync: len(rows) for sync, rows in sorted(self.held.items())}, **self.counts}

    def accept(self, body: bytes, signature: str, idempotency_key: str) -> int:
        """Take a request; returns the status code."""
        if self.secret is not None:
            expected = "sha256=" + hmac.new(self.secret, body, hashlib.sha256).hexdigest()
            if not hmac.compare_digest(expected, signature):
                return 401
        try:
            message = json.loads(body)
            sync, operation, rows = message["sync"], message["operation"], message["rows"]
            keyed = {row[message["key"]]: row for row in rows}
        except (ValueError, KeyError, TypeError):
            return 400
        with self.mutex:
            self.counts["requests"] += 1
            self.counts["rows"] += len(rows)
            if idempotency_key in self.seen_keys:
                self.counts["repeated_requests"] += 1
                return 200
            if idempotency_key:
                self.seen_keys.add(idempotency_key)
            held = self.held.setdefault(sync, {})
            if operation in ("remove", "delete"):
                for key in keyed:
                    held.pop(key, None)
            else:
                held.update(keyed)
        return 200

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                fault = receiver.faults.answers.pop(0) if receiver.faults.answers else None
                if isinstance(fault, int):
                    self._answer(fault, receiver.faults.words.encode())
                    return
                status = receiver.accept(
                    body, self.headers.get("x-cdi-signature", ""), self.headers.get("idempotency-key", "")
                )
                if fault == "drop":
                    self.close_connection = True
                    return
                time.sleep(receiver.faults.seconds)
                self._answer(status, b"{}")

            def do_GET(self) -> None:
                if self.path == "/state":
                    self._answer(200, json.dumps(receiver.state()).encode())
                else:
                    self._answer(404, b"{}")

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                if status == 429 and receiver.faults.retry_after is not None:
                    self.send_header("retry-after", receiver.faults.retry_after)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Bodies and addresses are nobody's business."""

        return Handler
