"""Payments as Stripe's API names them: customers, charges, refunds, invoices; in cents and seconds."""

from __future__ import annotations

from typing import Any

from cdi.demo_data.homes import random_id
from cdi.demo_data.messages import Outbox
from cdi.demo_data.money import Order
from cdi.demo_data.persons import Person
from cdi.demo_data.world import DAY, MINUTE

MEMBERSHIP_CENTS = 499


def _customer(outbox: Outbox, person: Person, time: int, email: str, is_logged_in: bool) -> str:
    """The person's customer object: mostly the one they have, sometimes a new version or a second one."""
    rng = person.rng
    known = person.stripe_customer_id
    if known and rng.random() < 0.93:
        return known
    customer_id = "cus_" + random_id(rng, 14) if not known or rng.random() < 0.4 else known
    record: dict[str, Any] = {
        "id": customer_id,
        "object": "customer",
        "email": email,
        "name": f"{person.first_name} {person.last_name}",
        "phone": person.phone if rng.random() < 0.4 else None,
        "created": time // 1000,
        "currency": "eur",
        "livemode": True,
        "metadata": {"user_id": person.user_id} if is_logged_in and rng.random() < 0.85 else {},
    }
    if not outbox.add("stripe/customers", time, record):
        return customer_id
    person.stripe_customer_id = customer_id
    outbox.note("stripe_customer_id", customer_id)
    outbox.note_email(email)
    if record["phone"]:
        outbox.note("phone", person.phone)
    if record["metadata"]:
        outbox.note("user_id", record["metadata"]["user_id"])
    return customer_id


def _charge(
    customer: str, time: int, amount: int, email: str, metadata: dict[str, Any], charge_id: str, card: str
) -> dict[str, Any]:
    return {
        "id": charge_id,
        "object": "charge",
        "customer": customer,
        "amount": amount,
        "amount_refunded": 0,
        "currency": "eur",
        "created": time // 1000,
        "status": "succeeded",
        "paid": True,
        "refunded": False,
        "receipt_email": email,
        "invoice": None,
        "payment_method_details": {"type": "card", "card": {"fingerprint": card}},
        "metadata": metadata,
    }


def pay(outbox: Outbox, person: Person, time: int, order: Order, email: str, is_logged_in: bool) -> str:
    """Charge an order to a card, sometimes only at the second try; returns the charge's id."""
    rng = person.rng
    customer = _customer(outbox, person, time - 2_000, email, is_logged_in)
    card = person.cards[-1] if person.purse.random() < 0.7 else person.cards[0]
    if rng.random() < 0.04:
        declined = _charge(
            customer,
            time - MINUTE,
            order.total,
            email,
            {"order_id": order.order_id},
            "ch_" + random_id(rng, 24),
            card,
        )
        declined |= {"status": "failed", "paid": False, "failure_code": "card_declined"}
        outbox.add("stripe/charges", time - MINUTE, declined)
    charge_id = "ch_" + random_id(rng, 24)
    charge = _charge(customer, time, order.total, email, {"order_id": order.order_id}, charge_id, card)
    if outbox.add("stripe/charges", time, charge):
        outbox.note_email(email)
        outbox.note("stripe_customer_id", customer)
    return charge_id


def refund(outbox: Outbox, person: Person, time: int, order: Order, charge_id: str, amount: int) -> None:
    """Give back `amount` cents of a charge."""
    record = {
        "id": "re_" + random_id(person.rng, 24),
        "object": "refund",
        "charge": charge_id,
        "amount": amount,
        "currency": "eur",
        "created": time // 1000,
        "reason": "requested_by_customer",
        "status": "succeeded",
        "metadata": {"order_id": order.order_id},
    }
    outbox.add("stripe/refunds", time, record)


def bill_membership(outbox: Outbox, person: Person, start: int, end: int) -> None:
    """Monthly invoices of a membership from `start` until `end`, each charged unless the card fails."""
    rng = person.rng
    customer = _customer(outbox, person, start, person.email, True)
    subscription = "sub_" + random_id(rng, 14)
    for time in range(start + MINUTE, end, 30 * DAY):
        paid = rng.random() < 0.95
        invoice_id = "in_" + random_id(rng, 24)
        record = {
            "id": invoice_id,
            "object": "invoice",
            "customer": customer,
            "customer_email": person.email,
            "amount_due": MEMBERSHIP_CENTS,
            "amount_paid": MEMBERSHIP_CENTS if paid else 0,
            "currency": "eur",
            "created": time // 1000,
            "status": "paid" if paid else "open",
            "subscription": subscription,
            "status_transitions": {"paid_at": time // 1000 + 3600 if paid else None},
        }
        if not outbox.add("stripe/invoices", time, record):
            return
        outbox.note_email(person.email)
        outbox.note("stripe_customer_id", customer)
        if paid:
            charge_id = "ch_" + random_id(rng, 24)
            charge = _charge(customer, time, MEMBERSHIP_CENTS, person.email, {}, charge_id, person.cards[0])
            charge["invoice"] = invoice_id
            outbox.add("stripe/charges", time, charge)
