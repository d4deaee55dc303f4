"""Meta, as far as the members of custom audiences go."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from aiohttp import web

from cdi.simulator.base import Handler, Refused, SimulatedTool, json_body
from cdi.simulator.hashed_audience import HashedAudience, is_hash

TOKEN = "simulated0meta0token"
AUDIENCE = "23840000000000001"
_HASHED = {"EMAIL", "PHONE", "GEN", "DOBY", "DOBM", "DOBD", "LN", "FN", "FI", "ST", "CT", "ZIP", "COUNTRY"}
_PLAIN = {"EXTERN_ID", "MADID"}
_IDENTIFIES = ("EMAIL", "PHONE", "EXTERN_ID", "MADID")


class Meta(SimulatedTool):
    """One custom audience. Whatever is wrong, Meta answers 400, and says only how many entries are invalid."""

    name = "meta"
    environment: ClassVar[dict[str, str]] = {"CDI_META_URL": "{url}", "CDI_META_TOKEN": TOKEN}

    def __init__(self) -> None:
        super().__init__()
        self.members = HashedAudience()
        self.sessions: set[int] = set()
        self.is_flagged = False
        self.is_throttled = False

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [("POST", "/{audience}/users", self.users), ("DELETE", "/{audience}/users", self.users)]

    def state(self) -> dict[str, Any]:
        return {"members": len(self.members)}

    async def users(self, request: web.Request) -> web.Response:
        """Add members, or remove them."""
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            raise _refused(190, "Invalid OAuth access token - Cannot parse access token", kind="OAuthException")
        if request.match_info["audience"] != AUDIENCE:
            raise _refused(100, "Unsupported post request. Object does not exist", 33, "GraphMethodException")
        if self.is_throttled:
            raise _refused(80003, "There have been too many calls to this ad-account. Wait a bit and try again.")
        if self.is_flagged:
            raise _refused(100, "Invalid parameter", 1713230)
        body = json_body(request, await request.read())
        schema, data = self._payload(body)
        bad = [row for row in data if not _is_valid(schema, row)]
        for row in data:
            known = [value for name, value in zip(schema, row, strict=True) if name in _IDENTIFIES and value]
            if row not in bad:
                (self.members.add if request.method == "POST" else self.members.remove)(known)
        return web.json_response(
            {
                "audience_id": AUDIENCE,
                "session_id": str(body["session"]["session_id"]),
                "num_received": len(data),
                "num_invalid_entries": len(bad),
                "invalid_entry_samples": bad[:10],
            }
        )

    def _payload(self, body: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
        session, payload = body.get("session"), body.get("payload")
        if not isinstance(session, dict) or not isinstance(payload, dict):
            raise _refused(100, "(#100) The parameter session is required")
        if session.get("session_id") in self.sessions or session.get("batch_seq") != 1:
            raise _refused(100, "(#100) This batch of the session was received already")
        schema, data = payload.get("schema"), payload.get("data")
        if not schema or set(schema) - _HASHED - _PLAIN or any(len(row) != len(schema) for row in data):
            raise _refused(100, "(#100) Invalid schema")
        if len(data) > 10_000:
            raise _refused(100, "(#100) The number of users exceeds 10000")
        self.sessions.add(session["session_id"])
        return schema, data


def _is_valid(schema: list[str], row: list[str]) -> bool:
    values = dict(zip(schema, row, strict=True))
    if not any(values.values()):
        return False
    if values.get("MADID") and not re.fullmatch(r"[0-9a-fA-F-]{36}", values["MADID"]):
        return False
    return all(is_hash(value) for name, value in values.items() if value and name in _HASHED)


def _refused(code: int, message: str, subcode: int | None = None, kind: str = "OAuthException") -> Refused:
    error = {"message": message, "type": kind, "code": code, "fbtrace_id": "A0"}
    return Refused(400, {"error": error | ({"error_subcode": subcode} if subcode else {})})
