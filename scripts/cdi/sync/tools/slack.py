"""Slack: one message per run with how many rows were added, changed and removed, and nothing of what is in them.

It goes to an incoming webhook, whose address lets everybody write there:
https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, ClassVar

from cdi.sync.tools.base import Batch, Delivery, Option, Outcome, RefusedError
from cdi.sync.tools.http import Endpoint, HttpTool, Request
from cdi.sync.tools.json_values import to_json

_WEBHOOK = Endpoint("webhook", rates=((1, 1.0),))


class SlackSummary(HttpTool):
    """Posts what a run did; only once the message is there does the run count as delivered."""

    options: ClassVar[dict[str, Option]] = {
        # Named so that its value is masked wherever it would appear.
        "url_env": Option(default="CDI_SLACK_SECRET_URL"),
        "title": Option(),
    }
    modes = ("mirror", "audience", "upsert", "create", "append")
    commits_batches = False
    knows_repeats = False
    # Slack was never told who anybody is.
    can_delete = True

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        super().__init__(options, delivery)
        self.account = f"slack {hashlib.sha256(self.url.encode()).hexdigest()[:16]}"
        self.batch_rows = 50_000
        self.counts = (0, 0, 0)

    def endpoint(self, operation: str) -> Endpoint:
        return _WEBHOOK

    def start(self, added: int, changed: int, removed: int) -> None:
        self.counts = (added, changed, removed)

    def prepared(self, batch: Batch) -> Callable[[], Outcome]:
        return Outcome

    def finish(self) -> None:
        if any(self.counts):
            try:
                self._post()
            except RefusedError as error:
                raise RefusedError(self.masked(error.message, ()), error.in_doubt, error.is_final) from None
        super().finish()

    def _post(self) -> None:
        numbers = zip(self.counts, ("added", "changed", "removed"), strict=True)
        said = ", ".join(f"{count:,} {kind}" for count, kind in numbers if count)
        title = self.given["title"] or self.delivery.sync
        text = f"*{_escaped(title)}*: {said}"
        response = self.call(_WEBHOOK, Request("", to_json({"text": text})))
        if response.text.strip() != "ok":
            raise RefusedError("the answer is not the tool's own", in_doubt=True)


def _escaped(text: str) -> str:
    """Text without the three characters that make links and mentions in Slack."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
