"""Audiences say what they mean: against an oracle in plain Python, kept up to date as when built in full."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from conftest import ROOT
from support import AGAIN, START, UNTESTED, copy_project, land_messages, message, new_project

from cdi.audiences.forms import Compiled, compile_forms
from cdi.dbt import load_manifest, run_dbt
from cdi.errors import CdiError, UsageError
from cdi.project import Project
from cdi.warehouse import Warehouse, connect

NAMES = {
    "product_added": "Product Added",
    "checkout_started": "Checkout Started",
    "order_completed": "Order Completed",
}
SPANS = {"30 minutes": 0.5, "1 hour": 1, "2 hours": 2, "3 hours": 3, "1 day": 24}
PEOPLE = 60
SEED = int(os.environ.get("CDI_TEST_SEED", "20261101"))


# The oracle: what a sequence or a count means, said once more and by brute force.


@dataclass(frozen=True)
class Event:
    """An event that happened `hour` hours after START to somebody that one identifier tells."""

    identifier: str
    name: str
    hour: float
    cart: str | None
    price: float | None
    number: int


@dataclass(frozen=True)
class Step:
    """A step of a sequence: `same` compares the cart with step number `same` (0: with nothing)."""

    kind: str
    event: str
    within: str | None = None
    same: int = 0
    price: int | None = None
    wait: bool = True

    def jinja(self) -> str:
        """As the model says it."""
        more = [f"'{self.event}'"]
        if self.within:
            more.append(f"within='{self.within}'")
        if self.same:
            more.append(f"same={{'cart_id': {self.same}}}")
        if self.price:
            more.append(f"where={{'{price_of(self.event)}': {{'at_least': {self.price}}}}}")
        if not self.wait:
            more.append("wait=false")
        return f"cdi.{self.kind}({', '.join(more)})"

    def takes(self, event: Event) -> bool:
        """Whether an event may be this step."""
        return event.name == self.event and (
            self.price is None or (event.price is not None and event.price >= self.price)
        )


@dataclass(frozen=True)
class Sequence:
    """A condition about order."""

    steps: tuple[Step, ...]
    within: str | None = None

    def jinja(self) -> str:
        """As the model says it."""
        window = f", within='{self.within}'" if self.within else ""
        return f"cdi.sequence([{', '.join(step.jinja() for step in self.steps)}]{window})"

    def holds(self, events: list[Event], now: float) -> bool:
        """Try every way to give events to the steps that happen."""
        happen = [number for number, step in enumerate(self.steps, 1) if step.kind != "then_not"]
        known = [event for event in events if event.hour <= now]

        def extend(chain: dict[int, Event]) -> bool:
            done = len(chain)
            last = happen[done - 1]
            following = happen[done] if done < len(happen) else len(self.steps) + 1
            barred = [(number, self.steps[number - 1]) for number in range(last + 1, following)]
            if done == len(happen):
                return not any(self._barred(step, chain, last, None, known, now) for _, step in barred)
            step = self.steps[following - 1]
            for event in known:
                if (
                    step.takes(event)
                    and self._follows(step, chain, last, event)
                    and not any(self._barred(other, chain, last, event, known, now) for _, other in barred)
                    and extend(chain | {following: event})
                ):
                    return True
            return False

        return any(
            self.steps[0].takes(event)
            and (self.within is None or event.hour > now - SPANS[self.within])
            and extend({1: event})
            for event in known
        )

    @staticmethod
    def _follows(step: Step, chain: dict[int, Event], last: int, event: Event) -> bool:
        return (
            event not in chain.values()
            and event.hour >= chain[last].hour
            and (step.within is None or event.hour <= chain[last].hour + SPANS[step.within])
            and (not step.same or (event.cart is not None and event.cart == chain[step.same].cart))
        )

    def _barred(
        self, step: Step, chain: dict[int, Event], last: int, upto: Event | None, known: list[Event], now: float
    ) -> bool:
        if upto is None and step.within and step.wait and now < chain[last].hour + SPANS[step.within]:
            return True
        return any(
            step.takes(event)
            and self._follows(step, chain, last, event)
            and event != upto
            and (upto is None or event.hour <= upto.hour)
            for event in known
        )


@dataclass(frozen=True)
class Count:
    """A condition about how often; `where` about the price."""

    event: str
    least: int
    most: int | None
    window: tuple[str | None, str | None]
    price: int | None

    def jinja(self) -> str:
        """As the model says it: `did_not` where the most is 0."""
        more = [f"'{self.event}'"]
        if self.most != 0:
            more.append(f"at_least={self.least}")
            if self.most is not None:
                more.append(f"at_most={self.most}")
        near, far = self.window
        if near:
            more.append(f"between=['{near}', '{far}']")
        elif far:
            more.append(f"within='{far}'")
        if self.price:
            more.append(f"where={{'{price_of(self.event)}': {{'at_least': {self.price}}}}}")
        return f"cdi.{'did_not' if self.most == 0 else 'did'}({', '.join(more)})"

    def holds(self, events: list[Event], now: float) -> bool:
        """Count them."""
        near, far = self.window
        count = sum(
            Step("then", self.event, price=self.price).takes(event)
            and event.hour <= now - (SPANS[near] if near else 0)
            and (far is None or event.hour > now - SPANS[far])
            for event in events
        )
        return count >= self.least and (self.most is None or count <= self.most)


def price_of(event: str) -> str:
    """The property that holds a price: of orders it is one of its products'."""
    return "products[].price" if event == "order_completed" else "price" if event == "product_added" else "value"


