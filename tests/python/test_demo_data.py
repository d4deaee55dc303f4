"""Demo data is repeatable, dirty in every promised way, exact about money, and its truth whole and apart."""

from __future__ import annotations

import csv
import gzip
import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest

from cdi.demo_data.dirt import JUNK_IDS, UNPLANNED_EVENTS
from cdi.demo_data.generate import generate, parse_end
from cdi.demo_data.money import contained_vat
from cdi.errors import UsageError

END = datetime(2026, 11, 23, 12, tzinfo=UTC)
MESSAGE_TYPES = {"track", "identify", "page", "screen", "group", "alias"}


@dataclass
class Shop:
    folder: Path
    lines: list[bytes]
    messages: list[dict[str, Any]]
    stripe: dict[str, list[dict[str, Any]]]
    contacts: list[dict[str, str]]
    receipt_lines: list[dict[str, str]]
    identifiers: list[dict[str, str]]

    def tracked(self, event: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message.get("event") == event]


def _text(path: Path) -> str:
    content = path.read_bytes()
    return (gzip.decompress(content) if path.suffix == ".gz" else content).decode()


def _lines(path: Path) -> list[bytes]:
    return gzip.decompress(path.read_bytes()).splitlines()


def _csv(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(_text(path).splitlines()))


def _is_message(line: bytes) -> bool:
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return isinstance(record, dict) and record.get("type") in MESSAGE_TYPES


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("shop")
    generate(people=900, days=60, seed=7, folder=folder, end=END, processes=1)
    raw = folder / "raw"
    lines = [line for path in sorted((raw / "segment").iterdir()) for line in _lines(path)]
    return Shop(
        folder=folder,
        lines=lines,
        messages=[orjson.loads(line) for line in lines if _is_message(line)],
        stripe={
            path.name.split(".")[0]: [orjson.loads(line) for line in _text(path).splitlines()]
            for path in (raw / "stripe").iterdir()
        },
        contacts=_csv(raw / "salesforce" / "contact.csv"),
        receipt_lines=_csv(raw / "till" / "receipt_lines.csv.gz"),
        identifiers=_csv(folder / "truth" / "identifiers.csv.gz"),
    )


def _digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_same_arguments_give_the_same_bytes_whatever_the_processes(tmp_path: Path) -> None:
    # So many days make several chunks of a few people each: work for both processes.
    for name, processes in (("one", 1), ("two", 2)):
        generate(people=60, days=3000, seed=3, folder=tmp_path / name, end=END, processes=processes)
    assert _digests(tmp_path / "one") == _digests(tmp_path / "two")


def test_another_seed_gives_other_data(tmp_path: Path) -> None:
    for seed in (1, 2):
        generate(people=20, days=10, seed=seed, folder=tmp_path / str(seed), end=END, processes=1)
    one, two = _digests(tmp_path / "1"), _digests(tmp_path / "2")
    assert one["truth/people.csv.gz"] != two["truth/people.csv.gz"]


def test_new_data_replaces_all_of_the_old(tmp_path: Path) -> None:
    generate(people=30, days=20, seed=1, folder=tmp_path, end=END, processes=1)
    generate(people=30, days=2, seed=1, folder=tmp_path, end=END, processes=1)
    files = sorted(path.name for path in (tmp_path / "raw" / "segment").iterdir())
    assert files
    assert files[0] >= "messages-2026-11-21"


def test_files_are_split_by_day_of_arrival_and_end_in_time(shop: Shop) -> None:
    for path in (shop.folder / "raw" / "segment").iterdir():
        day = path.name.removeprefix("messages-").removesuffix(".ndjson.gz")
        received = {orjson.loads(line)["receivedAt"] for line in _lines(path) if _is_message(line)}
        assert {text[:10] for text in received} == {day}
        assert max(received) < END.strftime("%Y-%m-%dT%H:%M:%S")


def test_events_per_person_and_day(shop: Shop) -> None:
    assert 0.4 <= len(shop.messages) / (900 * 60) <= 0.65


def test_the_truth_is_not_in_the_raw_files(shop: Shop) -> None:
    people = _csv(shop.folder / "truth" / "people.csv.gz")
    secret = ("person_00", "household_00", "identifier_type")
    assert people[0]["person_id"].startswith("person_00")
    assert any(person["household_id"].startswith("household_00") for person in people)
    for path in (shop.folder / "raw").rglob("*.*"):
        text = _text(path)
        assert not [word for word in secret if word in text], path


