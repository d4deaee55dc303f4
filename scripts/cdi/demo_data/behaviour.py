"""What people do: when they come, how far down the funnel they get, and what they tell about themselves."""

from __future__ import annotations

from math import exp
from random import Random
from typing import Any

from cdi.demo_data import dirt, salesforce, stripe, till
from cdi.demo_data.assortment import (
    ARTICLES,
    CAMPAIGNS,
    CATEGORIES,
    CURRENCY,
    PRODUCTS,
    SALE_CAMPAIGN,
    SITE,
    Product,
)
from cdi.demo_data.messages import Outbox, Visit
from cdi.demo_data.money import Order, discount_for, product_lines
from cdi.demo_data.persons import PEOPLE_PER_BLOCK, Device, Person, make_household
from cdi.demo_data.world import DAY, MINUTE, ONLINE_HOURS, STORE_HOURS, World, uuid

STORE_VISITS_PER_DAY = 0.035


def _how_often(rng: Random, expected: float) -> int:
    """A Poisson number."""
    limit, product, count = exp(-min(expected, 500)), rng.random(), 0
    while product > limit:
        product *= rng.random()
        count += 1
    return count


def live(world: World, person: Person, outbox: Outbox, kiosks: dict[str, Device]) -> None:
    """Everything the person does in the window, in the order of time, written to the outbox."""
    rng = person.rng
    if person.account or (person.user_id and rng.random() < 0.12):
        contact_id = salesforce.write_contact(outbox, world, person)
        if person.account and person.owns_account:
            salesforce.write_account(outbox, world, person, person.account, contact_id)
    if person.user_id and rng.random() < 0.06:
        stripe.bill_membership(outbox, person, max(person.joins_at, person.registers_at), person.leaves_at)
    for time, what in _plan(world, person):
        if what == "browse":
            _browse(world, person, outbox, time)
        elif what == "mailing":
            _read_mail(world, person, outbox, time)
        elif rng.random() < 0.12:
            _use_kiosk(person, outbox, time, kiosks[person.store or ""])
        else:
            till.buy(outbox, person, time, _typed_email(person))


def _plan(world: World, person: Person) -> list[tuple[int, str]]:
    rng = person.rng
    joins, leaves = person.joins_at, person.leaves_at
    expected = person.sessions_per_day * (leaves - joins) / DAY
    # Whoever joins comes at least once; a customer from before may stay away.
    count = _how_often(rng, expected) + (joins > world.start)
    plan = [(world.moment(rng, joins, leaves, ONLINE_HOURS, person.utc_offset), "browse") for _ in range(count)]
    if person.wants_newsletter:
        plan += [
            (at + int(rng.expovariate(1 / (300 * MINUTE))), "mailing") for at in world.mailings if joins < at < leaves
        ]
    if person.store:
        visits = _how_often(rng, STORE_VISITS_PER_DAY * (person.leaves_store_at - joins) / DAY)
        plan += [
            (world.moment(rng, joins, person.leaves_store_at, STORE_HOURS, person.utc_offset), "store")
            for _ in range(visits)
        ]
    plan.sort()
    return plan


def _typed_email(person: Person) -> str:
    """The e-mail as the person gives it away: sometimes mistyped, sometimes a mailbox that others use."""
    chance = person.rng.random()
    if chance < 0.04:
        return dirt.mistype_email(person.rng, person.email)
    if person.shared_email and chance < 0.25:
        return person.shared_email
    return person.email


def _traits(person: Person) -> dict[str, Any]:
    """What the account page sends with identify; not everybody filled in everything."""
    rng = person.rng
    traits: dict[str, Any] = {
        "email": person.email if rng.random() < 0.97 else person.email.title(),
        "first_name": person.first_name,
        "last_name": person.last_name,
        "newsletter": person.is_subscribed,
    }
    if rng.random() < 0.6:
        traits |= {"city": person.city[0], "postal_code": person.city[1], "country": person.city[2]}
        traits["address"] = person.home.as_written(person.write_street)
    if rng.random() < 0.4:
        traits["phone"] = person.phone
    if rng.random() < 0.35:
        traits["birthday"] = person.birthday
    if person.loyalty_id and rng.random() < 0.5:
        traits["loyalty_id"] = person.loyalty_id
    return traits


def _log_in(visit: Visit, person: Person, user_id: str) -> None:
    rng = person.rng
    visit.log_in(user_id, _traits(person))
    visit.track("Signed In", {"method": "password" if rng.random() < 0.8 else "google"})
    if not visit.is_web and visit.anonymous_id and rng.random() < 0.2:
        visit.alias(visit.anonymous_id)
    if person.account and rng.random() < 0.7:
        account = person.account
        traits = {"name": account.name, "industry": account.industry, "employees": account.employees}
        visit.group(account.account_id, traits)