def random_sequence(dice: random.Random) -> Sequence:
    """A sequence of up to five steps."""
    steps: list[Step] = []
    for number in range(1, dice.randint(2, 5) + 1):
        happened = [index for index, step in enumerate(steps, 1) if step.kind != "then_not"]
        steps.append(
            Step(
                kind="first" if number == 1 else dice.choice(["then", "then", "then_not", "then_not"]),
                event=dice.choice(list(NAMES)),
                within=dice.choice([None, None, *SPANS]) if number > 1 else None,
                same=dice.choice([0, dice.choice(happened)]) if number > 1 else 0,
                price=dice.choice([None, None, 10]),
            )
        )
    if steps[-1].kind == "then_not" and dice.random() < 0.3:
        steps[-1] = Step(steps[-1].kind, steps[-1].event, steps[-1].within, steps[-1].same, steps[-1].price, False)
    return Sequence(tuple(steps), dice.choice([None, None, *SPANS]))


def random_count(dice: random.Random) -> Count:
    """A count with or without a window."""
    least, most = dice.choice([(1, None), (2, None), (0, 0), (0, 1), (1, 2), (2, 2)])
    windows = [(None, None), (None, "3 hours"), (None, "1 day"), ("1 hour", "3 hours"), ("2 hours", "1 day")]
    return Count(dice.choice(list(NAMES)), least, most, dice.choice(windows), dice.choice([None, 10]))


def random_events(dice: random.Random, load: int) -> list[Event]:
    """Events of people on a grid of half hours, so that many are of the same moment."""
    events = []
    for person in range(PEOPLE):
        if load > 1 and dice.random() < 0.5:
            continue
        for _ in range(dice.randint(0, 7)):
            events.append(
                Event(
                    identifier=dice.choice([f"user_id:u{person}", f"anonymous_id:a{person}"]),
                    name=dice.choice(list(NAMES)),
                    hour=dice.randrange(20) / 2,
                    cart=dice.choice(["c1", "c2", None]),
                    price=dice.choice([5, 20, None]),
                    number=load * 100_000 + len(events),
                )
            )
    return events


def as_message(event: Event) -> dict[str, Any]:
    """The event as it lands."""
    kind, value = event.identifier.split(":")
    properties: dict[str, Any] = {"cart_id": event.cart}
    if event.name == "product_added":
        properties |= {"product_id": "p", "price": event.price}
    elif event.name == "checkout_started":
        properties["value"] = event.price
    else:
        # Two of three products cost what the event says: the order counts once.
        prices = {"a": 1, "b": event.price, "c": event.price}
        products = [{"product_id": name, "price": price} for name, price in prices.items()]
        properties |= {"order_id": f"o{event.number}", "products": products}
    return message(
        "track", START + timedelta(hours=event.hour), messageId=f"e{event.number}", event=NAMES[event.name],
        properties=properties, **{"userId" if kind == "user_id" else "anonymousId": value},
    )  # fmt: skip


