"""What an order comes to, in whole cents, so that every sum is exact."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from cdi.demo_data.assortment import CURRENCY, Product

VAT_PERCENT = 19
SHIPPING_CENTS = 490
FREE_SHIPPING_FROM_CENTS = 5000


@dataclass(frozen=True, slots=True)
class Order:
    """An online order. Prices contain VAT, as consumers see them: total = revenue + shipping, tax within."""

    order_id: str
    cart_id: str
    checkout_id: str
    items: tuple[tuple[Product, int], ...]
    coupon: str | None
    discount: int

    @property
    def subtotal(self) -> int:
        """Sum of price times quantity, cents."""
        return sum(product.price_cents * quantity for product, quantity in self.items)

    @property
    def revenue(self) -> int:
        """Subtotal without the discount, cents."""
        return self.subtotal - self.discount

    @property
    def shipping(self) -> int:
        """Cents; free from an amount on."""
        return 0 if self.revenue >= FREE_SHIPPING_FROM_CENTS else SHIPPING_CENTS

    @property
    def total(self) -> int:
        """What was paid, cents."""
        return self.revenue + self.shipping

    def properties(self) -> dict[str, Any]:
        """As in `Order Completed`; amounts in euros."""
        properties: dict[str, Any] = {
            "order_id": self.order_id,
            "checkout_id": self.checkout_id,
            "cart_id": self.cart_id,
            "affiliation": "Online Shop",
            "subtotal": self.subtotal / 100,
            "discount": self.discount / 100,
            "revenue": self.revenue / 100,
            "shipping": self.shipping / 100,
            "tax": contained_vat(self.total) / 100,
            "total": self.total / 100,
            "currency": CURRENCY,
            "products": product_lines(self.items),
        }
        if self.coupon:
            properties["coupon"] = self.coupon
        return properties

    def refund_of(self, place: int) -> int:
        """What is given back for one of its items, its part of the discount taken off, cents."""
        product, quantity = self.items[place]
        return product.price_cents * quantity * self.revenue // self.subtotal


def contained_vat(cents: int) -> int:
    """The VAT in an amount that contains it, rounded to the cent."""
    return (cents * VAT_PERCENT * 2 + 100 + VAT_PERCENT) // (2 * (100 + VAT_PERCENT))


def product_lines(items: tuple[tuple[Product, int], ...]) -> list[dict[str, Any]]:
    """Products as the array that order events carry."""
    return [
        product.line | {"quantity": quantity, "position": place} for place, (product, quantity) in enumerate(items, 1)
    ]


def discount_for(rng: Random, subtotal: int, is_sale: bool) -> tuple[str | None, int]:
    """A coupon, if one is used, and what it takes off, cents."""
    if is_sale and rng.random() < 0.5:
        return "SALE15", subtotal * 15 // 100
    if rng.random() < 0.12:
        return "WELCOME10", subtotal // 10
    return None, 0
