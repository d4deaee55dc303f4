"""Messages in Segment's format: one visit of one person on one device, and where all records gather."""

from __future__ import annotations

from collections import Counter, defaultdict
from random import Random
from typing import Any

import orjson

from cdi.demo_data import dirt
from cdi.demo_data.assortment import CAMPAIGN_REFERRERS, REFERRERS, SITE
from cdi.demo_data.persons import Device, Person
from cdi.demo_data.world import DAY, World, iso, uuid

SERVER_CONTEXT = {"library": {"name": "analytics-python", "version": "2.3.4"}, "channel": "server"}


class Outbox:
    """All records of a chunk of people, in memory until the chunk is written."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.messages: defaultdict[int, list[tuple[int, bytes]]] = defaultdict(list)
        """Day of arrival (days since 1970) to (received at, line)."""
        self.tables: defaultdict[str, list[tuple[int, Any]]] = defaultdict(list)
        """Name of a table of another source to (time, record), kept in the order of time when written."""
        self.identifiers: list[tuple[str, str, str, str]] = []
        """The truth: person, identifier type, value, kind."""
        self.people: list[tuple[Any, ...]] = []
        self.counts: Counter[str] = Counter()
        self.person: Person
        self._seen: dict[tuple[str, str], str] = {}

    def begin(self, person: Person) -> None:
        """From here on, what is noted belongs to `person`."""
        self.person = person
        self._seen = {}

    def note(self, kind_of_identifier: str, value: str, kind: str = "own") -> None:
        """Remember for the truth that an identifier of the person is in the raw data; kind: what is odd."""
        self._seen.setdefault((kind_of_identifier, value), kind)

    def note_email(self, email: str) -> None:
        """Remember an e-mail of the person as their own, shared with others, or mistyped."""
        email = email.lower()
        kind = "own" if email == self.person.email else "shared" if email == self.person.shared_email else "typo"
        self.note("email", email, kind)

    def end(self) -> None:
        """Write the person's identifiers to the truth."""
        person_id = self.person.person_id
        self.identifiers.extend((person_id, *key, kind) for key, kind in self._seen.items())

    def add(self, table: str, time: int, record: Any) -> bool:
        """Keep a record of another source, unless it has not happened yet; returns whether it was kept."""
        if time >= self.world.end:
            return False
        self.tables[table].append((time, record))
        self.counts[table] += 1
        return True

    def add_line(self, received: int, line: bytes) -> None:
        """Keep one line of a file of messages."""
        self.messages[received // DAY].append((received, line))
        self.counts["segment/messages"] += 1


class Visit:
    """One person on one device, or a server that acts for them (device None), from a moment on."""

    def __init__(
        self,
        outbox: Outbox,
        person: Person,
        time: int,
        device: Device | None,
        anonymous_id: str | None = None,
        campaign: dict[str, str] | None = None,
        delay: int = 0,
    ) -> None:
        self.outbox = outbox
        self.person = person
        self.rng: Random = person.rng
        self.time = time
        self.device = device
        self.delay = delay
        self.anonymous_id = device.anonymous_id if device else anonymous_id
        self.user_id = device.user_id if device else person.user_id
        self.context = dict(device.context) if device else dict(SERVER_CONTEXT)
        self.is_web = device is not None and device.platform == "web"
        if campaign:
            self.context["campaign"] = campaign
        if device and device.kind != "kiosk":
            self._attach_consent()

    def _attach_consent(self) -> None:
        if self.person.has_answered:
            self.context["consent"] = {"categoryPreferences": self.person.consent}

    def answer_consent(self, consent: dict[str, bool]) -> None:
        """The person answers the consent banner; every message from here on carries the answer."""
        self.person.consent, self.person.has_answered = consent, True
        self._attach_consent()
        if consent:
            self.track("Segment Consent Preference Updated")

    def track(self, event: str, properties: dict[str, Any] | None = None) -> int | None:
        """Send a track event; returns when it happened, None where it would only arrive after the window."""
        return self._send("track", {"event": event, "properties": properties or {}})

    def look_at(self, name: str, path: str, category: str | None = None) -> None:
        """Open a page (web) or screen (app)."""
        if self.is_web:
            referrer = self.context["page"]["url"] if "page" in self.context else self._came_from()
            page = {"path": path, "referrer": referrer, "title": name, "url": SITE + path}
            self.context["page"] = page
            self._send("page", {"name": name, "properties": page | {"category": category} if category else page})
        else:
            self._send("screen", {"name": name, "properties": {"category": category} if category else {}})

    def _came_from(self) -> str:
        """The page on another site that the visit began on, empty where there was none."""
        if campaign := self.context.get("campaign"):
            return CAMPAIGN_REFERRERS.get(campaign["source"], "")
        if self.device and self.device.kind == "kiosk":
            return ""
        return self.person.ways.choices(tuple(REFERRERS), tuple(REFERRERS.values()))[0]

    def log_in(self, user_id: str, traits: dict[str, Any]) -> None:
        """Become known: identify with traits; every message from here on carries the user id."""
        self.user_id = user_id
        if self.device:
            self.device.user_id = user_id
        self._send("identify", {"traits": traits})

    def log_out(self) -> None:
        """Leave the device to whoever comes next."""
        self.track("Signed Out")
        self.user_id = None
        if self.device:
            self.device.user_id = None

    def alias(self, previous_id: str) -> None:
        """Say that `previous_id` was the same person."""
        self._send("alias", {"previousId": previous_id})

    def group(self, group_id: str, traits: dict[str, Any]) -> None:
        """Say that the person belongs to an account."""
        self._send("group", {"groupId": group_id, "traits": traits})

    def _send(self, kind: str, fields: dict[str, Any]) -> int | None:
        rng, outbox, device = self.rng, self.outbox, self.device
        time = self.time
        self.time = time + 1_200 + int(rng.expovariate(1 / 22_000))
        fault = dirt.draw(rng)
        sent = time + self.delay + int(rng.random() * 400)
        if fault == "late":
            sent += dirt.late_by(rng)
        received = sent + 40 + int(rng.random() * 300)
        if received >= outbox.world.end or time < outbox.world.start:
            return None
        skew = device.skew if device else 0
        original = time + skew
        if fault == "future":
            original += int(rng.uniform(30, 3_000) * DAY)
        elif fault == "wrong_property" and kind == "track":
            fields["properties"] = dirt.spoil(rng, fields["properties"])
        elif fault == "misspelt" and kind == "track":
            fields["event"] = dirt.misspell(rng, fields["event"])
        user_id, anonymous_id = self.user_id, self.anonymous_id
        if fault == "junk_id":
            user_id = rng.choice(dirt.JUNK_IDS)
        elif user_id:
            outbox.note("user_id", user_id, "own" if user_id == self.person.user_id else "second")
        message: dict[str, Any] = {"type": kind, "messageId": uuid(rng)}
        if anonymous_id:
            message["anonymousId"] = anonymous_id
            outbox.note("anonymous_id", anonymous_id, device.kind if device else "own")
        if user_id:
            message["userId"] = user_id
        message["originalTimestamp"] = iso(original)
        sent_by_device = sent + skew
        message["sentAt"] = iso(sent_by_device)
        message["receivedAt"] = iso(received)
        message["timestamp"] = iso(received - (sent_by_device - original))
        message["context"] = self.context
        message["integrations"] = {}
        message.update(fields)
        self._note(fields)
        outbox.add_line(received, orjson.dumps(message))
        if fault == "duplicate":
            later = dirt.sent_again_after(rng)
            if received + later < outbox.world.end:
                message["sentAt"] = iso(sent_by_device + later)
                message["receivedAt"] = iso(received + later)
                outbox.add_line(received + later, orjson.dumps(message))
        elif fault == "unplanned":
            self.track(rng.choice(dirt.UNPLANNED_EVENTS), {"label": "x"})
        return time

    def _note(self, fields: dict[str, Any]) -> None:
        values = fields.get("traits") or fields.get("properties") or {}
        if email := values.get("email"):
            self.outbox.note_email(email)
        if phone := values.get("phone"):
            self.outbox.note("phone", phone)
        if loyalty_id := values.get("loyalty_id"):
            self.outbox.note("loyalty_id", loyalty_id)
        if self.device:
            for identifier in self.device.identifiers:
                self.outbox.note(*identifier)
