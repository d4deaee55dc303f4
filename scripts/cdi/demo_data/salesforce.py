"""CRM objects as Salesforce exports them: contact, account and opportunity, one row per version."""

from __future__ import annotations

from typing import Any

from cdi.demo_data.homes import random_id
from cdi.demo_data.messages import Outbox
from cdi.demo_data.persons import Account, Person
from cdi.demo_data.world import DATES, DAY, World, iso

COLUMNS: dict[str, tuple[str, ...]] = {
    "salesforce/contact": (
        "Id",
        "AccountId",
        "FirstName",
        "LastName",
        "Email",
        "Phone",
        "MailingCity",
        "MailingPostalCode",
        "MailingCountry",
        "Birthdate",
        "LeadSource",
        "HasOptedOutOfEmail",
        "IsDeleted",
        "CreatedDate",
        "SystemModstamp",
    ),
    "salesforce/account": (
        "Id",
        "Name",
        "Industry",
        "NumberOfEmployees",
        "Website",
        "BillingCountry",
        "IsDeleted",
        "CreatedDate",
        "SystemModstamp",
    ),
    "salesforce/opportunity": (
        "Id",
        "AccountId",
        "ContactId",
        "Name",
        "StageName",
        "Amount",
        "CloseDate",
        "IsWon",
        "IsClosed",
        "IsDeleted",
        "CreatedDate",
        "SystemModstamp",
    ),
}


def _flag(value: bool) -> str:
    return "true" if value else "false"


def write_contact(outbox: Outbox, world: World, person: Person) -> str:
    """The person's contact in one to three versions; returns its id."""
    rng = person.rng
    contact_id = "003" + random_id(rng, 15)
    created = world.start - int(rng.uniform(1, 600) * DAY) if person.account else person.registers_at
    email = person.shared_email if person.shared_email and rng.random() < 0.15 else person.email
    if rng.random() < 0.2:
        email = email.title()
    opted_out = rng.random() < 0.12
    phone = f"{person.phone[:3]} {person.phone[3:7]} {person.phone[7:]}" if rng.random() < 0.7 else ""
    source = rng.choice(("Web", "Trade Show", "Partner Referral", "Phone Inquiry"))
    city = person.city
    modified = created
    for version in range(rng.choices((1, 2, 3), (60, 30, 10))[0]):
        if version:
            modified = max(modified, world.start) + int(rng.uniform(0.02, 0.6) * (world.end - world.start))
            if rng.random() < 0.5:
                opted_out = True
            else:
                phone = phone or person.phone
        row: dict[str, Any] = {
            "Id": contact_id,
            "AccountId": person.account.account_id if person.account else "",
            "FirstName": person.first_name,
            "LastName": person.last_name,
            "Email": email,
            "Phone": phone,
            "MailingCity": city[0],
            "MailingPostalCode": city[1],
            "MailingCountry": city[2],
            "Birthdate": person.birthday if rng.random() < 0.4 else "",
            "LeadSource": source,
            "HasOptedOutOfEmail": _flag(opted_out),
            "IsDeleted": _flag(version > 0 and rng.random() < 0.05),
            "CreatedDate": iso(created),
            "SystemModstamp": iso(modified),
        }
        if not outbox.add("salesforce/contact", modified, tuple(row.values())):
            break
        outbox.note("salesforce_contact_id", contact_id)
        outbox.note_email(email)
        if phone:
            outbox.note("phone", person.phone)
    return contact_id


def write_account(outbox: Outbox, world: World, person: Person, account: Account, contact_id: str) -> None:
    """The company of `person`, who buys for it, and the sales that were tried with it."""
    rng = person.rng
    created = world.start - int(rng.uniform(30, 900) * DAY)
    employees = account.employees
    for version in range(rng.choices((1, 2), (75, 25))[0]):
        modified = created if not version else world.start + int(rng.random() * (world.end - world.start))
        outbox.add(
            "salesforce/account",
            modified,
            (
                account.account_id,
                account.name,
                account.industry,
                employees,
                f"https://{account.domain}",
                person.city[2],
                "false",
                iso(created),
                iso(modified),
            ),
        )
        employees += rng.randrange(1, 40)
    for _ in range(rng.choices((0, 1, 2), (40, 45, 15))[0]):
        _write_opportunity(outbox, world, person, account, contact_id)


def _write_opportunity(outbox: Outbox, world: World, person: Person, account: Account, contact_id: str) -> None:
    rng = person.rng
    opportunity_id = "006" + random_id(rng, 15)
    created = modified = world.start + int(rng.random() * (world.end - world.start))
    amount = rng.randrange(50_000, 2_500_000)
    closes = DATES[(created + int(rng.uniform(10, 90) * DAY)) // DAY]
    last_stage = rng.choice(("Closed Won", "Closed Lost", "Negotiation/Review"))
    for stage in ("Prospecting", "Proposal/Price Quote", last_stage):
        row = (
            opportunity_id,
            account.account_id,
            contact_id,
            f"{account.name} team outfit",
            stage,
            f"{amount / 100:.2f}",
            closes,
            _flag(stage == "Closed Won"),
            _flag(stage.startswith("Closed")),
            "false",
            iso(created),
            iso(modified),
        )
        if not outbox.add("salesforce/opportunity", modified, row):
            return
        modified += int(rng.uniform(1, 20) * DAY)
