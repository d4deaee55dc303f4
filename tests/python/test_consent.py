"""Consent: the truth table of the spec, on every way into a tool, and a revoked yes that reaches the tool."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from support import START, UNTESTED, copy_project, land_messages, message, new_project, webhook_receiver

from cdi.dbt import load_manifest, run_dbt
from cdi.errors import UsageError
from cdi.project import Project
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


def add_model(root: Path, tool: str, sql: str) -> None:
    folder = root / "models" / "activation" / tool
    folder.mkdir()
    (folder / f"{tool}__people.sql").write_text(sql)
    (folder / f"{tool}__people.yml").write_text(
        f"version: 2\nmodels:\n  - name: {tool}__people\n    config:\n      meta:\n"
        f"        sync: {{tool: {tool}, key: profile_id}}\n"
    )


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def project(request, tmp_path_factory) -> Iterator[Project]:
    """The project with more tools, built on the people of the truth table."""
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
            land_messages(warehouse, truth_messages(), 1)
        as_of = (START + timedelta(days=2)).isoformat(sep=" ")
        build = ["build", *UNTESTED, "--select", "+activation"]
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


def test_the_truth_table(project):
    made, _ = project
    with connect(made) as warehouse:
        for tool in ("advertiser", "both", "none"):
            sent = {email for (email,) in warehouse.query(f"select email from activation.{tool}__people")}
            sent -= {"stays@example.com", "leaves@example.com"}
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
    # All that a choice changes.
    rebuild = ["run", "--select", "events", "consent_observations", "identifier_sets", "identity_graph"]
    with webhook_receiver() as receiver:
        monkeypatch.setenv("CDI_WEBHOOK_SECRET", "for-tests-only")
        monkeypatch.setenv("CDI_WEBHOOK_URL", receiver.url)
        sync(made, names=syncs)
        held = receiver.held[syncs[0]]
        assert {row["email"] for row in held.values()} == {"stays@example.com", "leaves@example.com"}
        with connect(made) as warehouse:
            no = {"consent": {"categoryPreferences": {"Advertising": False}}}
            choice = message("track", START + timedelta(hours=1), event=PREFERENCE, userId="leaves", context=no)
            land_messages(warehouse, [choice], 2)
        assert run_dbt(made, [*rebuild, "profile_consent", *syncs]).success
        (result,) = sync(made, names=syncs)
        assert (result.removed, result.delivered) == (1, 1)
        assert {row["email"] for row in held.values()} == {"stays@example.com"}
