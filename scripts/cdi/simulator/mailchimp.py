"""Mailchimp, as far as one list goes: its members, their tags, and its segments."""

from __future__ import annotations

import base64
import hashlib
from typing import Any, ClassVar

from aiohttp import web

from cdi.simulator.base import Handler, Refused, SimulatedTool, json_body

KEY = "0d5c1f2a9b8e7d6c5b4a39281706f5e4-us6"
LIST = "57afe96172"
STATUSES = ("subscribed", "unsubscribed", "cleaned", "pending", "transactional")


class Mailchimp(SimulatedTool):
    """Members by the MD5 of their address, the segments of the list, and who was deleted for good."""

    name = "mailchimp"
    environment: ClassVar[dict[str, str]] = {"CDI_MAILCHIMP_URL": "{url}", "CDI_MAILCHIMP_API_KEY": KEY}

    def __init__(self) -> None:
        super().__init__()
        self.members: dict[str, dict[str, Any]] = {}
        self.forgotten: set[str] = set()
        self.segments: dict[int, dict[str, Any]] = {
            1: {"type": "static", "members": set()},
            2: {"type": "saved", "members": set()},
        }
        self.merge_fields = {"FNAME", "LNAME", "TIER"}
        """The ones that the list has; others are passed over."""
        self.under_way = 0

    def routes(self) -> list[tuple[str, str, Handler]]:
        member = "/lists/{list}/members/{hash}"
        return [
            ("GET", "/lists/{list}", self.list),
            ("POST", "/lists/{list}", self.batch),
            ("GET", "/lists/{list}/segments/{segment}", self.segment),
            ("POST", "/lists/{list}/segments/{segment}", self.change_segment),
            ("GET", member, self.member),
            ("PATCH", member, self.update),
            ("POST", f"{member}/tags", self.tag),
            ("POST", f"{member}/actions/delete-permanent", self.delete),
        ]

    def state(self) -> dict[str, Any]:
        return {"members": len(self.members), "forgotten": len(self.forgotten)}

    def put(self, address: str, status: str = "subscribed", **more: Any) -> None:
        """Somebody who is there without us."""
        self.members[hash_of(address)] = {
            "email_address": address, "status": status, "merge_fields": {}, "tags": set(), **more,
        }  # fmt: skip

    def by_address(self) -> dict[str, dict[str, Any]]:
        """The members by their addresses."""
        return {member["email_address"]: member for member in self.members.values()}

    async def handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Ten connections of a user at the same time, not one more."""
        self.under_way += 1
        self.counts["most_at_once"] = max(self.counts["most_at_once"], self.under_way)
        try:
            return await super().handle(request, handler)
        finally:
            self.under_way -= 1

    async def list(self, request: web.Request) -> web.Response:
        """What the list is."""
        self._check(request)
        return web.json_response({"id": LIST})

    async def batch(self, request: web.Request) -> web.Response:
        """Add and change members; who cannot be is named by the address, the others are taken."""
        self._check(request)
        body = json_body(request, await request.read())
        members = body.get("members")
        if not isinstance(members, list) or len(members) > 500:
            raise _problem(400, "Invalid Resource", "members: more than 500", field="members")
        for index, member in enumerate(members):
            _check_schema(member, f"members.item:{index}.")
        new, updated, errors = [], [], []
        seen: set[str] = set()
        for member in members:
            address = member["email_address"]
            problem = self._take(member, seen, changes=body.get("update_existing") is True)
            seen.add(hash_of(address))
            if isinstance(problem, tuple):
                errors.append({"email_address": address, "error": problem[1], "error_code": problem[0]})
            else:
                (new if problem else updated).append({"email_address": address})
        return web.json_response(
            {
                "new_members": new, "updated_members": updated, "errors": errors, "total_created": len(new),
                "total_updated": len(updated), "error_count": len(errors),
            }
        )  # fmt: skip

    def _take(self, member: dict[str, Any], seen: set[str], changes: bool) -> bool | tuple[str, str]:
        """Keep a member: whether it is new, or code and words of what is wrong."""
        address = member["email_address"]
        known = hash_of(address)
        if known in seen:
            return "ERROR_GENERIC", f"{address} is in this batch twice"
        if known in self.forgotten:
            return "ERROR_GENERIC", f"{address} was permanently deleted and cannot be re-imported. The contact must" \
                                    " re-subscribe to get back on the list."  # fmt: skip
        if address.endswith("@fake.example"):
            return "ERROR_GENERIC", f"{address} looks fake or invalid, please enter a real email address."
        there = self.members.get(known)
        if there and not changes:
            return "ERROR_CONTACT_EXISTS", f"{address} is already a list member, do you want to update?"
        if there and member.get("status") == "subscribed" and there["status"] in ("unsubscribed", "cleaned"):
            return "ERROR_GENERIC", f"{address} is in a compliance state due to unsubscribe, bounce, or compliance" \
                                    " review and cannot be subscribed."  # fmt: skip
        if not there:
            status = member.get("status") or member.get("status_if_new")
            if status not in STATUSES:
                return "ERROR_GENERIC", "status is required"
            self.put(address, status)
        self._change(known, member)
        return not there

    def _change(self, known: str, member: dict[str, Any]) -> None:
        there = self.members[known]
        for name, value in member.items():
            if name == "merge_fields":
                there[name] |= {tag: each for tag, each in value.items() if tag in self.merge_fields}
            elif name not in ("status_if_new", "email_address"):
                there[name] = value

    async def member(self, request: web.Request) -> web.Response:
        """What a member is."""
        there = self._member(request)
        return web.json_response({"email_address": there["email_address"], "status": there["status"]})

    async def update(self, request: web.Request) -> web.Response:
        """Change a member who is there."""
        self._member(request)
        body = json_body(request, await request.read())
        _check_schema({"email_address": "a@example.com"} | body, "")
        self._change(request.match_info["hash"], body)
        return web.json_response({"email_address": body.get("email_address")})

    async def tag(self, request: web.Request) -> web.Response:
        """Give a member tags, and take tags away."""
        there = self._member(request)
        for tag in json_body(request, await request.read())["tags"]:
            (there["tags"].add if tag["status"] == "active" else there["tags"].discard)(tag["name"])
        return web.Response(status=204)

    async def delete(self, request: web.Request) -> web.Response:
        """Forget a member: the address can never be imported again."""
        there = self._member(request)
        known = hash_of(there["email_address"])
        del self.members[known]
        self.forgotten.add(known)
        for segment in self.segments.values():
            segment["members"].discard(known)
        return web.Response(status=204)

    async def segment(self, request: web.Request) -> web.Response:
        """What a segment is."""
        return web.json_response({"type": self._segment(request)["type"]})

    async def change_segment(self, request: web.Request) -> web.Response:
        """Add and remove members of a static segment; addresses that the list does not know are passed over."""
        held = self._segment(request)["members"]
        body = json_body(request, await request.read())
        changes = {name: body.get(name, []) for name in ("members_to_add", "members_to_remove")}
        if any(len(addresses) > 500 for addresses in changes.values()):
            raise _problem(400, "Invalid Resource", "members_to_add: more than 500", field="members_to_add")
        added, removed = [], []
        for address in changes["members_to_add"]:
            known = hash_of(address)
            if known in self.members and self.members[known]["status"] != "archived" and known not in held:
                held.add(known)
                added.append({"email_address": self.members[known]["email_address"]})
        for address in changes["members_to_remove"]:
            if hash_of(address) in held:
                held.remove(hash_of(address))
                removed.append({"email_address": address})
        return web.json_response(
            {
                "members_added": added, "members_removed": removed, "errors": [], "total_added": len(added),
                "total_removed": len(removed), "error_count": 0,
            }
        )  # fmt: skip

    def addresses_in(self, segment: int) -> set[str]:
        """Who is in a segment."""
        return {self.members[known]["email_address"] for known in self.segments[segment]["members"]}

    def _check(self, request: web.Request) -> None:
        given = request.headers.get("authorization", "").removeprefix("Basic ")
        if base64.b64decode(given).decode().partition(":")[2] != KEY:
            raise _problem(401, "API Key Invalid", "Your API key may be invalid, or you've attempted to access the"
                                                   " wrong datacenter.")  # fmt: skip
        if self.under_way > 10:
            self.counts["too_many_requests"] += 1
            raise _problem(429, "Too Many Requests", "You have exceeded the limit of 10 simultaneous connections.")
        if request.match_info["list"] != LIST:
            raise _not_found()

    def _member(self, request: web.Request) -> dict[str, Any]:
        self._check(request)
        if request.match_info["hash"] not in self.members:
            raise _not_found()
        return self.members[request.match_info["hash"]]

    def _segment(self, request: web.Request) -> dict[str, Any]:
        self._check(request)
        number = request.match_info["segment"]
        if not number.isdecimal() or int(number) not in self.segments:
            raise _not_found()
        return self.segments[int(number)]


def hash_of(address: str) -> str:
    """What Mailchimp calls a member."""
    return hashlib.md5(address.lower().encode(), usedforsecurity=False).hexdigest()


def _check_schema(member: dict[str, Any], place: str) -> None:
    """One value of the wrong type makes Mailchimp refuse the request."""
    for name, value in {**member, **member.get("merge_fields", {})}.items():
        takes = {"vip": bool, "merge_fields": dict, "interests": dict, "location": dict}.get(name, str | int | float)
        if not isinstance(value, takes) or (isinstance(value, bool) and name != "vip"):
            kind = "NULL" if value is None else type(value).__name__
            detail = f"Schema describes another type, {kind} found instead"
            raise _problem(400, "Invalid Resource", detail, field=f"{place}{name}")
    if "@" not in member.get("email_address", ""):
        raise _problem(400, "Invalid Resource", "This value should be a valid email.", field=f"{place}email_address")


def _problem(status: int, title: str, detail: str, field: str = "") -> Refused:
    errors = {"errors": [{"field": field, "message": detail}]} if field else {}
    return Refused(status, {"type": "about:blank", "title": title, "status": status, "detail": detail, **errors})


def _not_found() -> Refused:
    return _problem(404, "Resource Not Found", "The requested resource could not be found.")
