"""Google's Data Manager API, as far as the members of a Customer Match audience go."""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar

from aiohttp import web

from cdi.simulator.base import Handler, Refused, SimulatedTool, json_body
from cdi.simulator.hashed_audience import HashedAudience, is_hash

TOKEN = "simulated0google0token"
ACCOUNT, AUDIENCE = "1234567890", "777"
_COMMON = {"destinations", "audienceMembers", "encoding", "encryptionInfo", "validateOnly"}
_KNOWN = {"ingest": _COMMON | {"consent", "termsOfService"}, "remove": _COMMON}
_PARTS = ("givenName", "familyName", "regionCode", "postalCode")


class GoogleAds(SimulatedTool):
    """One audience of one account. A request with a fault is refused as a whole, with the paths of its faults."""

    name = "google_ads"
    environment: ClassVar[dict[str, str]] = {"CDI_GOOGLE_ADS_URL": "{url}", "CDI_GOOGLE_ADS_TOKEN": TOKEN}
    rates: ClassVar[dict[str, tuple[int, float]]] = {"ingest": (300, 60.0), "remove": (300, 60.0)}

    def __init__(self) -> None:
        super().__init__()
        self.members = HashedAudience()
        self.token, self.token_seconds = TOKEN, 3600
        self.bad: set[str] = set()
        """Identifiers that Google will not take, for reasons of its own."""
        self.most_violations = 1000
        self.bodies: deque[tuple[str, dict[str, Any]]] = deque(maxlen=100)
        """The last requests: what was asked for, and the JSON."""

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [
            ("POST", "/audienceMembers:ingest", self.ingest),
            ("POST", "/audienceMembers:remove", self.remove),
            ("POST", "/token", self.give_token),
        ]

    def state(self) -> dict[str, Any]:
        return {"members": len(self.members)}

    def too_many(self) -> Refused:
        return _refused(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota).")

    async def give_token(self, request: web.Request) -> web.Response:
        """A new access token for a service account; the one before is over."""
        form = await request.post()
        if form.get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" or not form.get("assertion"):
            return web.json_response({"error": "invalid_grant", "error_description": "Invalid JWT"}, status=400)
        self.counts["tokens"] += 1
        self.token = f"{TOKEN}{self.counts['tokens']}"
        return web.json_response({"access_token": self.token, "expires_in": self.token_seconds, "token_type": "Bearer"})

    async def ingest(self, request: web.Request) -> web.Response:
        """Add members."""
        body = await self._body(request, "ingest")
        terms = body.get("termsOfService", {}).get("customerMatchTermsOfServiceStatus")
        if terms != "ACCEPTED":
            raise _invalid([("terms_of_service", "TERMS_AND_CONDITIONS_NOT_SIGNED")])
        return self._apply("ingest", body, self.members.add)

    async def remove(self, request: web.Request) -> web.Response:
        """Remove members."""
        return self._apply("remove", await self._body(request, "remove"), self.members.remove)

    async def _body(self, request: web.Request, method: str) -> dict[str, Any]:
        if request.headers.get("authorization") != f"Bearer {self.token}":
            raise _refused(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
        body = json_body(request, await request.read())
        self.bodies.append((method, body))
        if unknown := body.keys() - _KNOWN[method]:
            raise _refused(400, "INVALID_ARGUMENT", f'Invalid JSON payload received. Unknown name "{min(unknown)}"')
        if body.get("encoding") != "HEX":
            raise _invalid([("encoding", "REQUIRED_FIELD_MISSING")])
        for destination in body.get("destinations") or [{}]:
            account = destination.get("operatingAccount", {})
            if account != {"accountType": "GOOGLE_ADS", "accountId": ACCOUNT}:
                raise _refused(403, "PERMISSION_DENIED", "The caller does not have permission")
            if destination.get("productDestinationId") != AUDIENCE:
                raise _invalid([("destinations[0].product_destination_id", "INVALID_USER_LIST_ID")])
        return body

    def _apply(self, method: str, body: dict[str, Any], apply: Any) -> web.Response:
        members = body.get("audienceMembers", [])
        if not members or len(members) > 10_000:
            raise _invalid([("audience_members", "TOO_MANY_AUDIENCE_MEMBERS")])
        found = [self._identifiers(member) for member in members]
        violations = [
            (f"audience_members.audience_members[{index}].user_data", problem)
            for index, (_, problem) in enumerate(found)
            if problem
        ]
        if violations:
            raise _invalid(violations[: self.most_violations])
        for identifiers, _ in found:
            apply(identifiers)
        return web.json_response({"requestId": f"request-{method}-{self.counts['requests']}"})

    def _identifiers(self, member: dict[str, Any]) -> tuple[list[str], str]:
        """What a member is known by, and what is wrong with it."""
        known: list[str] = []
        given = member.get("userData", {}).get("userIdentifiers", [])
        if not given:
            return known, "REQUIRED_FIELD_MISSING"
        if len(given) > 10:
            return known, "TOO_MANY_USER_IDENTIFIERS"
        for identifier in given:
            (name, value), *others = identifier.items()
            if others:
                return known, "INVALID_AUDIENCE_MEMBER"
            if name == "address":
                if not all(value.get(part) for part in _PARTS) or value["regionCode"] != value["regionCode"].upper():
                    return known, "INVALID_COUNTRY_CODE"
                if not is_hash(value["givenName"]) or not is_hash(value["familyName"]):
                    return known, "INVALID_SHA256_FORMAT"
                known.append(" ".join(str(value[part]) for part in _PARTS))
            elif name not in ("emailAddress", "phoneNumber") or not is_hash(value):
                return known, "INVALID_SHA256_FORMAT"
            else:
                known.append(value)
            if known[-1] in self.bad:
                return known, "INVALID_AUDIENCE_MEMBER"
        return known, ""


def _refused(status: int, kind: str, message: str, details: list[dict[str, Any]] | None = None) -> Refused:
    return Refused(
        status, {"error": {"code": status, "message": message, "status": kind, "details": details or []}}
    )  # fmt: skip


def _invalid(violations: list[tuple[str, str]]) -> Refused:
    detail = {
        "@type": "type.googleapis.com/google.rpc.BadRequest",
        "fieldViolations": [
            {"field": field, "description": "There was a problem with the request.", "reason": reason}
            for field, reason in violations
        ],
    }
    return _refused(400, "INVALID_ARGUMENT", "There was a problem with the request.", [detail])