# The project with some audiences of its own.

ABANDONED = Sequence((Step("first", "product_added"), Step("then_not", "order_completed", "2 hours")))
CONDITIONS: list[Sequence | Count] = [ABANDONED]
for _index in range(60):
    _dice = random.Random(SEED + _index)
    CONDITIONS.append(random_sequence(_dice) if _index % 3 else random_count(_dice))

TRAITS = {
    "cdi.trait('count_orders', at_least=2)": lambda row, now: row["count_orders"] >= 2,
    "cdi.trait('last_order_at', within='3 hours')": lambda row, now: (
        row["last_order_at"] is not None and row["last_order_at"] > now - timedelta(hours=3)
    ),
    "cdi.trait('last_order_at', not_within='3 hours')": lambda row, now: (
        row["last_order_at"] is None or row["last_order_at"] <= now - timedelta(hours=3)
    ),
    "cdi.trait('last_order_at', more_than_ago='1 hour', exists=true)": lambda row, now: (
        row["last_order_at"] is not None and row["last_order_at"] <= now - timedelta(hours=1)
    ),
    "cdi.trait('is_known', equals=false)": lambda row, now: not row["is_known"],
}

MODELS = {
    "generated.sql": "{{ cdi.audience(any=[\n    "
    + ",\n    ".join([condition.jinja() for condition in CONDITIONS] + list(TRAITS))
    + "\n]) }}\n",
    "left_a_cart.sql": "{{ cdi.audience(all=[" + ABANDONED.jinja() + "], columns=['count_orders']) }}\n",
    "nested.sql": """{{ cdi.audience(all=[
        cdi.in_audience('left_a_cart'),
        cdi.none_of([cdi.did('order_completed', at_least=2), cdi.did_not('checkout_started')])
    ]) }}\n""",
    "outside.sql": """{{ cdi.audience(
        any=[cdi.all_of([cdi.did('order_completed'), cdi.not_in_audience('left_a_cart')]), cdi.in_audience('nested')]
    ) }}\n""",
}

ORDERED = "cdi.did('order_completed')"
ACCOUNTS = {
    "any_ordered": f"users='any', all=[{ORDERED}], columns=['name']",
    "all_ordered": f"users='all', all=[{ORDERED}]",
    "none_ordered": f"users='none', all=[{ORDERED}]",
    "large_ordered": f"all=[{ORDERED}], traits=[cdi.trait('count_members', at_least=2)]",
    "ordered_then_added": "all=[cdi.sequence([cdi.first('order_completed'), cdi.then('product_added')])]",
}


