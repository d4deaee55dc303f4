"""Mailchimp, HubSpot, Intercom and Slack hold what the model holds, whatever they say on the way."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pyarrow as pa
import pytest
from support import activation_table, ask_to_forget, simulated

from cdi.errors import UsageError
from cdi.simulator.hubspot import HubSpot
from cdi.simulator.intercom import Intercom
from cdi.simulator.mailchimp import LIST, Mailchimp, hash_of
from cdi.simulator.slack import Slack
from cdi.sync.declared import DeclaredSync, Field
from cdi.sync.deliver import run_sync
from cdi.sync.tools import http

STATE_TABLES = ("sync_state", "sync_runs", "sync_changes", "sync_rejected")


@pytest.fixture
def tools(monkeypatch):
    found = SimpleNamespace(mailchimp=Mailchimp(), hubspot=HubSpot(), intercom=Intercom(), slack=Slack())
    with simulated(monkeypatch, *vars(found).values()):
        # Rates are the core's, and its tests'.
        monkeypatch.setattr(http, "limiter", lambda account, endpoint: None)
        yield found


@pytest.fixture
def warehouse_kind() -> str:
    """What differs between warehouses is tested in test_sync."""
    return "duckdb"


@pytest.fixture
def people(project):
    with activation_table(
        project, "profile_id text, email text, tier text, at_ timestamp", in_memory=True
    ) as warehouse:
        yield warehouse


def declare(tool: str, object_name: str, mode: str, fields: dict[str, str], **options) -> DeclaredSync:
    """The key is the first field."""
    skipped = options.pop("skips", ())
    declared = tuple(Field(name, column, name in skipped) for name, column in fields.items())
    return DeclaredSync("people_sync", "activation", "people", "people.yml", tool, declared[0].column, options,
                        object_name, mode, declared)  # fmt: skip


def member(mode: str = "upsert", **options) -> DeclaredSync:
    fields = {"email_address": "email", "merge_fields.TIER": "tier"}
    status = {} if mode == "update" else {"status_if_new": "subscribed"}
    return declare("mailchimp", "member", mode, fields, list=LIST, **status | options)


TAG = declare("mailchimp", "tag", "audience", {"email_address": "email"}, list=LIST, tag="vip")
SEGMENT = declare("mailchimp", "segment", "audience", {"email_address": "email"}, list=LIST, segment=1)


def contact(mode: str = "mirror", key: str = "profile_id", **options) -> DeclaredSync:
    names = {"profile_id": "profile_id", "email": "email", "tier": "tier"}
    return declare("hubspot", "contact", mode, {key: names[key]} | names, **options)


HUBSPOT_LIST = declare("hubspot", "list", "audience", {"email": "email"}, list="7")
USER_FIELDS = {"external_id": "profile_id", "email": "email", "custom_attributes.tier": "tier"}


def user(mode: str = "mirror", **options) -> DeclaredSync:
    return declare("intercom", "contact", mode, USER_FIELDS, **options)


INTERCOM_TAG = declare("intercom", "tag", "audience", {"external_id": "profile_id"}, tag="vip")
EVENT_FIELDS = {"id": "profile_id", "user_id": "email", "event_name": "tier", "created_at": "at_"}
EVENTS = declare("intercom", "event", "append", EVENT_FIELDS)
SUMMARY = declare("slack", "summary", "mirror", {"profile_id": "profile_id", "email": "email", "tier": "tier"})


def fill(warehouse, rows: dict[str, tuple[str | None, str | None]]) -> None:
    warehouse.execute("delete from activation.people")
    table = pa.table(
        {
            "profile_id": pa.array(list(rows), pa.string()),
            "email": pa.array([row[0] for row in rows.values()], pa.string()),
            "tier": pa.array([row[1] for row in rows.values()], pa.string()),
        }
    )
    warehouse.append("activation.people", table.to_reader())


def many(count: int, first: int = 0) -> dict[str, tuple[str, str]]:
    return {f"p{number:04d}": (f"q{number:04d}@example.com", "gold") for number in range(first, first + count)}


def rejected(warehouse) -> dict[str, str]:
    return dict(warehouse.query("select key, reason from cdi.sync_rejected"))


def everything_kept(warehouse) -> str:
    return repr([warehouse.query(f"select reason from cdi.{table}") for table in ("sync_rejected",)]
                + [warehouse.query("select message from cdi.sync_runs")])  # fmt: skip


def deletions(warehouse) -> list[tuple]:
    return warehouse.query("select distinct status, key from cdi.deletion_requests")


# Every tool ends up with the model's rows.


def everybody(tools, rows) -> None:
    """Whom audiences are made of is known to every tool."""
    for profile_id, (email, _) in rows.items():
        tools.mailchimp.put(email)
        tools.hubspot.put(email=email)
        tools.intercom.put(external_id=profile_id)


def emails(rows) -> set[str]:
    return {email for email, _ in rows.values()}


AUDIENCES = {
    "mailchimp tag": (TAG, emails, lambda tools: {
        address for address, one in tools.mailchimp.by_address().items() if "vip" in one["tags"]
    }),
    "mailchimp segment": (SEGMENT, emails, lambda tools: tools.mailchimp.addresses_in(1)),
    "hubspot list": (HUBSPOT_LIST, emails, lambda tools: {
        tools.hubspot.contacts[number]["email"] for number in tools.hubspot.lists["7"]["members"]
    }),
    "intercom tag": (INTERCOM_TAG, set, lambda tools: {
        name for name, one in tools.intercom.users().items() if "vip" in one["tags"]
    }),
}  # fmt: skip
MIRRORS = {
    "hubspot contact": (contact(), dict, lambda tools: {
        name: (one.get("email"), one.get("tier")) for name, one in tools.hubspot.by("profile_id").items()
    }),
    "intercom contact": (user(), dict, lambda tools: {
        name: (one["email"], one["custom_attributes"].get("tier")) for name, one in tools.intercom.users().items()
    }),
}  # fmt: skip


def change(rows: dict, chance: random.Random) -> dict:
    """Some rows go, some come (also back), and some change."""
    changed = {key: row for key, row in rows.items() if chance.random() < 0.7}
    for key, (email, _) in many(40).items():
        if chance.random() < 0.4:
            changed[key] = (email, chance.choice(["gold", "silver", None]))
    return changed


def settle(project, warehouse, declared) -> None:
    """Run until nothing is left to do; it must not take many."""
    for _ in range(3):
        if not run_sync(project, warehouse, declared).failed:
            return
    pytest.fail(f"still failing: {rejected(warehouse)}")


@pytest.mark.parametrize("name", [*AUDIENCES, *MIRRORS])
def test_the_tool_ends_up_with_the_models_rows(project, people, tools, monkeypatch, name):
    declared, expected, held = (AUDIENCES | MIRRORS)[name]
    monkeypatch.setattr(http, "ATTEMPTS", 2)
    if name in AUDIENCES:
        everybody(tools, many(40))
    faults = getattr(tools, declared.tool_name).faults
    rows: dict = {}
    chance = random.Random(name)
    for _ in range(4):
        rows = change(rows, chance)
        fill(people, rows)
        faults.shares = {500: 0.05, 429: 0.05, "drop": 0.05, "half": 0.05}
        run_sync(project, people, declared)
        faults.shares = {}
        settle(project, people, declared)
        assert held(tools) == expected(rows)
    assert people.query("select count(*) from cdi.sync_state where row_hash = ''") == [(0,)]
    again = run_sync(project, people, declared)
    assert (again.added, again.changed, again.removed) == (0, 0, 0)


def test_mailchimp_members_have_the_models_fields_and_stay_when_they_leave_it(project, people, tools, monkeypatch):
    monkeypatch.setattr(http, "ATTEMPTS", 2)
    chance, rows, ever = random.Random(3), {}, set()
    for _ in range(4):
        rows = change(rows, chance)
        ever |= emails(rows)
        fill(people, rows)
        tools.mailchimp.faults.shares = {500: 0.2, "drop": 0.2, "half": 0.2}
        run_sync(project, people, member())
        tools.mailchimp.faults.shares = {}
        settle(project, people, member())
        held = {address: one["merge_fields"]["TIER"] for address, one in tools.mailchimp.by_address().items()}
        assert {address: held[address] for address in emails(rows)} == {
            email: tier or "" for email, tier in rows.values()
        }
        assert set(held) == ever


# Mailchimp.


def test_mailchimp_subscribes_nobody_again(project, people, tools):
    tools.mailchimp.put("q0001@example.com", "unsubscribed")
    tools.mailchimp.put("q0002@example.com", "cleaned")
    tools.mailchimp.put("q0003@example.com", "archived")
    fill(people, many(5))
    assert run_sync(project, people, member()).delivered == 5
    fill(people, {key: (email, "silver") for key, (email, _) in many(5).items()})
    assert run_sync(project, people, member()).delivered == 5
    held = tools.mailchimp.by_address()
    assert [held[f"q000{number}@example.com"]["status"] for number in range(5)] == [
        "subscribed", "unsubscribed", "cleaned", "archived", "subscribed",
    ]  # fmt: skip
    assert held["q0001@example.com"]["merge_fields"] == {"TIER": "silver"}


def test_mailchimp_names_the_wrong_row_and_the_others_are_taken(project, people, tools):
    tools.mailchimp.forgotten.add(hash_of("Q0007@example.com"))
    rows = many(20) | {"x": ("somebody@fake.example", "gold"), "y": ("no address", "gold")}
    fill(people, rows)
    for failed, refused_again in ((3, 0), (0, 3), (0, 3)):
        # Such a row is tried again by every run, keeps nobody else out, and makes only one run fail.
        result = run_sync(project, people, member())
        assert (result.failed, result.refused_again) == (failed, refused_again)
        reasons = rejected(people)
        assert set(reasons) == {"q0007@example.com", "somebody@fake.example", "no address"}
        assert "permanently deleted" in reasons["q0007@example.com"]
        assert len(tools.mailchimp.members) == 19
    assert not any(word in everything_kept(people) for word in ("q0007", "somebody", "fake.example", "-us6"))


def test_mailchimp_gets_no_more_at_once_than_it_takes(project, people, tools):
    fill(people, many(1_201))
    assert run_sync(project, people, member()).delivered == 1_201
    assert run_sync(project, people, member()).added == 0
    people.execute("delete from cdi.sync_state")
    assert run_sync(project, people, SEGMENT).delivered == 1_201
    assert len(tools.mailchimp.addresses_in(1)) == 1_201
    assert tools.mailchimp.counts["requests"] < 20
    assert tools.mailchimp.counts["most_at_once"] <= 10


def test_null_empties_a_merge_field_unless_it_is_skipped(project, people, tools):
    fill(people, many(1))
    run_sync(project, people, member())
    held = tools.mailchimp.by_address()["q0000@example.com"]["merge_fields"]
    fill(people, {"p0000": ("q0000@example.com", None)})
    run_sync(project, people, member(skips=("merge_fields.TIER",)))
    assert held == {"TIER": "gold"}
    fill(people, many(1))
    run_sync(project, people, member())
    fill(people, {"p0000": ("q0000@example.com", None)})
    run_sync(project, people, member())
    assert held == {"TIER": ""}


def test_mailchimp_update_creates_nobody_and_create_changes_nobody(project, people, tools):
    tools.mailchimp.put("q0001@example.com", merge_fields={"TIER": "old"})
    fill(people, many(3))
    assert run_sync(project, people, member("update")).delivered == 1
    assert tools.mailchimp.by_address()["q0001@example.com"]["merge_fields"] == {"TIER": "gold"}
    assert len(tools.mailchimp.members) == 1
    assert set(rejected(people)) == {"q0000@example.com", "q0002@example.com"}
    for table in STATE_TABLES:
        people.execute(f"delete from cdi.{table}")
    fill(people, {key: (email, "silver") for key, (email, _) in many(3).items()})
    assert run_sync(project, people, member("create")).delivered == 3
    held = {address: one["merge_fields"]["TIER"] for address, one in tools.mailchimp.by_address().items()}
    assert held == {"q0000@example.com": "silver", "q0001@example.com": "gold", "q0002@example.com": "silver"}


def test_whom_a_segment_passes_over_in_silence_is_rejected(project, people, tools):
    everybody(tools, many(5))
    tools.mailchimp.put("q0003@example.com", "archived")
    tools.mailchimp.segments[1]["members"].add(hash_of("q0002@example.com"))
    fill(people, many(7))
    assert run_sync(project, people, SEGMENT).delivered == 4
    assert rejected(people) == {
        "q0003@example.com": "the member is archived",
        "q0005@example.com": "the list has no member with this address",
        "q0006@example.com": "the list has no member with this address",
    }
    assert tools.mailchimp.addresses_in(1) == {f"q000{number}@example.com" for number in (0, 1, 2, 4)}


def test_people_whom_a_tag_cannot_reach_keep_nobody_else_out(project, people, tools):
    # More of them than a run would take for a tool that refuses everything.
    everybody(tools, many(5, first=50))
    fill(people, many(55))
    assert run_sync(project, people, TAG).delivered == 5
    assert len(rejected(people)) == 50


@pytest.mark.parametrize("sync", [TAG, SEGMENT], ids=["tag", "segment"])
def test_a_list_that_is_not_there_is_no_removal(project, people, tools, sync):
    everybody(tools, many(3))
    fill(people, many(3))
    run_sync(project, people, sync)
    fill(people, many(1))
    wrong = DeclaredSync(**{**vars(sync), "options": sync.options | {"list": "another"}})
    assert run_sync(project, people, wrong).problem.startswith("HTTP 404")
    assert people.query("select count(*) from cdi.sync_state") == [(3,)]
    assert run_sync(project, people, sync).removed == 2


@pytest.mark.parametrize(
    ("sync", "problem"),
    [
        (DeclaredSync(**{**vars(SEGMENT), "options": SEGMENT.options | {"segment": 2}}), "the segment is not static"),
        (DeclaredSync(**{**vars(HUBSPOT_LIST), "options": {"list": "8"}}), "the list is dynamic"),
    ],
    ids=["mailchimp", "hubspot"],
)
def test_a_place_that_fills_itself_is_said_to_be_one(project, people, tools, sync, problem):
    fill(people, many(120))
    result = run_sync(project, people, sync)
    assert (result.delivered, problem in result.problem) == (0, True)
    # One per connection at most.
    assert getattr(tools, sync.tool_name).counts["requests"] <= 2


@pytest.mark.parametrize("sync", [member(), TAG, SEGMENT], ids=["member", "tag", "segment"])
def test_mailchimp_forgets(project, people, tools, sync):
    everybody(tools, many(4))
    fill(people, many(4))
    run_sync(project, people, sync)
    ask_to_forget(people, *["q0000@example.com", "q0001@example.com", "nobody@example.com"])
    fill(people, many(2, first=2))
    assert run_sync(project, people, sync).deleted == 3
    assert set(tools.mailchimp.by_address()) == {"q0002@example.com", "q0003@example.com"}
    assert tools.mailchimp.forgotten == {hash_of("q0000@example.com"), hash_of("q0001@example.com")}
    assert deletions(people) == [("FINISHED", None)]


# HubSpot.


@pytest.mark.parametrize("names_rows", [True, False])
def test_hubspot_refuses_the_wrong_row_and_the_others_are_taken(project, people, tools, names_rows):
    tools.hubspot.names_rows = names_rows
    tools.hubspot.put(email="q0120@example.com", profile_id="another")
    fill(people, many(130) | {"p0080": ("nobody@nowhere", "gold")})
    result = run_sync(project, people, contact())
    assert (result.delivered, result.failed) == (128, 2)
    reasons = rejected(people)
    assert set(reasons) == {"p0080", "p0120"}
    assert "is invalid" in reasons["p0080"]
    assert "already exists" in reasons["p0120"]
    assert "nowhere" not in everything_kept(people)
    fill(people, many(120) | many(9, first=121))
    assert run_sync(project, people, contact()).delivered == 1


def test_hubspot_gets_texts_and_null_takes_a_value_away(project, people, tools):
    fill(people, many(2))
    people.execute("update activation.people set at_ = timestamp '2026-11-01 10:00:00'")
    tools.hubspot.properties |= {"seen"}
    fields = {"profile_id": "profile_id", "tier": "tier", "seen": "at_"}
    sync = declare("hubspot", "contact", "upsert", fields, skips=("seen",))
    run_sync(project, people, sync)
    assert tools.hubspot.by("profile_id")["p0000"] == {
        "profile_id": "p0000", "tier": "gold", "seen": "2026-11-01T10:00:00.000Z",
    }  # fmt: skip
    fill(people, {key: (email, None) for key, (email, _) in many(2).items()})
    run_sync(project, people, sync)
    assert tools.hubspot.by("profile_id")["p0000"] == {"profile_id": "p0000", "seen": "2026-11-01T10:00:00.000Z"}


def test_hubspot_update_creates_nobody_and_create_changes_nobody(project, people, tools):
    tools.hubspot.put(email="q0001@example.com", tier="old")
    fill(people, many(3))
    assert run_sync(project, people, contact("update", "email")).delivered == 1
    assert {name: one["tier"] for name, one in tools.hubspot.by("email").items()} == {"q0001@example.com": "gold"}
    assert set(rejected(people)) == {"q0000@example.com", "q0002@example.com"}
    for table in STATE_TABLES:
        people.execute(f"delete from cdi.{table}")
    fill(people, {key: (email, "silver") for key, (email, _) in many(30).items()})
    assert run_sync(project, people, contact("create", "email")).delivered == 30
    tiers = {name: one["tier"] for name, one in tools.hubspot.by("email").items()}
    assert (len(tiers), tiers.pop("q0001@example.com"), set(tiers.values())) == (30, "gold", {"silver"})


def test_a_property_that_is_not_there_ends_the_sync_soon(project, people, tools):
    tools.hubspot.properties.discard("tier")
    fill(people, many(500))
    result = run_sync(project, people, contact())
    assert (result.delivered, tools.hubspot.counts["requests"] < 60) == (0, True)
    assert "every row so far was refused" in result.problem
    tools.hubspot.properties.add("tier")
    assert run_sync(project, people, contact()).delivered == 500


def test_whom_hubspot_does_not_know_is_in_no_list(project, people, tools):
    everybody(tools, {"p1": ("Q0001@example.com".lower(), "")})
    fill(people, {"p1": ("Q0001@Example.com", None), "p2": ("q0002@example.com", None)})
    assert run_sync(project, people, HUBSPOT_LIST).delivered == 1
    assert rejected(people) == {"q0002@example.com": "there is no contact with this email"}
    fill(people, {})
    run_sync(project, people, HUBSPOT_LIST)
    assert tools.hubspot.lists["7"]["members"] == set()


def test_hubspot_forgets_also_whom_it_archived(project, people, tools):
    fill(people, many(4))
    run_sync(project, people, contact())
    fill(people, many(3))
    assert run_sync(project, people, contact()).removed == 1
    assert len(tools.hubspot.archived) == 1
    ask_to_forget(people, *["p0000", "p0003", "never-there"])
    fill(people, many(2, first=1))
    run_sync(project, people, contact())
    assert set(tools.hubspot.by("profile_id")) == {"p0001", "p0002"}
    assert tools.hubspot.archived == {}
    assert tools.hubspot.blocked == {"q0000@example.com", "q0003@example.com"}
    assert deletions(people) == [("FINISHED", None)]


def test_hubspot_forgets_by_address(project, people, tools):
    fill(people, many(3))
    run_sync(project, people, contact("upsert", "email"))
    ask_to_forget(people, *["q0000@example.com", "never@example.com"])
    fill(people, many(2, first=1))
    run_sync(project, people, contact("upsert", "email"))
    assert set(tools.hubspot.by("email")) == {"q0001@example.com", "q0002@example.com"}
    assert "never@example.com" in tools.hubspot.blocked


# Intercom.


def test_a_user_whom_intercom_does_not_find_yet_is_made_only_once(project, people, tools):
    number = tools.intercom.put(external_id="p0000", email="old@example.com")
    tools.intercom.unseen = {"p0000"}
    fill(people, many(3))
    assert run_sync(project, people, user()).delivered == 3
    assert len(tools.intercom.contacts) == 3
    assert tools.intercom.contacts[number]["email"] == "q0000@example.com"


def test_an_answer_that_is_lost_after_a_user_was_made_makes_no_second_one(project, people, tools):
    fill(people, many(1))
    tools.intercom.faults.answers = [None, "drop"]
    assert run_sync(project, people, user()).delivered == 1
    assert len(tools.intercom.contacts) == 1


def test_a_contact_with_the_same_address_is_taken_over_unless_it_is_somebody_elses(project, people, tools):
    free = tools.intercom.put(email="q0000@example.com")
    others = tools.intercom.put(external_id="other", email="q0001@example.com")
    archived = tools.intercom.put(email="q0002@example.com", archived=True)
    others_archived = tools.intercom.put(external_id="another", email="q0003@example.com", archived=True)
    fill(people, many(5))
    result = run_sync(project, people, user())
    assert (result.delivered, set(rejected(people))) == (3, {"p0001", "p0003"})
    contacts = tools.intercom.contacts
    assert (contacts[free]["external_id"], contacts[archived]["external_id"]) == ("p0000", "p0002")
    assert not contacts[archived]["archived"]
    assert (contacts[others]["external_id"], contacts[others_archived]["external_id"]) == ("other", "another")
    assert contacts[others_archived]["archived"]
    assert all("conflict" in reason.lower() or "already exists" in reason for reason in rejected(people).values())
    assert "q0001" not in everything_kept(people)


def test_who_comes_back_is_taken_out_of_the_archive(project, people, tools):
    fill(people, many(2))
    run_sync(project, people, user())
    fill(people, many(1))
    run_sync(project, people, user())
    assert set(tools.intercom.users()) == {"p0000"}
    fill(people, many(2))
    assert run_sync(project, people, user()).delivered == 1
    assert set(tools.intercom.users()) == {"p0000", "p0001"}
    assert len(tools.intercom.contacts) == 2


def test_intercom_update_creates_nobody_and_create_changes_nobody(project, people, tools):
    tools.intercom.put(external_id="p0001", email="old@example.com")
    fill(people, many(3))
    assert run_sync(project, people, user("update")).delivered == 1
    assert set(tools.intercom.users()) == {"p0001"}
    for table in STATE_TABLES:
        people.execute(f"delete from cdi.{table}")
    fill(people, {key: (f"new-{email}", None) for key, (email, _) in many(3).items()})
    assert run_sync(project, people, user("create")).delivered == 3
    assert tools.intercom.users()["p0001"]["email"] == "q0001@example.com"
    assert tools.intercom.users()["p0002"]["email"] == "new-q0002@example.com"


def test_a_user_whom_intercom_refuses_keeps_nobody_else_out(project, people, tools):
    fill(people, many(30) | {"p0007": ("no address", "gold")})
    result = run_sync(project, people, user())
    assert (result.delivered, rejected(people)) == (29, {"p0007": "HTTP 400 Bad Request: Email *** *** is invalid"})


def test_intercom_gets_moments_as_seconds(project, people, tools):
    fill(people, many(1))
    people.execute("update activation.people set at_ = timestamp '2026-11-01 10:00:00'")
    fields = {"external_id": "profile_id", "signed_up_at": "at_"}
    run_sync(project, people, declare("intercom", "contact", "upsert", fields))
    assert tools.intercom.users()["p0000"]["signed_up_at"] == 1_793_527_200


def test_events_that_may_have_arrived_go_again_and_are_counted(project, people, tools):
    tools.intercom.put(external_id="q0000@example.com")
    at = "update activation.people set at_ = timestamp '2026-11-01 10:00:00'"
    fill(people, many(1))
    people.execute(at)
    tools.intercom.faults.answers = ["drop"]
    result = run_sync(project, people, EVENTS)
    assert (result.delivered, result.resent) == (1, 1)
    event = {"user_id": "q0000@example.com", "event_name": "gold", "created_at": 1_793_527_200}
    assert tools.intercom.events == [event, event]
    fill(people, many(2))
    people.execute(at)
    result = run_sync(project, people, EVENTS)
    assert (result.delivered, result.failed, len(tools.intercom.events)) == (0, 1, 2)
    assert rejected(people) == {"p0001": "there is no user with this id"}


def test_intercom_forgets_also_whom_it_archived(project, people, tools):
    fill(people, many(4))
    run_sync(project, people, user())
    fill(people, many(3))
    run_sync(project, people, user())
    ask_to_forget(people, *["p0000", "p0003", "never-there"])
    fill(people, many(2, first=1))
    run_sync(project, people, user())
    assert {one["external_id"] for one in tools.intercom.contacts.values()} == {"p0001", "p0002"}
    assert deletions(people) == [("FINISHED", None)]


# Slack.


def test_slack_is_told_how_many_and_nothing_else(project, people, tools):
    fill(people, many(1_200))
    assert run_sync(project, people, SUMMARY).delivered == 1_200
    rows = many(1_190) | {"p0001": ("q0001@example.com", "silver"), "new": ("new@example.com", None)}
    fill(people, rows)
    assert run_sync(project, people, SUMMARY).delivered == 12
    assert run_sync(project, people, SUMMARY).delivered == 0
    assert tools.slack.messages == ["*people_sync*: 1,200 added", "*people_sync*: 1 added, 1 changed, 10 removed"]


def test_what_slack_did_not_take_is_in_the_next_message(project, people, tools, monkeypatch):
    tools.slack.is_archived = True
    fill(people, many(3))
    result = run_sync(project, people, SUMMARY)
    assert (result.delivered, result.problem) == (0, "HTTP 410 Gone: channel_is_archived")
    tools.slack.is_archived = False
    fill(people, many(4))
    assert run_sync(project, people, SUMMARY).delivered == 4
    assert tools.slack.messages == ["*people_sync*: 4 added"]


def test_the_address_of_slack_is_in_no_message(project, people, tools, monkeypatch):
    monkeypatch.setenv("CDI_SLACK_SECRET_URL", "http://127.0.0.1:9/services/T0/B0/aVerySecretPlace")
    fill(people, many(3))
    result = run_sync(project, people, SUMMARY)
    assert (result.delivered, "CDI_SLACK_SECRET_URL" in result.problem) == (0, True)
    kept = everything_kept(people) + repr(result) + SUMMARY.open_tool(project.root).account
    assert "aVerySecretPlace" not in kept
    assert "services" not in kept


def test_slack_has_nothing_to_forget(project, people, tools):
    fill(people, many(3))
    run_sync(project, people, SUMMARY)
    ask_to_forget(people, *["p0000"])
    fill(people, many(2, first=1))
    assert run_sync(project, people, SUMMARY).deleted == 1
    assert deletions(people) == [("FINISHED", None)]
    assert len(tools.slack.messages) == 1


# What all of them have in common.

ALL = [
    (member(), "CDI_MAILCHIMP_API_KEY"), (contact(), "CDI_HUBSPOT_TOKEN"), (user(), "CDI_INTERCOM_TOKEN"),
    (SUMMARY, "CDI_SLACK_SECRET_URL"),
]  # fmt: skip


@pytest.mark.parametrize(("sync", "variable"), ALL, ids=lambda value: getattr(value, "tool_name", ""))
def test_a_missing_secret_is_said_before_anything_is_sent(project, people, tools, monkeypatch, sync, variable):
    monkeypatch.delenv(variable)
    fill(people, many(3))
    with pytest.raises(UsageError, match=f"the environment variable {variable} is not set"):
        run_sync(project, people, sync)
    assert getattr(tools, sync.tool_name).counts["requests"] == 0


@pytest.mark.parametrize(("sync", "variable"), ALL[:3], ids=lambda value: getattr(value, "tool_name", ""))
def test_a_wrong_secret_ends_the_sync_and_is_in_no_message(project, people, tools, monkeypatch, sync, variable):
    monkeypatch.setenv(variable, "somebodys-us6")
    fill(people, many(300))
    result = run_sync(project, people, sync)
    assert (result.delivered, result.problem.startswith("HTTP 401")) == (0, True)
    assert getattr(tools, sync.tool_name).counts["requests"] <= 8
    assert "somebodys" not in everything_kept(people) + repr(result)


@pytest.mark.parametrize(("sync", "variable"), ALL, ids=lambda value: getattr(value, "tool_name", ""))
def test_an_answer_of_somebody_else_is_no_success(project, people, tools, monkeypatch, sync, variable):
    faults = getattr(tools, sync.tool_name).faults
    faults.words = "<html>maintenance</html>"
    faults.shares = {200: 1.0}
    fill(people, many(3))
    result = run_sync(project, people, sync)
    assert (result.delivered, "the answer is not the tool's own" in result.problem) == (0, True)
    faults.shares = {}
    assert run_sync(project, people, sync).delivered == 3


def test_the_data_center_of_mailchimp_is_in_its_key(project, people, tools, monkeypatch):
    monkeypatch.delenv("CDI_MAILCHIMP_URL")
    columns = {"profile_id": "text", "email": "text", "tier": "text"}
    assert member().open_tool(project.root, columns=columns).url == "https://us6.api.mailchimp.com/3.0"
    monkeypatch.setenv("CDI_MAILCHIMP_API_KEY", "a-key-without-one")
    with pytest.raises(UsageError, match="does not end with its data center") as error:
        member().open_tool(project.root, columns=columns)
    assert "a-key-without-one" not in str(error.value)


@pytest.mark.parametrize(
    ("declared", "problem"),
    [
        (declare("mailchimp", "member", "upsert", {"id": "email"}, list=LIST), "the key is sent as 'id'"),
        (declare("mailchimp", "member", "upsert", {"email_address": "email"}, list=LIST), "'status_if_new' is missing"),
        (declare("mailchimp", "member", "upsert", {"email_address": "email", "status": "tier"}, list=LIST,
                 status_if_new="pending"), "a status is no field"),
        (declare("mailchimp", "member", "upsert", {"email_address": "email", "FNAME": "tier"}, list=LIST,
                 status_if_new="pending"), "the tool has no field 'FNAME'"),
        (member("mirror"), "mode 'mirror' is nothing that mailchimp can do"),
        (declare("mailchimp", "tag", "audience", {"email_address": "email"}, list=LIST), "option 'tag' is missing"),
        (contact("upsert", "email", skips=("tier",)), "nulls: skip"),
        (declare("hubspot", "contact", "upsert", {"email": "email", "First Name": "tier"}), "no internal name"),
        (contact(requests_per_10_seconds=0), "less than 1"),
        (declare("intercom", "contact", "upsert", {"email": "email"}), "the key is sent as 'email'"),
        (declare("intercom", "contact", "upsert", {"external_id": "email", "tier": "tier"}), "no field 'tier'"),
        (declare("intercom", "event", "append", {"user_id": "email"}), "fields must have 'event_name'"),
        (declare("slack", "summary", "update", {"profile_id": "profile_id"}), "mode 'update' is nothing"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_first(project, people, tools, declared, problem):
    with pytest.raises(UsageError, match="people_sync") as error:
        run_sync(project, people, declared)
    assert problem in str(error.value)
