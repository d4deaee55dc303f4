"""Receipts of the shops' tills, one record per line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from cdi.demo_data.assortment import CURRENCY, PRODUCTS, Product
from cdi.demo_data.messages import Outbox
from cdi.demo_data.persons import Person
from cdi.demo_data.world import DAY

COLUMNS = (
    "receipt_id",
    "receipt_line",
    "store_id",
    "register_id",
    "sold_at",
    "sku",
    "product_name",
    "category",
    "brand",
    "quantity",
    "unit_price",
    "discount",
    "currency",
    "payment_method",
    "loyalty_id",
    "email",
    "return_of_receipt_id",
)


def _euros(cents: int) -> str:
    return f"{cents / 100:.2f}"


def _local(time: int, utc_offset: int) -> str:
    moment = datetime.fromtimestamp(time // 1000, UTC).astimezone(timezone(timedelta(hours=utc_offset)))
    return moment.isoformat()


def _receipt(
    outbox: Outbox,
    person: Person,
    time: int,
    items: list[tuple[Product, int, int]],
    shown: tuple[str | None, str | None],
    return_of: str | None = None,
) -> str:
    """Write a receipt of (product, quantity, discount in cents) with what the buyer showed; its number."""
    rng = person.rng
    receipt_id = f"{person.store}-{rng.getrandbits(44):013d}"
    register = f"{person.store}-R{rng.randrange(1, 4)}"
    loyalty_id, email = shown
    method = rng.choices(("card", "cash", "voucher"), (62, 34, 4))[0]
    for line, (product, quantity, discount) in enumerate(items, 1):
        kept = outbox.add(
            "till/receipt_lines",
            time,
            (
                receipt_id,
                line,
                person.store,
                register,
                _local(time, person.utc_offset),
                product.sku,
                product.name,
                product.category,
                product.brand,
                quantity,
                _euros(product.price_cents),
                _euros(discount),
                CURRENCY,
                method,
                loyalty_id or "",
                email or "",
                return_of or "",
            ),
        )
        if not kept:
            return receipt_id
    if loyalty_id:
        outbox.note("loyalty_id", loyalty_id)
    if email:
        outbox.note_email(email)
    return receipt_id


def buy(outbox: Outbox, person: Person, time: int, email: str) -> None:
    """Buy in the person's shop with the loyalty card, with `email` or unknown; a few bring things back."""
    rng = person.rng
    items = []
    for _ in range(1 + min(5, int(rng.expovariate(0.9)))):
        category = rng.choice(person.favourites) if rng.random() < 0.6 else rng.choice(tuple(PRODUCTS))
        product = PRODUCTS[category][int(25 * rng.random() ** 2)]
        quantity = 1 if rng.random() < 0.85 else rng.randrange(2, 4)
        discount = product.price_cents * quantity // 10 if rng.random() < 0.08 else 0
        items.append((product, quantity, discount))
    shown: tuple[str | None, str | None] = (None, None)
    chance = rng.random()
    if person.loyalty_id and chance < 0.75:
        shown = (person.loyalty_id, email if rng.random() < 0.1 else None)
    elif chance > 0.82:
        shown = (None, email)
    receipt_id = _receipt(outbox, person, time, items, shown)
    if rng.random() < 0.06:
        product, quantity, discount = rng.choice(items)
        back_at = time + int(rng.uniform(1, 14) * DAY)
        _receipt(outbox, person, back_at, [(product, -quantity, -discount)], shown, return_of=receipt_id)