@dataclass
class Shop:
    """The project, its manifest (parsed once), an open file of events, and what has landed."""

    project: Project
    manifest: Any
    landed: list[Event]
    linked: set[int]

    def run(self, select: str, hour: float, *more: str) -> None:
        """Build some models as of an hour after START."""
        as_of = (START + timedelta(hours=hour)).isoformat(sep=" ")
        result = run_dbt(
            self.project,
            ["build", *UNTESTED, "--select", *select.split(), *more],
            {"as_of": as_of}, self.manifest,
        )  # fmt: skip
        assert result.success, [node.message for node in result.nodes if node.failed]

    def persons(self) -> dict[str, list[Event]]:
        """One identifier of each profile, with the profile's events."""
        found: dict[str, list[Event]] = {f"user_id:u{person}": [] for person in self.linked}
        for event in self.landed:
            person = event.identifier.split(":")[1][1:]
            linked = int(person) in self.linked
            found.setdefault(f"user_id:u{person}" if linked else event.identifier, []).append(event)
        return found


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The project with the audiences above and nothing landed."""
    folder = tmp_path_factory.mktemp("audiences")
    root = copy_project(ROOT, folder / "project")
    for name, text in MODELS.items():
        (root / "models" / "audiences" / name).write_text(text)
    (root / "models" / "audiences" / "accounts").mkdir(exist_ok=True)
    for name, text in ACCOUNTS.items():
        (root / "models" / "audiences" / "accounts" / f"{name}.sql").write_text(
            "{{ cdi.account_audience(" + text + ") }}\n"
        )
    with new_project(request.param, root, folder / "warehouse") as project:
        made = Shop(project, load_manifest(project), [], set())
        made.run("stg_segment__messages", 0)
        yield made


def columns_of_generated(manifest: Any) -> list[str]:
    """The names of the conditions of the audience `generated`, in their order."""
    tree = manifest.nodes["model.cdi.generated"].config.meta["audience"]
    return [condition["name"] for condition in tree["conditions"][0]["conditions"]]


def conditions_by_identifier(warehouse: Warehouse, names: list[str]) -> dict[str, tuple[Any, ...]]:
    """Identifier -> (profile_id, revision, a value per condition, then per condition the revision that changed it)."""
    columns = ", ".join(f"conditions.{name}" for name in names)
    changed = {
        (profile_id, name): (revision, holds)
        for profile_id, name, revision, holds in warehouse.query(
            "select profile_id, condition_name, revision, holds from cdi.changed_conditions"
        )
    }
    found = {}
    for identifier, profile_id, revision, *values in warehouse.query(
        f"select graph.identifier, conditions.profile_id, conditions.revision, {columns}"
        " from audiences.audience_conditions as conditions"
        " inner join identity.identity_graph as graph on conditions.profile_id = graph.profile_id"
    ):
        changes = [changed.get((profile_id, name)) for name in names]
        assert all(change is None or change[1] == value for change, value in zip(changes, values, strict=True))
        found[identifier] = (profile_id, revision, *values, *(change and change[0] for change in changes))
    return found


def check(shop: Shop, hour: float, before: dict[str, tuple[Any, ...]] | None) -> dict[str, tuple[Any, ...]]:
    """Compare the table of conditions with the oracle, and what flipped with the table as it was before."""
    names = columns_of_generated(shop.manifest)
    now = START + timedelta(hours=hour)
    with connect(shop.project) as warehouse:
        found = conditions_by_identifier(warehouse, names)
        profiles = warehouse.query("select profile_id, count_orders, last_order_at, is_known from profiles.profiles")
        ids = [row[0] for row in warehouse.query("select profile_id from audiences.audience_conditions")]
        generated = {row[0] for row in warehouse.query("select profile_id from audiences.generated")}
    assert sorted(ids) == sorted(row[0] for row in profiles)
    traits = {
        row[0]: dict(zip(["count_orders", "last_order_at", "is_known"], row[1:], strict=True)) for row in profiles
    }
    members = set()
    for identifier, events in shop.persons().items():
        profile_id, revision, *rest = found[identifier]
        values, flipped = rest[: len(names)], rest[len(names) :]
        for condition, value in zip(CONDITIONS, values, strict=False):
            assert value == condition.holds(events, hour), (
                hour,
                condition.jinja(),
                sorted(events, key=lambda e: e.hour),
            )
        for (jinja, holds), value in zip(TRAITS.items(), values[len(CONDITIONS) :], strict=True):
            assert value == holds(traits[profile_id], now), (hour, jinja)
        if any(values):
            members.add(profile_id)
        if before is not None:
            new = (profile_id, 0, *[False] * len(names), *[None] * len(names))
            old = next((row for row in before.values() if row[0] == profile_id), new)
            for value, flip, was, flip_was in zip(values, flipped, old[2:], old[2 + len(names) :], strict=False):
                assert flip == (revision if value != was else flip_was)
    assert members == generated
    return found


def test_conditions_mean_what_they_say_in_every_run(shop: Shop):
    dice = random.Random(SEED)
    for load in (1, 2):
        events = random_events(dice, load)
        messages = [as_message(event) for event in events]
        if load == 2:
            shop.linked.update(dice.sample(range(PEOPLE), PEOPLE // 2))
            messages += [
                message("identify", START, userId=f"u{person}", anonymousId=f"a{person}") for person in shop.linked
            ]
        with connect(shop.project) as warehouse:
            land_messages(warehouse, messages, load)
        shop.landed += events
        shop.run("+generated +outside", 5 if load == 1 else 7, *(AGAIN if load == 2 else ()))
        before = check(shop, 5 if load == 1 else 7, None if load == 1 else before)  # noqa: F821
        for hour in (6.5, 4, 12, 9.5) if load == 1 else (8, 3.5, 30):
            shop.run("audience_conditions generated left_a_cart nested outside", hour)
            before = check(shop, hour, before)
    shop.run("audience_conditions generated", 30, "--full-refresh")
    after = check(shop, 30, None)
    names = len(CONDITIONS) + len(TRAITS)
    assert {key: row[2 : 2 + names] for key, row in before.items()} == {
        key: row[2 : 2 + names] for key, row in after.items()
    }


def test_a_funnel_and_accounts(shop: Shop):
    def did(user: str, name: str, hour: float, account: str | None = None) -> dict[str, Any]:
        context = {"context": {"groupId": account}} if account else {}
        at = START + timedelta(hours=hour)
        properties = {"product_id": "p", "order_id": f"o-{user}-{hour}"}
        return message("track", at, userId=user, event=name, properties=properties, **context)

    added, ordered, viewed = NAMES["product_added"], NAMES["order_completed"], "Product Viewed"
    with connect(shop.project) as warehouse:
        land_messages(
            warehouse,
            [
                did("again", added, 40), did("again", ordered, 40.5), did("again", added, 41),
                did("buyer", added, 40), did("buyer", ordered, 42),
                did("buyer-at-once", added, 40), did("buyer-at-once", ordered, 40),
                did("late-buyer", added, 40), did("late-buyer", ordered, 42.25),
                did("undecided", added, 41.5),
                # Ordered for A; B is an account of the same person. C is the account of an order that names none.
                did("x1", viewed, 40, "A"), did("x1", viewed, 40, "B"), did("x1", ordered, 41, "A"),
                did("x1", "Product Added", 42, "B"), did("x2", viewed, 40, "A"),
                did("y1", viewed, 40, "C"), did("y1", ordered, 41), did("y1", added, 42),
            ],
            load=9,
        )  # fmt: skip
    shop.run("+left_a_cart " + " ".join(f"+{name}" for name in ACCOUNTS), 43)
    with connect(shop.project) as warehouse:
        cart = warehouse.query(
            "select graph.identifier from audiences.left_a_cart as members inner join identity.identity_graph as graph"
            " on members.profile_id = graph.profile_id where graph.identifier in ('user_id:again', 'user_id:buyer',"
            " 'user_id:buyer-at-once', 'user_id:late-buyer', 'user_id:undecided')"
        )
        found = {
            name: {row[0] for row in warehouse.query(f"select account_id from audiences.{name}")} for name in ACCOUNTS
        }
    assert {row[0] for row in cart} == {"user_id:again", "user_id:late-buyer"}
    assert found == {
        "any_ordered": {"A", "C"},
        "all_ordered": {"C"},
        "none_ordered": {"B"},
        "large_ordered": {"A"},
        "ordered_then_added": {"C"},
    }


# Forms, and what is wrong with audiences: without a warehouse.

FORM = """\
description: People who left a cart, and others.
columns: [email, count_orders]
all:
  - trait: country
    one_of: [AT, 'Côte d''Ivoire']
  - did: Order Completed
    at_least: 2
    within: 30 days
    where:
      revenue: {at_least: 20.5}
      products[].product_id: p
  - any_of:
      - in_audience: high_value_customers
      - none_of:
          - did_not: product_viewed
            between: [1 day, 30 days]
