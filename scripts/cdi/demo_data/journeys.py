"""What the demo people do: one person at a time, as records for the raw files, with the dirt that real data has."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from random import Random
from typing import Any, NamedTuple

from cdi.demo_data import catalogue
from cdi.demo_data.catalogue import PRODUCTS, PRODUCTS_OF, Product
from cdi.demo_data.people import DAY, Device, Person, uuid4

MINUTE = 60_000
HOUR = 60 * MINUTE
HOURS = [1, 1, 0, 0, 0, 1, 2, 4, 5, 6, 6, 7, 8, 7, 6, 6, 7, 9, 11, 13, 14, 12, 7, 3]
"""How busy each hour of the day is."""
WEEKDAYS = [9, 9, 9, 10, 11, 14, 13]
"""How busy each day of the week is, from Monday."""

JUNK_IDS = ["null", "undefined", "0000-0000", "anonymous", "-1"]


class Record(NamedTuple):
    """A record for a raw file: `at` is when it arrives there (milliseconds since 1970)."""

    table: str
    at: int
    content: dict[str, Any]


def iso(milliseconds: int) -> str:
    """Milliseconds since 1970 as ISO 8601 in UTC."""
    return (
        datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
        + f"{milliseconds % 1000:03d}Z"
    )


def iso_seconds(milliseconds: int) -> str:
    """Milliseconds since 1970 as ISO 8601 without a fraction, with an offset."""
    return datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")


class Calendar:
    """The days of the data and how busy each is: weekdays, and a campaign in the middle of every month."""

    def __init__(self, start: int, days: int) -> None:
        self.start = start
        self.days = days
        self.end = start + days * DAY
        self.weights = []
        for day in range(days):
            date = datetime.fromtimestamp((start + day * DAY) / 1000, UTC)
            campaign = 1.6 if 14 <= date.day <= 20 else 1.0
            self.weights.append(WEEKDAYS[date.weekday()] * campaign)
        self.mean = sum(self.weights) / max(1, days)

    def moments(self, dice: Random, per_day: float, first_day: int, last_day: int) -> list[int]:
        """Random moments between two days, `per_day` of them on an average day, in order."""
        count = _poisson(dice, per_day * (last_day - first_day))
        if not count:
            return []
        days = dice.choices(range(first_day, last_day), self.weights[first_day:last_day], k=count)
        hours = dice.choices(range(24), HOURS, k=count)
        return sorted(
            self.start + day * DAY + hour * HOUR + dice.randrange(HOUR)
            for day, hour in zip(days, hours, strict=True)
        )


def _poisson(dice: Random, mean: float) -> int:
    if mean > 50:
        return max(0, round(dice.gauss(mean, math.sqrt(mean))))
    limit, count, product = math.exp(-mean), 0, dice.random()
    while product > limit:
        count += 1
        product *= dice.random()
    return count


class Journey:
    """All records of one person."""

    def __init__(self, person: Person, calendar: Calendar) -> None:
        self.person = person
        self.calendar = calendar
        self.dice = person.dice
        self.records: list[Record] = []
        self.known_on: set[str] = set()
        self.consent_told = False

    def run(self) -> list[Record]:
        """Make the records, in no particular order; those that would arrive after the last day are left out."""
        person, calendar, dice = self.person, self.calendar, self.dice
        for at in calendar.moments(dice, person.sessions_per_day, person.first_day, person.last_day):
            self.session(at, dice.choice(person.devices))
        for at in calendar.moments(
            dice, person.store_visits_per_day, person.first_day, person.last_store_day
        ):
            self.store_visit(at)
        if person.user_id and person.is_newsletter_reader:
            for at in calendar.moments(dice, 1 / 7, person.first_day, person.last_day):
                self.newsletter(at)
        if person.is_contact:
            self.contact()
        if person.user_id and dice.random() < 0.05:
            self.membership()
        return [record for record in self.records if record.at < calendar.end]

    # ---------------------------------------------------------------- messages

    def send(
        self,
        device: Device | None,
        type_: str,
        at: int,
        *,
        known: bool,
        page: dict | None = None,
        **fields: Any,
    ) -> None:
        """A message as the library of the device (the shop's server: None) sends it, and as it arrives."""
        person, dice = self.person, self.dice
        chance = dice.random()
        travel = 80 + int(chance * 900)
        if chance > 0.985:  # offline: the message waits on the device
            travel += int(dice.expovariate(1 / (10 * HOUR)))
        error = device.clock_error if device else 0
        original, sent, received = at + error, at + error + max(0, travel - 60), at + travel
        happened = received - (sent - original)
        content: dict[str, Any] = {
            "type": type_,
            "messageId": f"msg-{uuid4(dice)}",
            "timestamp": iso(happened),
            "originalTimestamp": iso(original),
            "sentAt": iso(sent),
            "receivedAt": iso(received),
            **fields,
        }
        if device:
            content["anonymousId"] = device.anonymous_id
            context = dict(device.context)
            if page:
                context["page"] = page
        else:
            context = {"library": {"name": "analytics-python", "version": "2.3.0"}, "channel": "server"}
        if self.consent_told and person.consent is not None:
            context["consent"] = {"categoryPreferences": person.consent}
        if self.campaign:
            context["campaign"] = self.campaign
        content["context"] = context
        if known:
            content["userId"] = person.user_id
        elif chance < 0.002:
            content["userId"] = dice.choice(JUNK_IDS)
        if 0.50 < chance < 0.5006:  # a clock that was set by hand: nothing in the message tells
            content["timestamp"] = content["originalTimestamp"] = iso(at + 400 * DAY)
            del content["sentAt"]
        self.records.append(Record("segment", received, content))
        if 0.30 < chance < 0.308:  # the library did not see the answer and sends again
            again = received + dice.choice([900, 30_000, 2 * HOUR, 30 * HOUR])
            self.records.append(Record("segment", again, {**content, "receivedAt": iso(again)}))

    campaign: dict | None = None

    def session(self, at: int, device: Device) -> None:
        """A visit on the website or in an app, from the first page to, perhaps, an order."""
        person, dice = self.person, self.dice
        known = device.anonymous_id in self.known_on and device.kind != "kiosk" and dice.random() < 0.75
        login_after = dice.randrange(1, 6) if person.user_id and not known and dice.random() < 0.45 else None
        self.campaign = dice.choice(catalogue.CAMPAIGNS) if dice.random() < 0.2 else None
        step = 0

        def tick(longest: int = 90_000) -> int:
            nonlocal at, step, known
            at += dice.randrange(3_000, longest)
            step += 1
            if login_after is not None and step == login_after and not known:
                known = True
                self.login(device, at)
                at += 2_000
            return at

        def view(title: str, path: str) -> None:
            moment = tick()
            if device.kind in ("ios", "android"):
                self.send(device, "screen", moment, known=known, name=title, properties={"path": path})
            else:
                url = f"https://shop.example.com{path}"
                self.send(
                    device, "page", moment, known=known, name=title,
                    page={"path": path, "url": url, "title": title, "referrer": ""},
                    properties={"path": path, "url": url, "title": title},
                )  # fmt: skip

        def track(event: str, properties: dict) -> int:
            moment = tick()
            self.send(
                device, "track", moment, known=known, event=event, properties=self.dirty(event, properties),
                page=None if device.kind in ("ios", "android") else {"path": "/", "url": "https://shop.example.com/"},
            )  # fmt: skip
            return moment

        view("Home", "/")
        if not self.consent_told and person.consent is not None:
            self.consent_told = True
            track("Segment Consent Preference Updated", {})
        if dice.random() < 0.12:
            track(
                "Article Read",
                {"topic": dice.choice(catalogue.TOPICS), "article_id": f"a{dice.randrange(200)}"},
            )
        if dice.random() < 0.25:
            track("Products Searched", {"query": person.favourite.lower()})
        category = person.favourite if dice.random() < 0.6 else dice.choice(list(catalogue.CATEGORIES))
        track("Product List Viewed", {"list_id": category.lower(), "category": category})
        cart: list[tuple[Product, int]] = []
        cart_id = f"cart-{uuid4(dice)[:13]}"
        for _ in range(dice.choices([0, 1, 2, 3, 4, 6], [18, 26, 22, 16, 12, 6])[0]):
            product = dice.choice(PRODUCTS_OF[category]) if dice.random() < 0.85 else dice.choice(PRODUCTS)
            track("Product Viewed", product.as_property())
            if dice.random() < 0.24:
                quantity = dice.choices([1, 2, 3], [80, 15, 5])[0]
                cart.append((product, quantity))
                track("Product Added", {"cart_id": cart_id, **product.as_property(quantity)})
                if dice.random() < 0.08:
                    cart.pop()
                    track("Product Removed", {"cart_id": cart_id, **product.as_property(quantity)})
        if dice.random() < 0.02:
            track(dice.choice(["product veiwed", "Button Clicked", "debug_event"]), {"label": "x"})
        if cart and dice.random() < 0.85:
            track("Cart Viewed", {"cart_id": cart_id, "products": [item.as_property(n) for item, n in cart]})
            if dice.random() < 0.68:
                self.check_out(device, track, cart, cart_id, known=lambda: known)
        self.campaign = None

    def dirty(self, event: str, properties: dict) -> dict:
        """The properties, now and then with what is missing or wrong in real data."""
        chance = self.dice.random()
        if chance > 0.012 or not properties:
            return properties
        properties = dict(properties)
        if chance < 0.003 and "price" in properties:
            properties["price"] = f"{properties['price']:.2f}".replace(".", ",")
        elif chance < 0.005 and "quantity" in properties:
            properties["quantity"] = "two"
        elif chance < 0.008:
            properties.pop(next(iter(properties)))
        elif chance < 0.010:
            properties["debug"] = {"trace": "x" * 40}
        return properties

    def login(self, device: Device, at: int) -> None:
        """The moment a device and a person become known to each other."""
        person, dice = self.person, self.dice
        self.known_on.add(device.anonymous_id)
        traits: dict[str, Any] = {
            "email": person.email if dice.random() > 0.01 else person.email.upper(),
            "first_name": person.first_name,
            "last_name": person.last_name,
            "phone": person.phone,
            "city": person.city[0],
            "postal_code": person.city[1],
            "country": person.city[2],
            "birthday": person.birthday,
        }
        if person.loyalty_id and dice.random() < 0.6:
            traits["loyalty_id"] = person.loyalty_id
        self.send(device, "identify", at, known=True, traits=traits)
        self.send(device, "track", at + 400, known=True, event="Signed In", properties={"method": "password"})
        if dice.random() < 0.03:
            self.send(None, "alias", at + 800, known=True, previousId=device.anonymous_id)
        if person.account is not None:
            self.send(
                device,
                "group",
                at + 900,
                known=True,
                groupId=account_id(person.account),
                traits={"plan": "business"},
            )

    def check_out(self, device: Device, track, cart: list[tuple[Product, int]], cart_id: str, known) -> None:
        """From the checkout to the order, its payment and perhaps its return."""
        person, dice = self.person, self.dice
        order_id = f"o-{uuid4(dice)[:13]}"
        products = [product.as_property(quantity) for product, quantity in cart]
        value = sum(product.price * quantity for product, quantity in cart)
        typed = person.email
        if dice.random() < 0.03:
            typed = typed.replace("example.com", "exmaple.com")
        track(
            "Checkout Started",
            {
                "order_id": order_id,
                "cart_id": cart_id,
                "value": value / 100,
                "currency": "EUR",
                "email": typed,
            },
        )
        if dice.random() > 0.82:
            return
        track("Payment Info Entered", {"order_id": order_id, "payment_method": "card"})
        if dice.random() > 0.9:
            return
        coupon = dice.choice(catalogue.COUPONS) if dice.random() < 0.15 else None
        discount = value // 10 if coupon else 0
        shipping = 0 if value >= 5000 else 490
        tax = round((value - discount) * 0.19)
        total = value - discount + shipping + tax
        at = track(
            "Order Completed",
            {
                "order_id": order_id, "cart_id": cart_id, "checkout_id": f"c-{order_id[2:]}", "affiliation": "Outdoor",
                "subtotal": value / 100, "revenue": (value - discount) / 100, "shipping": shipping / 100,
                "tax": tax / 100, "discount": discount / 100, "total": total / 100, "coupon": coupon,
                "currency": "EUR", "email": typed, "products": products,
            },
        )  # fmt: skip
        stripe_id = f"cus_{person.number:08d}{'' if dice.random() < 0.95 else 'b'}"
        charge_id = f"ch_{uuid4(dice).replace('-', '')[:20]}"
        known_to_shop = bool(known()) and dice.random() < 0.9
        self.records += [
            Record("stripe/customers", at + 1000, {
                "id": stripe_id, "object": "customer", "email": typed,
                "name": f"{person.first_name} {person.last_name}", "phone": person.phone, "created": at // 1000,
                "metadata": {"user_id": person.user_id} if known_to_shop else {},
            }),
            Record("stripe/charges", at + 1500, {
                "id": charge_id, "object": "charge", "customer": stripe_id, "amount": total, "currency": "eur",
                "created": at // 1000, "status": "succeeded", "paid": True, "receipt_email": typed, "invoice": None,
                "metadata": {"order_id": order_id},
            }),
        ]  # fmt: skip
        if dice.random() < 0.09:
            returned = at + dice.randrange(3, 20) * DAY
            back = round(total * dice.choice([1.0, 1.0, 0.5]))
            self.send(
                None, "track", returned, known=bool(person.user_id), event="Order Refunded",
                properties={"order_id": order_id, "total": back / 100, "currency": "EUR", "email": typed},
            )  # fmt: skip
            self.records.append(Record("stripe/refunds", returned + 2000, {
                "id": f"re_{charge_id[3:]}", "object": "refund", "charge": charge_id, "amount": back, "currency": "eur",
                "created": returned // 1000, "reason": "requested_by_customer", "status": "succeeded",
                "metadata": {"order_id": order_id},
            }))  # fmt: skip

    # ---------------------------------------------------------------- other systems

    def newsletter(self, at: int) -> None:
        """The newsletter's server tells who joined, opened, clicked and left."""
        dice = self.dice
        properties = {"campaign": "weekly", "email": self.person.email}
        if not getattr(self, "subscribed", False):
            self.subscribed = True
            self.send(None, "track", at, known=True, event="Newsletter Subscribed", properties=properties)
            return
        if dice.random() < 0.4:
            self.send(None, "track", at, known=True, event="Email Opened", properties=properties)
            if dice.random() < 0.25:
                self.send(
                    None, "track", at + 40_000, known=True, event="Email Link Clicked", properties=properties
                )
        if dice.random() < 0.015:
            self.send(
                None, "track", at + 60_000, known=True, event="Newsletter Unsubscribed", properties=properties
            )
            self.subscribed = False

    def store_visit(self, at: int) -> None:
        """A receipt, its lines, and perhaps another one for a return."""
        person, dice = self.person, self.dice
        receipt = f"R-{uuid4(dice)[:13]}"
        store = f"S{dice.randrange(12):02d}"
        shown = dice.random()
        loyalty = person.loyalty_id if shown < 0.7 else None
        email = person.email if 0.7 <= shown < 0.85 else None
        lines = [
            (dice.choice(PRODUCTS_OF[person.favourite]), dice.choices([1, 2], [85, 15])[0])
            for _ in range(dice.choices([1, 2, 3, 5], [45, 30, 18, 7])[0])
        ]

        def print_receipt(
            receipt: str, at: int, lines: list[tuple[Product, int]], returned: str | None
        ) -> None:
            for position, (product, quantity) in enumerate(lines, start=1):
                self.records.append(Record("till/receipt_lines", at + 60_000, {
                    "receipt_id": receipt, "receipt_line": position, "store_id": store, "register_id": f"{store}-1",
                    "sold_at": iso_seconds(at), "sku": f"SKU-{product.product_id}", "product_name": product.name,
                    "category": product.category, "brand": product.brand, "quantity": quantity,
                    "unit_price": f"{product.price / 100:.2f}", "discount": "0.00", "currency": "EUR",
                    "payment_method": dice.choice(["card", "cash", "voucher"]), "loyalty_id": loyalty or "",
                    "email": email or "", "return_of_receipt_id": returned or "",
                }))  # fmt: skip

        print_receipt(receipt, at, lines, None)
        if dice.random() < 0.06:
            back = [(lines[0][0], -lines[0][1])]
            print_receipt(f"R-{uuid4(dice)[:13]}", at + dice.randrange(1, 14) * DAY, back, receipt)

    def contact(self) -> None:
        """The person as sales keeps it in the CRM, in one to three versions."""
        person, dice = self.person, self.dice
        created = self.calendar.start + dice.randrange(max(1, self.calendar.days)) * DAY
        city = person.city
        for version in range(dice.choices([1, 2, 3], [60, 30, 10])[0]):
            modified = created + version * dice.randrange(1, 20) * DAY + dice.randrange(DAY)
            self.records.append(Record("salesforce/contact", modified, {
                "Id": f"003{person.number:012d}", "AccountId": account_id(person.account) if person.account is not None else "",
                "FirstName": person.first_name, "LastName": person.last_name, "Email": person.email,
                "Phone": person.phone, "MailingCity": city[0], "MailingPostalCode": city[1], "MailingCountry": city[2],
                "Birthdate": person.birthday, "LeadSource": "Web",
                "HasOptedOutOfEmail": "true" if version and dice.random() < 0.2 else "false", "IsDeleted": "false",
                "CreatedDate": iso(created), "SystemModstamp": iso(modified),
            }))  # fmt: skip
            city = dice.choice(catalogue.CITIES)
        if dice.random() < 0.2:
            self.records.append(Record("salesforce/opportunity", created + HOUR, {
                "Id": f"006{person.number:012d}", "AccountId": account_id(person.account) if person.account is not None else "",
                "ContactId": f"003{person.number:012d}", "Name": "Team order", "StageName": "Prospecting",
                "Amount": f"{dice.randrange(5, 200) * 100}.00", "CloseDate": iso(created + 30 * DAY)[:10],
                "IsWon": "false", "IsClosed": "false", "IsDeleted": "false", "CreatedDate": iso(created),
                "SystemModstamp": iso(created + HOUR),
            }))  # fmt: skip

    def membership(self) -> None:
        """A membership that is invoiced every month."""
        person = self.person
        stripe_id = f"cus_{person.number:08d}"
        for month in range(self.calendar.days // 30):
            at = self.calendar.start + month * 30 * DAY + person.number % 28 * DAY
            self.records.append(Record("stripe/invoices", at, {
                "id": f"in_{person.number:08d}{month:03d}", "object": "invoice", "customer": stripe_id,
                "customer_email": person.email, "amount_due": 990, "amount_paid": 990, "currency": "eur",
                "created": at // 1000, "status": "paid", "subscription": f"sub_{person.number:08d}",
                "status_transitions": {"paid_at": at // 1000 + 60},
            }))  # fmt: skip


def account_id(number: int) -> str:
    """The Salesforce id of an account."""
    return f"001{number:012d}"


def account_records(count: int, calendar: Calendar) -> Iterator[Record]:
    """The accounts that contacts and group calls name."""
    for number in range(count):
        dice = Random(f"account:{number}")
        created = calendar.start + dice.randrange(HOUR)
        name = f"{dice.choice(catalogue.LAST_NAMES)} {dice.choice(['GmbH', 'AG', 'Ltd', 'SARL'])}"
        yield Record("salesforce/account", created, {
            "Id": account_id(number), "Name": name, "Industry": dice.choice(["Sports", "Education", "Travel"]),
            "NumberOfEmployees": dice.randrange(5, 900), "Website": "https://example.com", "BillingCountry": "DE",
            "IsDeleted": "false", "CreatedDate": iso(created), "SystemModstamp": iso(created),
        })  # fmt: skip
