"""From events to people: which identifiers an event carries, and what they make of whom, by the rules in seeds/."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from conftest import ROOT
from support import AGAIN, START, UNTESTED, copy_project, land_messages, message

from cdi.dbt import run_dbt
from cdi.project import Project
from cdi.warehouse import connect

BUILD = ["build", *UNTESTED, "--select", "+identity_graph", "identity_refused_links", "identity_merges"]
PHONE = {
    "device": {"type": "android", "id": "AN-1", "advertisingId": "Ad-1", "adTrackingEnabled": True, "token": "tok"}
}


def external(*ids: tuple[str, str], collection: str = "users") -> dict:
    return {"externalIds": [{"type": type_, "id": value, "collection": collection} for type_, value in ids]}


# An event's fields, and the identifiers that it must give, strongest first.
CARRIED = [
    ({"userId": " u1 ", "anonymousId": "a1", "traits": {"email": "  Jane@Example.COM "}},
     ["user_id:u1", "email:jane@example.com", "anonymous_id:a1"]),
    ({"anonymousId": "a2", "context": {"traits": {"email": "context@example.com", "phone": "0049 (30) 123-45"}}},
     ["email:context@example.com", "anonymous_id:a2", "phone:+493012345"]),
    ({"anonymousId": "a3", "properties": {"email": "property@example.com", "loyalty_id": "L1"}},
     ["email:property@example.com", "anonymous_id:a3", "loyalty_id:L1"]),
    ({"anonymousId": "a4", "context": PHONE},
     ["android.id:AN-1", "android.idfa:ad-1", "android.push_token:tok", "anonymous_id:a4"]),
    # Whoever switched tracking off is not identified by what their phone reports all the same.
    ({"anonymousId": "a5", "context": {"device": {**PHONE["device"], "id": "x", "token": None, "advertisingId": "Ad-2",
                                                  "adTrackingEnabled": False}}},
     ["android.id:x", "anonymous_id:a5"]),
    ({"anonymousId": "a6", "context": {"device": {"type": "ios", "id": "IOS-1"}}}, ["anonymous_id:a6", "ios.id:ios-1"]),
    ({"anonymousId": "a7", "context": {"integrations": {"Google Analytics": {"clientId": "1.2"}}}},
     ["anonymous_id:a7", "ga_client_id:1.2"]),
    ({"anonymousId": "a8", "context": external(("email", "External@example.com"), ("membership_no", "77"))},
     ["email:external@example.com", "anonymous_id:a8", "membership_no:77"]),
    # Accounts are no people, types that no rule knows are none, and blocked values name nobody.
    ({"anonymousId": "a9", "context": external(("email", "account@example.com"), collection="accounts")},
     ["anonymous_id:a9"]),
    ({"anonymousId": "a10", "context": external(("shoe_size", "42"))}, ["anonymous_id:a10"]),
    ({"anonymousId": "a11", "traits": {"membership_no": "78"}}, ["anonymous_id:a11", "membership_no:78"]),
    ({"anonymousId": "a12", "traits": {"membership_no": "test-1"}}, ["anonymous_id:a12"]),
    *(({"userId": junk, "anonymousId": f"b{number}"}, [f"anonymous_id:b{number}"])
      for number, junk in enumerate(["null", "0000-0000", "-1", "Anonymous", "undefined", "  ", "0", "NULL"])),
    ({"anonymousId": "a13", "groupId": "acme", "type": "group"}, ["anonymous_id:a13"]),
    ({"userId": "x" * 600, "anonymousId": "a14"}, ["anonymous_id:a14"]),
    ({"userId": "a:b'c\x1fd", "anonymousId": "a15"}, ["user_id:a:b'c d", "anonymous_id:a15"]),
    ({"userId": "u2", "previousId": "a16", "type": "alias"}, ["user_id:u2", "anonymous_id:a16"]),
    ({"userId": "00", "properties": {"total": 3}}, None),
]  # fmt: skip


@pytest.fixture
def custom_project(project_factory, tmp_path: Path) -> Project:
    """The project with one more type of identifier: three lines in seeds/, no code."""
    copy = copy_project(ROOT, tmp_path / "project")
    for seed, line in {
        "identifier_types": "membership_no,99,1,ever,exact",
        "identifier_sources": "membership_no,traits.membership_no,",
        "blocked_identifiers": "membership_no,pattern,^test-",
    }.items():
        with (copy / "seeds" / f"{seed}.csv").open("a") as file:
            file.write(line + "\n")
    return project_factory(copy)


def test_events_make_people_by_the_rules_in_seeds(custom_project: Project):
    assert run_dbt(custom_project, BUILD).success
    carried = [
        message(fields.get("type", "identify"), messageId=f"c{number}",
                **{name: value for name, value in fields.items() if name != "type"})
        for number, (fields, _) in enumerate(CARRIED)
    ]  # fmt: skip
    # Segment's own worked example: one mailbox, two user ids.
    worked = [
        message("identify", START + timedelta(minutes=1), userId="abc123", traits={"email": "jane@example1.com"}),
        message("identify", START + timedelta(minutes=2), userId="abc456", traits={"email": "jane@example1.com"}),
    ]
    # An alias, and a group call that two people of one company make.
    joined = [
        message("track", START, anonymousId="before", event="Product Viewed"),
        message("alias", START + timedelta(minutes=1), userId="after", previousId="before"),
        message("group", START, userId="colleague1", groupId="acme"),
        message("group", START, userId="colleague2", groupId="acme"),
    ]
    with connect(custom_project) as warehouse:
        land_messages(warehouse, [*carried, *worked, *joined], load=1)
    assert run_dbt(custom_project, [*BUILD, *AGAIN]).success
    with connect(custom_project) as warehouse:
        found = dict(warehouse.query("select event_id, identifiers from events.events"))
        for number, (fields, identifiers) in enumerate(CARRIED):
            text = found[f"c{number}"]
            assert (text.split("\x1f") if text else None) == identifiers, fields
        profiles = dict(warehouse.query("select identifier, profile_id from identity.identity_graph"))
        refused = warehouse.query(
            "select identifier, hub, reason, event_at from identity.identity_refused_links where hub = 'user_id:abc456'"
        )
        merged = warehouse.query("select identifier, hub, profile_id, older_profile_id from identity.identity_merges")

    assert profiles["user_id:abc123"] == profiles["email:jane@example1.com"] != profiles["user_id:abc456"]
    assert refused == [
        ("email:jane@example1.com", "user_id:abc456", "together 2 of user_id, the limit is 1",
         START + timedelta(minutes=2)),
    ]  # fmt: skip
    assert profiles["anonymous_id:before"] == profiles["user_id:after"]
    assert profiles["user_id:colleague1"] != profiles["user_id:colleague2"]
    # Each appearance was the first: nothing that was two people before became one.
    assert merged == []


def test_a_type_that_no_rule_knows_is_named(project_factory, tmp_path: Path):
    """A path that is no column of events stops the build with the seed's name and the path."""
    copy = copy_project(ROOT, tmp_path / "project")
    with (copy / "seeds" / "identifier_sources.csv").open("a") as file:
        file.write("email,nonsense.email,\n")
    result = run_dbt(project_factory(copy), BUILD)
    failed = [node.message for node in result.nodes if node.failed]
    assert any("identifier_sources.csv" in text and "nonsense.email" in text for text in failed)