any:
  - sequence:
      - first: product_added
        where: {price: 3}
      - then: checkout_started
        within: 2 days
        same: [cart_id]
      - then_not: order_completed
        within: 1 day
        same: {cart_id: 1}
        wait: false
    within: 7 days
  - trait: is_known
    equals: true
"""
BY_HAND = """\
{{ cdi.audience(
    all=[
        cdi.trait('country', one_of=['AT', "Côte d'Ivoire"]),
        cdi.did('Order Completed', at_least=2, within='30 days', where={
            'revenue': {'at_least': 20.5}, 'products[].product_id': 'p'
        }),
        cdi.any_of([
            cdi.in_audience('high_value_customers'),
            cdi.none_of([cdi.did_not('product_viewed', between=['1 day', '30 days'])])
        ])
    ],
    any=[
        cdi.sequence([
            cdi.first('product_added', where={'price': 3}),
            cdi.then('checkout_started', within='2 days', same=['cart_id']),
            cdi.then_not('order_completed', within='1 day', same={'cart_id': 1}, wait=false)
        ], within='7 days'),
        cdi.trait('is_known', equals=true)
    ],
    columns=['email', 'count_orders']
) }}
"""
WRONG_FORM = """\
description: Wrong.
colour: red
columns: [email, shoe_size]
all:
  - trait: shoe_size
    equals: 44
  - did: Order Eaten
  - did: order_completed
    where:
      colour: red
    often: true
  - sequence:
      - first: product_added
      - that: order_completed
  - in_audience: nobody
  - did: order_completed
    within: a while
    at_least: many
    where: {revenue: {is: 3}}
  - trait: postal_code
    equals: 01067
  - sequence:
      - then: order_completed