def test_the_truth_has_every_identifier_of_the_raw_files_and_no_other(shop: Shop) -> None:
    seen: set[tuple[str, str]] = set()
    for message in shop.messages:
        seen |= {("user_id", message.get("userId")), ("anonymous_id", message.get("anonymousId"))}
        values = {**message.get("traits", {}), **message.get("properties", {})}
        seen |= {(name, values.get(name)) for name in ("email", "phone", "loyalty_id")}
        device = message["context"].get("device", {})
        platform = device.get("type")
        seen |= {(f"{platform}.id", device.get("id")), (f"{platform}.push_token", device.get("token"))}
        if device.get("adTrackingEnabled"):
            seen.add((f"{platform}.idfa", device["advertisingId"]))
    for customer in shop.stripe["customers"]:
        seen |= {("stripe_customer_id", customer["id"]), ("user_id", customer["metadata"].get("user_id"))}
        seen |= {("email", customer["email"]), ("phone", customer["phone"])}
    for charge in shop.stripe["charges"]:
        seen |= {("stripe_customer_id", charge["customer"]), ("email", charge["receipt_email"])}
    for invoice in shop.stripe["invoices"]:
        seen |= {("stripe_customer_id", invoice["customer"]), ("email", invoice["customer_email"])}
    for contact in shop.contacts:
        seen |= {("salesforce_contact_id", contact["Id"]), ("email", contact["Email"])}
        seen.add(("phone", contact["Phone"].replace(" ", "")))
    for line in shop.receipt_lines:
        seen |= {("loyalty_id", line["loyalty_id"]), ("email", line["email"])}
    seen = {
        (kind, value.lower() if kind == "email" else value) for kind, value in seen if value and value not in JUNK_IDS
    }
    assert {(row["identifier_type"], row["identifier_value"]) for row in shop.identifiers} == seen


def test_identifiers_that_several_people_have_are_marked(shop: Shop) -> None:
    owners, kinds = defaultdict(set), defaultdict(set)
    for row in shop.identifiers:
        key = (row["identifier_type"], row["identifier_value"])
        owners[key].add(row["person_id"])
        kinds[key].add(row["kind"])
    several = {key for key, people in owners.items() if len(people) > 1}
    assert several
    assert all(kinds[key] <= {"shared", "kiosk"} for key in several)
    assert {"own", "shared", "kiosk", "typo", "second"} == set().union(*kinds.values())
    assert {("anonymous_id", "kiosk"), ("anonymous_id", "shared"), ("email", "shared")} <= {
        (key[0], kind) for key in several for kind in kinds[key]
    }


def test_households_share_homes_and_cards_and_strangers_only_seem_to(shop: Shop) -> None:
    homes, houses = defaultdict(set), Counter()
    for person in _csv(shop.folder / "truth" / "people.csv.gz"):
        home = (person["street"], person["postal_code"])
        houses[home] += 1
        if person["household_id"]:
            homes[person["household_id"]].add(home)
    assert homes
    assert all(len(addresses) == 1 for addresses in homes.values())
    assert max(houses.values()) > 8, "no block of flats"
    told = [message["traits"]["address"] for message in shop.messages if "address" in message.get("traits", {})]
    sent = [order["properties"]["shipping_address"] for order in shop.tracked("Order Completed")]
    for addresses in (told, sent):
        written = {(address["street"], address["postalCode"]) for address in addresses}
        assert written & set(houses)
        assert written - set(houses), "everybody spells alike"
    owners = {row["identifier_value"]: row["person_id"] for row in shop.identifiers if row["kind"] != "shared"}
    payers = defaultdict(set)
    for charge in shop.stripe["charges"]:
        payers[charge["payment_method_details"]["card"]["fingerprint"]].add(owners.get(charge["receipt_email"].lower()))
    assert any(len(people - {None}) > 1 for people in payers.values()), "no card of two people"
    assert sum(len(people) == 1 for people in payers.values()) > len(payers) / 2


def test_people_come_with_several_devices_and_log_in_half_way(shop: Shop) -> None:
    users = defaultdict(set)
    for message in shop.messages:
        if anonymous_id := message.get("anonymousId"):
            users[anonymous_id].add(message.get("userId"))
    real = {key: {user for user in ids if user and user.startswith("usr_")} for key, ids in users.items()}
    assert any(None in users[key] and len(ids) == 1 for key, ids in real.items())
    assert any(len(ids) > 2 for ids in real.values()), "no kiosk"
    assert any(not ids for ids in real.values()), "nobody who never logs in"
    devices = Counter(user for ids in real.values() for user in ids)
    assert max(devices.values()) >= 3
    assert {message["context"]["channel"] for message in shop.messages} == {"browser", "mobile", "server"}