def _use_kiosk(person: Person, outbox: Outbox, time: int, kiosk: Device) -> None:
    """Look something up on the screen in the shop, mostly logged in, and log out (or be logged out) after."""
    visit = Visit(outbox, person, time, kiosk)
    visit.look_at("Store kiosk", "/kiosk")
    if person.user_id and person.registers_at <= time and person.rng.random() < 0.75:
        _log_in(visit, person, person.user_id)
    product = _choose_product(person)
    visit.look_at(product.name, product.path, product.category)
    visit.track("Product Viewed", product.line | {"currency": CURRENCY, "url": SITE + product.path})
    if visit.user_id:
        visit.log_out()


def _read_mail(world: World, person: Person, outbox: Outbox, time: int) -> None:
    """Open the newsletter, click through to the shop, or leave the list."""
    rng = person.rng
    if not person.is_subscribed or rng.random() > 0.38:
        return
    # Without an account the mailing tool knows the browser that joined the list.
    known = person.user_id if person.registers_at <= time else None
    server = Visit(outbox, person, time, None, anonymous_id=None if known else person.devices[0].anonymous_id)
    server.user_id = known
    mail = {
        "campaign_id": f"newsletter-{time // (7 * DAY)}",
        "campaign_name": "Weekly newsletter",
        "email_subject": "New this week",
        "email": person.email,
    }
    server.track("Email Opened", mail)
    if rng.random() < 0.03:
        person.is_subscribed = False
        server.track("Newsletter Unsubscribed", {"email": person.email, "list_id": "weekly"})
    elif rng.random() < 0.22:
        server.track("Email Link Clicked", mail | {"link_url": f"{SITE}/new"})
        campaign = {"name": mail["campaign_id"], "source": "newsletter", "medium": "email", "content": "hero"}
        _browse(world, person, outbox, server.time, campaign)


def _choose_device(person: Person) -> Device:
    rng = person.rng
    if person.shared_device and rng.random() < 0.25:
        return person.shared_device
    device = person.devices[int(len(person.devices) * rng.random() ** 1.6)]
    if device.platform == "web" and not device.user_id and rng.random() < 0.05:
        # Cookies were cleared.
        device.anonymous_id = uuid(rng)
    return device


def _choose_product(person: Person, category: str | None = None) -> Product:
    rng = person.rng
    if category is None:
        category = rng.choice(person.favourites) if rng.random() < 0.6 else rng.choice(CATEGORIES)
    return PRODUCTS[category][int(25 * rng.random() ** 2)]


def _choose_campaign(world: World, person: Person, time: int) -> dict[str, str] | None:
    rng = person.rng
    is_sale = world.sale[0] <= time < world.sale[1]
    if rng.random() < (0.35 if is_sale else 0.16):
        return SALE_CAMPAIGN if is_sale and rng.random() < 0.7 else rng.choice(CAMPAIGNS)
    return None


def _browse(world: World, person: Person, outbox: Outbox, time: int, campaign: dict[str, str] | None = None) -> None:
    """One visit to the shop's site or app, from looking around to buying."""
    rng = person.rng
    device = _choose_device(person)
    # Phones lose the network: everything of the visit is sent hours or days later.
    delay = dirt.late_by(rng) if device.platform != "web" and rng.random() < 0.06 else 0
    visit = Visit(outbox, person, time, device, campaign=campaign or _choose_campaign(world, person, time), delay=delay)
    visit.look_at("Home", "/")
    if person.consent is not None and not person.has_answered:
        visit.answer_consent(person.consent)
    elif person.has_answered and person.consent and rng.random() < 0.02:
        visit.answer_consent(person.consent | {"Advertising": not person.consent["Advertising"]})

    user_id = person.user_id
    if person.second_user_id and device is person.devices[-1]:
        user_id = person.second_user_id
    wants_to_log_in = bool(user_id) and not visit.user_id and time >= person.registers_at and rng.random() < 0.45
    log_in_after = rng.randrange(4) if wants_to_log_in else None

    if rng.random() < 0.06:
        topic, title = rng.choice(ARTICLES)
        visit.look_at(title, f"/magazine/{title.lower().replace(' ', '-')}", "Magazine")
        visit.track("Article Read", {"topic": topic, "title": title, "seconds_read": rng.randrange(15, 400)})
    if rng.random() < 0.22:
        visit.track("Products Searched", {"query": _choose_product(person).name.split()[1].lower()})
    basket: list[tuple[Product, int]] = []
    cart_id = f"cart_{rng.getrandbits(48):012x}"
    for step in range(_steps(rng)):
        if step == log_in_after and user_id:
            _log_in(visit, person, user_id)
            wants_to_log_in = False
        _look_for_products(visit, person, basket, cart_id)

    if person.wants_newsletter and not person.is_subscribed and rng.random() < 0.3:
        person.is_subscribed = True
        visit.track("Newsletter Subscribed", {"email": person.email, "list_id": "weekly"})
    if basket:
        if wants_to_log_in and user_id and rng.random() < 0.8:
            _log_in(visit, person, user_id)
        _check_out(world, visit, person, basket, cart_id)
    if device.user_id and (device.kind == "shared" or rng.random() < 0.06):
        visit.log_out()