"""
WRONG = {
    "cdi.did('order_eaten')": "'order_eaten' is no event",
    "cdi.did('order_completed', where={'colour': 'red'})": "'colour' is no property here",
    "cdi.did('order_completed', where={'revenue': {'at_least': 'many'}})": "many is no number",
    "cdi.did('order_completed', exactly=1, at_most=2)": "exactly excludes at_least and at_most",
    "cdi.did('order_completed', at_least=1.5)": "at_least is no whole number",
    "cdi.did('order_completed', within='a while')": "within 'a while' is no span",
    "cdi.trait('shoe_size', equals=44)": "'shoe_size' is no trait",
    "cdi.trait('count_orders', contains='1')": "'contains' needs a text",
    "cdi.trait('count_orders', within='3 days')": "'within' needs a timestamp",
    "cdi.trait('count_orders')": "say what the trait has to be",
    "cdi.did('signed_out')": "asks about 'signed_out': add it to the reads in models/audiences/conditions",
    "cdi.sequence([cdi.then('product_added')])": "step 1: a sequence has one first step",
    "cdi.sequence([cdi.first('product_added'), cdi.then('order_completed', same={'cart_id': 2})])": (
        "step 2, same cart_id: 2 is not the number of a step before it"
    ),
    "cdi.sequence([cdi.first('product_added'), cdi.then('order_completed', same=['price'])])": (
        "'price' is no property of order_completed"
    ),
    "cdi.sequence([cdi.first('product_added'), cdi.then('order_completed', same='cart_id')])": (
        "step 2: same 'cart_id' is no list such as ['cart_id']"
    ),
    "cdi.trait('last_order_at', within='0 days')": "within: '0 days' is no span",
    "cdi.in_audience('order_completed')": "'order_completed' is no audience of people",
    "cdi.not_in_audience('active_accounts')": "'active_accounts' is no audience of people",
}


@pytest.fixture(scope="module")
def unbuilt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A copy of the project whose warehouse is never asked."""
    folder = tmp_path_factory.mktemp("unbuilt")
    root = copy_project(ROOT, folder / "project")
    with new_project("duckdb", root, folder / "warehouse") as project:
        yield project


