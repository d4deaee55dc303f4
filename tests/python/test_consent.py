"""Consent: the truth table of the spec, on every way into a tool, and a revoked yes that reaches the tool."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from support import START, UNTESTED, copy_project, land_messages, message, new_project, simulated, webhook_receiver

from cdi.dbt import load_manifest, run_dbt
from cdi.errors import UsageError
from cdi.privacy.requests import request
from cdi.project import Project
from cdi.simulator.amplitude import Amplitude
from cdi.simulator.mixpanel import Mixpanel
from cdi.sync import sync
from cdi.sync.declared import declared_syncs
from cdi.warehouse import connect

PREFERENCE = "Segment Consent Preference Updated"
ALL = {"advertiser", "both", "none"}
# Person: the consent objects of their events in order (None: the event has none), and the tools that may know them.
# advertiser needs Advertising, both needs Advertising and DataSharing, none needs nothing.
TRUTH: dict[str, tuple[list[Any], set[str]]] = {
    "never asked": ([None], ALL),
    "no preferences in the object": ([{}], ALL),
    "empty object": ([{"categoryPreferences": {}}], {"none"}),
    "yes to all": ([{"categoryPreferences": {"Advertising": True, "DataSharing": True}}], ALL),
    "one of two": ([{"categoryPreferences": {"Advertising": True, "DataSharing": False}}], {"advertiser", "none"}),
    "the other of two": ([{"categoryPreferences": {"Advertising": False, "DataSharing": True}}], {"none"}),
    "category missing": ([{"categoryPreferences": {"Advertising": True}}], {"advertiser", "none"}),
    "only unknown categories": ([{"categoryPreferences": {"Weather": True}}], {"none"}),
    "null is no yes": ([{"categoryPreferences": {"Advertising": None, "DataSharing": "yes"}}], {"none"}),
    "took it back": (
        [{"categoryPreferences": {"Advertising": True}}, None, {"categoryPreferences": {"Advertising": False}}],
        {"none"},
    ),
    "came round": (
        [{"categoryPreferences": {}}, {"categoryPreferences": {"Advertising": True}}, None],
        {"advertiser", "none"},
    ),
}
MODELS = {
    "advertiser": "select profile_id, email from {{ ref('profiles') }}",
    "both": "with everybody as (select * from {{ ref('profiles') }}) select everybody.profile_id, email from everybody",
    "none": "select profile_id, email from {{ ref('profiles') }} -- not a word of consent",
    # Ids that no person has would be ids that nobody has refused for.
    "faked": "select {{ dbt.hash('profile_id') }} as profile_id, email from {{ ref('profiles') }}",
}
BROKEN = {
    "unlisted": "select profile_id, email from {{ ref('profiles') }}",
    "unkeyed": "select email from {{ ref('profiles') }}",
    "misspelt": "select profile_id, email from {{ ref('profiles') }}",
}
MORE_TOOLS = """advertiser,Advertising
both,Advertising
both,DataSharing
none,
faked,Advertising
unkeyed,Advertising
misspelt,Advertisign
"""

# Person: what they first said to Analytics (None: nobody asked), and what becomes of them afterwards.
ANALYSED = {"silent": None, "agrees": True, "refuses": False, "withdraws": True, "suppressed": True}
LONG_AGO = timedelta(days=20)
loads = itertools.count(2)
EVENTS = ["amplitude__order_events", "mixpanel__events"]
# All that a choice changes, and on PostgreSQL the views that go with it.
REBUILD = (
    "run", "--select", "events", "consent_observations", "identifier_sets", "identity_graph", "profile_consent",
    "webhook__abandoned_cart", *EVENTS, *(f"{tool}__people" for tool in MODELS),
)  # fmt: skip


def add_model(root: Path, tool: str, sql: str) -> None:
    folder = root / "models" / "activation" / tool
    folder.mkdir()
    (folder / f"{tool}__people.sql").write_text(sql)
    (folder / f"{tool}__people.yml").write_text(
        f"version: 2\nmodels:\n  - name: {tool}__people\n    config:\n      meta:\n"
        f"        sync: {{tool: {tool}, key: profile_id}}\n"
    )


@pytest.fixture(scope="module", autouse=True)
def privacy_key() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CDI_PRIVACY_KEY", "a key for tests alone, 32 characters and more")
        yield


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def project(request, tmp_path_factory) -> Iterator[Project]:
    """The project with more tools, built on the people of the truth table and those who are to be analysed."""
    folder = tmp_path_factory.mktemp("consent")
    root = copy_project(ROOT, folder / "project")
    with (root / "seeds" / "consent_categories.csv").open("a") as seed:
        seed.write(MORE_TOOLS)
    for tool, sql in {**MODELS, **BROKEN}.items():
        add_model(root, tool, sql)
    with new_project(request.param, root, folder) as made:
        # Raw tables come with the first build.
        assert run_dbt(made, ["run", "--select", "stg_segment__messages"]).success
        with connect(made) as warehouse:
            land_messages(warehouse, [*truth_messages(), *visits_and_orders("first", START)], 1)
        as_of = (START + timedelta(days=2)).isoformat(sep=" ")
        build = ["build", *UNTESTED, "--select", "+activation", "path:models/events"]
        result = run_dbt(made, build, {"as_of": as_of})
        assert {node.name for node in result.nodes if node.failed} == {f"{tool}__people" for tool in BROKEN}
        yield made, {node.name: node.message for node in result.nodes if node.failed}


def truth_messages() -> list[dict[str, Any]]:
    product = {"product_id": "p", "name": "Boot", "price": 60}
    messages = []
    for buyer in ("stays", "leaves"):
        messages.append(message("identify", START, traits={"email": f"{buyer}@example.com"}, userId=buyer))
        messages.append(message("track", START, event="Product Added", userId=buyer, properties=product))
    for person, (choices, _) in TRUTH.items():
        who = {"userId": f"user {person}"}
        messages.append(message("identify", START, traits={"email": f"{person.replace(' ', '-')}@example.com"}, **who))
        for step, choice in enumerate(choices):
            context = {} if choice is None else {"consent": choice}
            # `integrations` says where one event goes. Nothing here sends events, and it never widens a no.
            integrations = {"All": True, "advertiser": True, "both": True}
            at = START + timedelta(minutes=step)
            messages.append(message("track", at, event=PREFERENCE, context=context, integrations=integrations, **who))
    return messages


def visits_and_orders(name: str, at: datetime) -> list[dict[str, Any]]:
    """A page and an order of each of ANALYSED, with what they first said of Analytics; ids begin with the person."""
    messages = []
    for person, choice in ANALYSED.items():
        consent = {} if choice is None else {"consent": {"categoryPreferences": {"Analytics": choice}}}
        order = {"order_id": f"{person} {name}", "revenue": 5, "currency": "EUR", "products": []}
        who = {"userId": f"{person} to analyse", "context": consent if name == "first" else {}}
        messages.append(message("page", at, name="Home", messageId=f"{person}-{name}-page", **who))
        messages.append(
            message("track", at, event="Order Completed", properties=order, messageId=f"{person}-{name}-order", **who)
        )
    return messages


def test_the_truth_table(project):
    made, _ = project
    with connect(made) as warehouse:
        for tool in ("advertiser", "both", "none"):
            sent = {email for (email,) in warehouse.query(f"select email from activation.{tool}__people")}
            sent -= {"stays@example.com", "leaves@example.com", None}
            expected = {f"{who.replace(' ', '-')}@example.com" for who, (_, tools) in TRUTH.items() if tool in tools}
            assert sent == expected, tool
        assert warehouse.query("select count(*) from activation.faked__people") == [(0,)]


def test_no_model_gets_past_it(project):
    made, messages = project
    assert "consent_categories.csv says nothing about the tool 'unlisted'" in messages["unlisted__people"]
    assert "has a column profile_id" in messages["unkeyed__people"]
    assert "the category 'Advertisign' of the tool 'misspelt'" in messages["misspelt__people"]
    # Every model of the real project that is sent is built so.
    manifest = load_manifest(made)
    sent = [node for node in manifest.nodes.values() if node.resource_type == "model" and "sync" in node.config.meta]
    assert len(sent) >= 5
    assert {node.config.materialized for node in sent} == {"activation"}
    sent[0].config.materialized = "view"
    with pytest.raises(UsageError, match="not as activation"):
        declared_syncs(manifest)


def test_a_revoked_yes_takes_the_person_out_of_the_tool(project, monkeypatch):
    made, _ = project
    syncs = ["webhook__abandoned_cart"]
    with webhook_receiver() as receiver:
        monkeypatch.setenv("CDI_WEBHOOK_SECRET", "for-tests-only")
        monkeypatch.setenv("CDI_WEBHOOK_URL", receiver.url)
        sync(made, names=syncs)
        held = receiver.held[syncs[0]]
        assert {row["email"] for row in held.values()} == {"stays@example.com", "leaves@example.com"}
        with connect(made) as warehouse:
            no = {"consent": {"categoryPreferences": {"Advertising": False}}}
            choice = message("track", START + timedelta(hours=1), event=PREFERENCE, userId="leaves", context=no)
            land_messages(warehouse, [choice], next(loads))
        assert run_dbt(made, REBUILD).success
        (result,) = sync(made, names=syncs)
        assert (result.removed, result.delivered) == (1, 1)
        assert {row["email"] for row in held.values()} == {"stays@example.com"}


def test_events_go_once_and_of_nobody_who_may_not_be_analysed(project, monkeypatch):
    made, _ = project
    mixpanel, amplitude = Mixpanel(), Amplitude()

    def held() -> tuple[set[str], set[str]]:
        """Ids of the events of ANALYSED that Amplitude and Mixpanel hold."""
        tools = ({insert_id for _, insert_id in amplitude.events}, {key[3] for key in mixpanel.events})
        orders, events = ({key for key in keys if key.partition("-")[0] in ANALYSED} for keys in tools)
        return orders, events

    def deliver() -> list[int]:
        return [item.delivered for item in sync(made, names=EVENTS)]

    def ids(*names: str) -> set[str]:
        return {f"{name}-{kind}" for name in names for kind in ("page", "order")}

    with simulated(monkeypatch, mixpanel, amplitude):
        first = deliver()
        before = ids("silent-first", "agrees-first", "withdraws-first", "suppressed-first")
        assert held() == ({key for key in before if key.endswith("order")}, before)
        # Each once, and nothing else that may go is kept back.
        assert first == [len(amplitude.events), len(mixpanel.events)]
        assert all(event["user_id"] for event in amplitude.events.values())

        # One changes their mind, one is suppressed. What happens then comes beside what happened long before, and
        # what landed is landed again.
        assert request(made, "SUPPRESS_ONLY", ["user_id=suppressed to analyse"]).status == "FINISHED"
        no = {"consent": {"categoryPreferences": {"Analytics": False}}}
        choice = message("track", START, event=PREFERENCE, userId="withdraws to analyse", context=no)
        news = visits_and_orders("next", START + timedelta(hours=2)) + visits_and_orders("late", START - LONG_AGO)
        with connect(made) as warehouse:
            land_messages(warehouse, [choice, *news, *visits_and_orders("first", START)], next(loads))
        assert run_dbt(made, REBUILD).success
        assert deliver() == [4, 8]
        after = before | ids("silent-next", "silent-late", "agrees-next", "agrees-late")
        assert held() == ({key for key in after if key.endswith("order")}, after)
        assert deliver() == [0, 0]

        # What waited while somebody was suppressed goes when they no longer are.
        assert request(made, "UNSUPPRESS", ["user_id=suppressed to analyse"]).status == "FINISHED"
        assert deliver() == [2, 4]
        assert held()[1] == after | ids("suppressed-next", "suppressed-late")
