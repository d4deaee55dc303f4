"""Slack, as far as one incoming webhook goes."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from aiohttp import web

from cdi.simulator.base import Handler, Refused, SimulatedTool

PLACE = "T0SIMULATED/B0SIMULATED/aSecretOfTheSimulator"


class Slack(SimulatedTool):
    """The messages of a channel, in their order."""

    name = "slack"
    environment: ClassVar[dict[str, str]] = {"CDI_SLACK_SECRET_URL": f"{{url}}/services/{PLACE}"}
    rates: ClassVar[dict[str, tuple[int, float]]] = {"post": (1, 1.0)}

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []
        self.is_archived = False

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [("POST", "/services/{place:.*}", self.post)]

    def state(self) -> dict[str, Any]:
        return {"messages": len(self.messages)}

    def too_many(self) -> Refused:
        return Refused(429, {"ok": False, "error": "rate_limited"}, {"Retry-After": "1"})

    async def post(self, request: web.Request) -> web.Response:
        """Take a message; a refusal is one word."""
        if request.match_info["place"] != PLACE:
            return web.Response(status=404, text="no_service")
        if self.is_archived:
            return web.Response(status=410, text="channel_is_archived")
        try:
            text = json.loads(await request.read())["text"]
        except (ValueError, KeyError, TypeError):
            return web.Response(status=400, text="invalid_payload")
        if not text:
            return web.Response(status=400, text="no_text")
        self.messages.append(text)
        return web.Response(text="ok")