def test_forms_say_the_same_as_models(unbuilt: Project):
    manifest = load_manifest(unbuilt)
    assert compile_forms(unbuilt.root, manifest, check=True) == Compiled([], [])
    folder = unbuilt.root / "models" / "audiences"
    form, model = folder / "from_form.audience", folder / "from_form.sql"
    form.write_text(FORM)
    (folder / "by_hand.sql").write_text(BY_HAND)
    assert compile_forms(unbuilt.root, manifest).written == [model, folder / "from_form.yml"]
    manifest = load_manifest(unbuilt)
    trees = [manifest.nodes[f"model.cdi.{name}"].config.meta["audience"] for name in ("from_form", "by_hand")]
    assert trees[0] == trees[1]
    assert compile_forms(unbuilt.root, manifest, check=True) == Compiled([], [])

    form.write_text(WRONG_FORM)
    with pytest.raises(UsageError) as caught:
        compile_forms(unbuilt.root, manifest)
    place = "models/audiences/from_form.audience"
    for line, problem in {
        2: "'colour' is nothing that a form has", 3: "'shoe_size' is no column of profiles",
        5: "'shoe_size' is no trait", 7: "'Order Eaten' is no event", 10: "'colour' is no property of order_completed",
        11: "'often' is nothing that did has", 14: "say one of first, then, then_not", 15: "'nobody' is no audience",
        17: "'a while' is no span", 18: "at_least is a whole number from 0", 19: "'is' is no condition",
        20: "a number that begins with 0 is a text: write it in quotes", 23: "a sequence has one first step",
    }.items():  # fmt: skip
        assert f"{place}:{line}: {problem}" in caught.value.message
    form.write_text("all: [\n")
    with pytest.raises(UsageError, match=f"{place}:2: "):
        compile_forms(unbuilt.root, manifest)

    form.unlink()
    assert compile_forms(unbuilt.root, manifest).removed == [model, folder / "from_form.yml"]
    (folder / "by_hand.audience").write_text(FORM)
    with pytest.raises(UsageError, match=r"by_hand\.sql is in the way"):
        compile_forms(unbuilt.root, manifest)
    (folder / "by_hand.audience").unlink()
    (folder / "by_hand.sql").unlink()


def test_wrong_audiences_are_refused(unbuilt: Project):
    folder = unbuilt.root / "models" / "audiences"
    compiled = ["compile", "--no-introspect", "--no-populate-cache", "--select", "audience_conditions"]
    for number, text in enumerate(WRONG):
        (folder / f"wrong_{number}.sql").write_text("{{ cdi.audience(all=[" + text + "]) }}\n")
    with pytest.raises(CdiError) as caught:
        run_dbt(unbuilt, compiled)
    for number, problem in enumerate(WRONG.values()):
        assert f"models/audiences/wrong_{number}.sql" in caught.value.message, number
        assert problem in caught.value.message, problem
        (folder / f"wrong_{number}.sql").unlink()

    for text, problem in {
        "all=[]": "wrong.sql: the audience has no conditions",
        "all=['did it']": "wrong.sql: did it is no condition",
        "all=cdi.did('order_completed')": "is no list of conditions",
        "all=[cdi.sequence([])]": r"wrong.sql: \[\] is no list of steps",
    }.items():
        (folder / "wrong.sql").write_text("{{ cdi.audience(" + text + ") }}\n")
        with pytest.raises(CdiError, match=problem):
            run_dbt(unbuilt, ["parse"])
    for columns, problem in {
        "'email'": "columns email is no list", "['email', 'email']": "'email' is a column of it already",
        "['profile_id']": "'profile_id' is a column of it already",
    }.items():  # fmt: skip
        (folder / "wrong.sql").write_text("{{ cdi.audience(all=[cdi.did('page_viewed')], columns=" + columns + ") }}\n")
        with pytest.raises(CdiError, match=problem):
            run_dbt(unbuilt, ["compile", "--no-introspect", "--no-populate-cache", "--select", "wrong"])
    account = folder / "accounts" / "wrong_account.sql"
    account.write_text("{{ cdi.account_audience(all=[cdi.did('order_items')]) }}\n")
    with pytest.raises(CdiError, match="did order_items: 'order_items' has no group_id"):
        run_dbt(unbuilt, ["compile", "--no-introspect", "--no-populate-cache", "--select", "wrong_account"])
    account.unlink()
    for one, other in (("wrong", "other"), ("other", "wrong")):
        (folder / f"{one}.sql").write_text("{{ cdi.audience(all=[cdi.in_audience('" + other + "')]) }}\n")
    with pytest.raises(CdiError, match="cycle"):
        run_dbt(unbuilt, compiled)