def test_every_kind_of_dirt_in_messages(shop: Shop) -> None:
    by_id = defaultdict(list)
    for message in shop.messages:
        by_id[message["messageId"]].append(message)
    duplicates = [sorted(copy["receivedAt"] for copy in copies) for copies in by_id.values() if len(copies) > 1]
    assert duplicates
    assert any(times[0][:10] != times[-1][:10] for times in duplicates)

    late = off = future = 0
    for message in shop.messages:
        happened, received = _time(message["timestamp"]), _time(message["receivedAt"])
        corrected = received - (_time(message["sentAt"]) - _time(message["originalTimestamp"]))
        assert abs(corrected - happened) < timedelta(milliseconds=2)
        late += received - happened > timedelta(hours=1)
        future += happened > received
        off += abs(_time(message["sentAt"]) - received) > timedelta(minutes=3) and happened <= received
    assert late
    assert off
    assert 0 < future < len(shop.messages) / 500

    names = {message.get("event") for message in shop.messages}
    assert set(UNPLANNED_EVENTS) <= names
    assert names & {"product viewed", "ProductViewed", "product_viewed"}
    assert set(JUNK_IDS) <= {message.get("userId") for message in shop.messages}


def test_every_kind_of_dirt_in_properties(shop: Shop) -> None:
    tracked = [message["properties"] for message in shop.messages if message["type"] == "track"]
    assert any("," in str(properties.get("price")) for properties in tracked)
    assert any("price" in properties and properties["price"] is None for properties in tracked)
    assert any(isinstance(properties.get("quantity"), str) for properties in tracked)
    assert any("product_id" not in message["properties"] for message in shop.tracked("Product Viewed"))
    orders = [message["properties"] for message in shop.tracked("Order Completed")]
    spoilt = [
        order
        for order in orders
        if "order_id" not in order
        or "currency" not in order
        or isinstance(order["revenue"], str)
        or isinstance(order["products"], str)
    ]
    assert 0 < len(spoilt) < len(orders) / 10


def test_lines_that_are_no_events(shop: Shop) -> None:
    broken = [line for line in shop.lines if not _is_message(line)]
    assert len(broken) == len(set(broken)) == 5
    assert b"{}" in broken
    assert any(line.startswith(b"[") for line in broken)


def test_consent_is_given_refused_empty_and_absent(shop: Shop) -> None:
    choices = [message["context"].get("consent") for message in shop.messages]
    given = [choice["categoryPreferences"] for choice in choices if choice is not None]
    assert None in choices
    assert {} in given
    assert {choice.get("Advertising") for choice in given} == {True, False, None}
    assert all(set(choice) in (set(), {"Advertising", "Analytics", "Functional", "DataSharing"}) for choice in given)
    assert shop.tracked("Segment Consent Preference Updated")


def test_the_funnel_narrows(shop: Shop) -> None:
    steps = (
        "Product Viewed",
        "Product Added",
        "Checkout Started",
        "Payment Info Entered",
        "Order Completed",
        "Order Refunded",
    )
    counts = [len({message["messageId"] for message in shop.tracked(step)}) for step in steps]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] > 0
    ordered = {message["properties"].get("cart_id") for message in shop.tracked("Order Completed")}
    carts = {message["properties"]["cart_id"] for message in shop.tracked("Product Added")}
    assert len(carts - ordered) > len(ordered)


def test_all_promised_calls_and_events_appear(shop: Shop) -> None:
    assert {message["type"] for message in shop.messages} == MESSAGE_TYPES
    events = {message.get("event") for message in shop.messages}
    assert events >= {
        "Products Searched",
        "Product List Viewed",
        "Cart Viewed",
        "Signed In",
        "Email Opened",
        "Email Link Clicked",
        "Newsletter Subscribed",
        "Newsletter Unsubscribed",
        "Article Read",
    }
    assert any("campaign" in message["context"] for message in shop.messages)