def _steps(rng: Random) -> int:
    """How many lists somebody looks through: one or two, seldom many, and none if they leave at once."""
    return 0 if rng.random() < 0.2 else 1 + min(6, int(rng.expovariate(1.3)))


def _look_for_products(visit: Visit, person: Person, basket: list[tuple[Product, int]], cart_id: str) -> None:
    """Look through a category, at some of its products, and put what is liked into the cart."""
    rng = person.rng
    category = rng.choice(person.favourites) if rng.random() < 0.6 else rng.choice(CATEGORIES)
    if rng.random() < 0.75:
        visit.look_at(category, f"/c/{category.lower()}", category)
        visit.track("Product List Viewed", {"list_id": category.lower(), "category": category})
    for _ in range(1 + min(5, int(rng.expovariate(1.1)))):
        product = _choose_product(person, category)
        visit.look_at(product.name, product.path, category)
        viewed = visit.track("Product Viewed", product.line | {"currency": CURRENCY, "url": SITE + product.path})
        if viewed is not None and rng.random() < min(0.6, 0.13 * person.intent):
            quantity = 1 if rng.random() < 0.85 else rng.randrange(2, 4)
            basket.append((product, quantity))
            visit.track("Product Added", product.line | {"cart_id": cart_id, "quantity": quantity})


def _check_out(world: World, visit: Visit, person: Person, basket: list[tuple[Product, int]], cart_id: str) -> None:
    """Go from the cart to the order as far as the person gets; some orders come back later."""
    rng = person.rng
    items = tuple(basket)
    visit.track("Cart Viewed", {"cart_id": cart_id, "products": product_lines(items)})
    if rng.random() > 0.58:
        return
    is_sale = world.sale[0] <= visit.time < world.sale[1]
    coupon, discount = discount_for(rng, sum(product.price_cents * quantity for product, quantity in items), is_sale)
    order_id = f"W-{rng.getrandbits(48):012X}"
    order = Order(order_id, cart_id, f"co_{rng.getrandbits(48):012x}", items, coupon, discount)
    visit.look_at("Checkout", "/checkout")
    step = {"checkout_id": order.checkout_id, "cart_id": cart_id}
    started = {**step, "value": order.revenue / 100, "currency": CURRENCY, "products": product_lines(items)}
    email = _typed_email(person)
    gives_email = not visit.user_id or rng.random() < 0.15
    if gives_email and rng.random() < 0.5:
        started["email"] = email
    visit.track("Checkout Started", started)
    if rng.random() > 0.8:
        return
    by_card = rng.random() < 0.82
    visit.track("Payment Info Entered", step | {"payment_method": "card" if by_card else "paypal"})
    if rng.random() > 0.88:
        return
    properties = order.properties() | {"shipping_address": _shipping_address(world, person)}
    if gives_email:
        properties["email"] = email
    ordered_at = visit.track("Order Completed", properties)
    if ordered_at is None:
        return
    outbox = visit.outbox
    charge_id = stripe.pay(outbox, person, ordered_at, order, email, bool(visit.user_id)) if by_card else None
    if rng.random() < 0.09:
        _return(outbox, visit, person, order, charge_id, ordered_at + int(rng.uniform(3, 16) * DAY))


def _shipping_address(world: World, person: Person) -> dict[str, str]:
    """Where an order goes: home, or as a present to somebody else."""
    home = person.home
    if person.purse.random() < 0.02:
        home = make_household(world.seed, person.purse.randrange(world.people) // PEOPLE_PER_BLOCK).home
    return home.as_written(person.write_street)


def _return(outbox: Outbox, visit: Visit, person: Person, order: Order, charge_id: str | None, time: int) -> None:
    """Send back one article or the whole order: the server says so, and the card gets its money back."""
    rng = person.rng
    everything = len(order.items) == 1 or rng.random() < 0.6
    places = range(len(order.items)) if everything else [rng.randrange(len(order.items))]
    # Part by part rounding down could leave cents over.
    amount = order.revenue if everything else order.refund_of(places[0])
    server = Visit(outbox, person, time, None, anonymous_id=None if visit.user_id else visit.anonymous_id)
    server.user_id = visit.user_id
    refunded = server.track(
        "Order Refunded",
        {
            "order_id": order.order_id,
            "total": amount / 100,
            "currency": CURRENCY,
            "products": product_lines(tuple(order.items[place] for place in places)),
        },
    )
    if refunded is not None and charge_id:
        stripe.refund(outbox, person, refunded + MINUTE, order, charge_id, amount)