def test_people_come_from_somewhere(shop: Shop) -> None:
    landings = [message["properties"] for message in shop.messages if message.get("name") == "Home"]
    hosts = Counter(urlsplit(page["referrer"]).hostname for page in landings if "referrer" in page)
    assert {None, "www.google.com", "trail-blog.example", "www.instagram.com", "l.facebook.com"} <= set(hosts)
    assert hosts[None] > 100
    campaigns = {message["context"].get("campaign", {}).get("medium") for message in shop.messages}
    assert campaigns >= {"cpc", "email", "paid_social", "social", "affiliate", None}


def test_money_is_exact(shop: Shop) -> None:
    checked = 0
    for message in shop.tracked("Order Completed"):
        order = message["properties"]
        try:
            gross = sum(round(line["price"] * 100) * line["quantity"] for line in order["products"])
            cents = {name: round(order[name] * 100) for name in ("discount", "revenue", "shipping", "tax", "total")}
        except TypeError:
            continue  # spoilt on purpose
        assert cents["revenue"] == gross - cents["discount"]
        assert cents["total"] == cents["revenue"] + cents["shipping"]
        assert cents["tax"] == contained_vat(cents["total"])
        assert all(order[name] == cents[name] / 100 for name in cents)
        checked += 1
    assert checked > 100


def test_payments_belong_to_orders(shop: Shop) -> None:
    totals = {
        message["properties"]["order_id"]: message["properties"]["total"]
        for message in shop.tracked("Order Completed")
        if "order_id" in message["properties"] and isinstance(message["properties"]["total"], float)
    }
    charges = {charge["id"]: charge for charge in shop.stripe["charges"]}
    paid = [charge for charge in charges.values() if charge["paid"] and charge["metadata"].get("order_id") in totals]
    assert paid
    assert all(charge["amount"] == round(totals[charge["metadata"]["order_id"]] * 100) for charge in paid)
    assert {charge["status"] for charge in charges.values()} == {"succeeded", "failed"}
    assert shop.stripe["refunds"]
    assert all(refund["amount"] <= charges[refund["charge"]]["amount"] for refund in shop.stripe["refunds"])
    invoices = {invoice["id"] for invoice in shop.stripe["invoices"] if invoice["status"] == "paid"}
    assert {charge["invoice"] for charge in charges.values()} - {None} == invoices


def test_receipts_know_a_card_an_email_or_nobody(shop: Shop) -> None:
    shown = {(bool(line["loyalty_id"]), bool(line["email"])) for line in shop.receipt_lines}
    assert shown >= {(True, False), (False, True), (False, False)}
    sold = {line["receipt_id"] for line in shop.receipt_lines}
    returns = [line for line in shop.receipt_lines if int(line["quantity"]) < 0]
    assert returns
    assert all(line["return_of_receipt_id"] in sold for line in returns)


def test_contacts_have_versions(shop: Shop) -> None:
    versions = defaultdict(set)
    for contact in shop.contacts:
        versions[contact["Id"]].add(contact["SystemModstamp"])
    assert max(len(stamps) for stamps in versions.values()) > 1
    assert {contact["HasOptedOutOfEmail"] for contact in shop.contacts} == {"true", "false"}


@pytest.mark.parametrize(
    ("people", "days", "processes", "named"),
    [(0, 1, 1, "--people is 0"), (1, 0, 1, "--days is 0"), (-5, 1, 1, "--people"), (1, 1, 0, "--processes")],
)
def test_numbers_out_of_range_are_named(tmp_path: Path, people: int, days: int, processes: int, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        generate(people, days, 1, tmp_path / "new", END, processes)
    assert not (tmp_path / "new").exists()


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="no demo data"):
        generate(1, 1, 1, tmp_path, END, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_end_is_a_date_a_time_or_now() -> None:
    assert parse_end("2026-11-23") == datetime(2026, 11, 23, tzinfo=UTC)
    assert parse_end("2026-11-23T13:00:00+01:00") == END
    assert parse_end("2026-11-23T12:00:00") == END
    assert abs(parse_end(None) - datetime.now(UTC)) < timedelta(minutes=1)
    with pytest.raises(UsageError, match=r"23\.11\.2026"):
        parse_end("23.11.2026")


@pytest.mark.parametrize(("people", "days"), [(1, 1), (3, 2), (101, 1)])
def test_small_shops_work(tmp_path: Path, people: int, days: int) -> None:
    data = generate(people, days, 5, tmp_path, END, 1)
    rows = _csv(tmp_path / "truth" / "people.csv.gz")
    assert len(rows) == people
    assert data.counts.get("segment/messages", 0) == sum(
        len(_lines(path)) for path in (tmp_path / "raw" / "segment").iterdir()
    )
