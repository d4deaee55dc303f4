"""The commands that read the identity floor: why, report, show and plan."""

from __future__ import annotations

import hashlib
import json
import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree

import networkx as nx
import pytest
from conftest import ROOT
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from support import BUILD, POSTGRES_LATER, START, copy_project, keep_audiences, land_messages, message, new_project
from typer.testing import CliRunner, Result

from cdi.cli import Options
from cdi.dbt import run_dbt
from cdi.errors import CdiError, GateError, UsageError
from cdi.identity.cli import identity, why
from cdi.identity.explain import Profile
from cdi.identity.picture import as_svg, grow
from cdi.identity.plan import plan
from cdi.identity.report import bridges
from cdi.identity.tables import Identifier, Link
from cdi.project import Project
from cdi.warehouse import Warehouse, connect


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


AS_OF = "2026-11-05 12:00:00"


def build(project: Project, *arguments: str) -> None:
    result = run_dbt(project, [*BUILD, *arguments], {"as_of": AS_OF})
    assert result.success, [node for node in result.nodes if node.failed]


JANE, JOHN = "user_id:jane", "user_id:john"
EVENTS = [
    ("anonymous_id:phone",),
    ("email:jane@example.com", "anonymous_id:phone"),
    (JANE, "email:jane@example.com"),
    (JANE, "anonymous_id:laptop"),
    ("email:jane@example.com", "anonymous_id:laptop"),
    (JOHN, "anonymous_id:johns"),
    (JOHN, "anonymous_id:laptop"),
    ("user_id:kim", "anonymous_id:johns"),
    ("user_id:lone",),
    *((f"user_id:visitor{number}", "anonymous_id:kiosk") for number in range(6)),
    ("anonymous_id:desk",),
    ("user_id:lone", "anonymous_id:desk"),
]


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def people(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The identity floor of EVENTS, for all tests that only read."""
    with new_project(request.param, ROOT, tmp_path_factory.mktemp("people")) as project:
        # Raw tables come with the first build.
        build(project, "--select", "stg_segment__messages")
        with connect(project) as warehouse:
            land_messages(warehouse, [visit(number, *event) for number, event in enumerate(EVENTS)], load=1)
        build(project, "--select", "+path:models/identity")
        # dbt-duckdb keeps the file open for writing in this process; the commands that read open it for reading.
        DuckDBConnectionManager.close_all_connections()
        yield project


def visit(number: int, *identifiers: str) -> dict:
    """A message that carries these identifiers, an hour after the one before."""
    values = dict(identifier.split(":") for identifier in identifiers)
    fields = {"userId": values.get("user_id"), "anonymousId": values.get("anonymous_id")}
    return message(
        at=START + timedelta(hours=number),
        messageId=f"event-{number}",
        event="Order [Completed]",
        traits={"email": values["email"]} if "email" in values else {},
        **{name: value for name, value in fields.items() if value},
    )


def cdi(project: Project, *arguments: str) -> Result:
    from typer import Typer

    app = Typer()
    app.command()(why)
    app.add_typer(identity)
    options = Options(project.root, project.profiles_dir, project.target)
    return CliRunner().invoke(app, arguments, obj=options, env={"COLUMNS": "160"}, catch_exceptions=False)


def answer(project: Project, *arguments: str) -> dict:
    return json.loads(cdi(project, *arguments, "--json").stdout)


def test_why_tells_the_events_that_made_one_person(people: Project):
    found = answer(people, "why", "anonymous_id:phone", "anonymous_id:laptop")
    assert found["is_same_profile"]
    assert [(step["start"], step["end"], step["link"]["event_id"]) for step in found["steps"]] == [
        ("anonymous_id:phone", "email:jane@example.com", "event-1"),
        ("email:jane@example.com", JANE, "event-2"),
        (JANE, "anonymous_id:laptop", "event-3"),
    ]
    text = cdi(people, "why", "anonymous_id:phone", "anonymous_id:laptop").stdout
    assert "are one person" in text
    assert "track Order [Completed] (segment) 2026-11-01 13:00  event event-1" in text


def test_why_names_the_refused_links_between_two_people(people: Project):
    found = answer(people, "why", JANE, JOHN)
    assert not found["is_same_profile"]
    assert [(link["identifier"], link["hub"], link["event_id"]) for link in found["refused"]] == [
        ("anonymous_id:laptop", JOHN, "event-6")
    ]
    assert "together 2 of user_id, the limit is 1" in cdi(people, "why", JOHN, "anonymous_id:phone").stdout


def test_why_looks_for_a_chain_of_refused_links_over_others(people: Project):
    found = answer(people, "why", "anonymous_id:phone", "user_id:kim")
    assert found["refused"] == []
    assert [link["event_id"] for link in found["chain"]] == ["event-6", "event-7"]
    assert "Over other profiles" in cdi(people, "why", JANE, "user_id:kim").stdout
    assert "No event links them" in cdi(people, "why", JANE, "user_id:lone").stdout


def test_an_identifier_may_be_written_loosely_and_one_that_is_not_there_is_named(people: Project):
    assert answer(people, "why", " Email: Jane@Example.com", "jane")["is_same_profile"]
    with pytest.raises(UsageError, match=r"no identifier 'email:phone'. Did you mean anonymous_id:phone\?"):
        cdi(people, "why", "email:phone", JANE)
    with pytest.raises(UsageError, match=r"Did you mean user_id:jane\?"):
        cdi(people, "why", "user_id:Jane", JOHN)
    with pytest.raises(UsageError, match=r"type:value with one of these types: user_id, email, android\.id"):
        cdi(people, "why", JANE, "nobody")
    with pytest.raises(UsageError, match="No event carried it"):
        cdi(people, "why", JANE, "user_id:x'; drop table y")


def test_nothing_built_yet_is_said(project: Project):
    with connect(project) as warehouse:
        warehouse.execute("create schema identity")
    with pytest.raises(UsageError, match=r"identity.identity_graph is not there.*cdi run"):
        cdi(project, "why", JANE, JOHN)


def test_show_draws_the_profile_as_a_tree_and_in_svg(people: Project, tmp_path):
    file = tmp_path / "jane.svg"
    shown = cdi(people, "identity", "show", JANE, "--svg", str(file))
    lines = shown.stdout.splitlines()
    assert lines[0] == f"Profile {md5('anonymous_id:phone')}: 4 identifiers, 4 links."
    assert lines[1] == "anonymous_id:phone"
    assert [line.strip("└─ ").split("  ")[0] for line in lines[2:5]] == [
        "email:jane@example.com", JANE, "anonymous_id:laptop",
    ]  # fmt: skip
    assert "1 refused link at its border" in shown.stdout
    picture = ElementTree.parse(file)
    texts = {element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")}
    assert {JANE, "anonymous_id:laptop", "email:jane@example.com", "anonymous_id:phone"} <= texts
    assert any("together 2 of user_id, the limit is 1" in text for text in texts)
    with pytest.raises(UsageError, match="cannot be written"):
        cdi(people, "identity", "show", JANE, "--svg", str(tmp_path / "nowhere" / "x.svg"))


def test_a_picture_of_a_large_profile_counts_what_it_leaves_out():
    ends = [(0, leaf) for leaf in range(1, 200)] + [(end, end + 1) for end in range(199, 300)]
    links = [Link(f"a:{two}", f"a:{one}", "p", "event", None, "track <Order>", "till") for one, two in ends]
    identifiers = [Identifier(f"a:{number}", "a", str(number), "p", "") for number in range(301)]
    profile = Profile("p", identifiers, links, [], 0)
    (root,) = grow(profile)
    branches = list(root.walk())
    assert len(branches) + sum(branch.count_hidden for branch in branches) == 301
    assert len(branches) < 100
    assert "and 270 more behind it" in as_svg(profile)
    assert ElementTree.fromstring(as_svg(profile)) is not None


@pytest.mark.parametrize("seed", range(30))
def test_bridges_split_as_they_say(seed: int):
    dice = random.Random(seed)
    ends = {tuple(sorted(dice.sample(range(25), 2))) for _ in range(dice.randrange(5, 40))}
    found = {
        frozenset((item.link.identifier, item.link.hub)): (item.smaller_side, item.larger_side)
        for item in bridges([Link(f"a:{one}", f"a:{two}", "p", "event", None, "track", "segment") for one, two in ends])
    }
    graph = nx.Graph((f"a:{one}", f"a:{two}") for one, two in ends)
    expected = {}
    for one, two in list(graph.edges):
        graph.remove_edge(one, two)
        if not nx.has_path(graph, one, two):
            sides = sorted(len(nx.node_connected_component(graph, end)) for end in (one, two))
            if sides[0] > 1:
                expected[frozenset((one, two))] = tuple(sides)
        graph.add_edge(one, two)
    assert found == expected


def test_report(people: Project):
    found = answer(people, "identity", "report")
    assert (found["identifiers"], found["profiles"], found["known_profiles"]) == (16, 10, 10)
    assert found["by_type"] == {"user_id": 10, "anonymous_id": 5, "email": 1}
    assert found["sizes"] == {"1": 6, "2": 3, "3-5": 1, "6-10": 0, "11-20": 0, "21-50": 0, ">50": 0}
    assert found["largest"][0]["first_identifier"] == "anonymous_id:phone"
    assert found["bridges"] == []
    suspect = found["suspects"][0]
    assert (suspect["identifier"], suspect["refused_links"], suspect["profiles"]) == ("anonymous_id:kiosk", 5, 6)
    assert suspect["blocking_line"] == "anonymous_id,exact,kiosk"
    assert found["merges"] == [{"start": "2026-11-02", "merges": 1}]
    assert [run["count_refused_links"] for run in found["runs"]] == [7]
    assert {row["step"] for row in found["rounds"]} >= {"limits"}
    text = cdi(people, "identity", "report").stdout
    assert "16 identifiers, 10 profiles: 10 known, 0 anonymous. 7 links refused." in text


@pytest.fixture
def project_copy(project_factory, tmp_path: Path) -> Project:
    """The project in a folder of its own, with a few audiences, whose seeds may be edited."""
    root = copy_project(ROOT, tmp_path / "project")
    return project_factory(keep_audiences(root, "new_this_week", "most_active_customers", "browsed_without_ordering"))


def edit(project: Project, seed: str, change) -> None:
    file = project.root / "seeds" / f"{seed}.csv"
    file.write_text(change(file.read_text()))


def everything(warehouse: Warehouse) -> tuple[dict[str, str], dict[str, set[str]]]:
    """Identifier to profile, and the members of each audience."""
    graph = dict(warehouse.query("select identifier, profile_id from identity.identity_graph"))
    audiences = warehouse.query(
        "select table_name from information_schema.columns where table_schema = 'audiences'"
        " and column_name = 'profile_id' and table_name not like 'audience%'"
    )
    return graph, {
        name: {row[0] for row in warehouse.query(f"select profile_id from audiences.{name}")} for (name,) in audiences
    }


def schemas(warehouse: Warehouse) -> set[str]:
    names = {row[0] for row in warehouse.query("select schema_name from information_schema.schemata")}
    return {name for name in names if not name.startswith("pg_")}


def random_visits(seed: int) -> list[dict]:
    """Visits of few people on few devices, some of which many share, of now and of weeks ago."""
    dice = random.Random(seed)
    return [
        message(
            "identify",
            START - timedelta(days=dice.choice([0, 1, 30, 60])),
            userId=f"u{dice.randrange(40)}",
            anonymousId=dice.choice(["kiosk", f"d{dice.randrange(60)}"]),
            **({"traits": {"email": f"e{dice.randrange(40)}@example.com"}} if dice.random() < 0.5 else {}),
        )
        for _ in range(150)
    ]


@pytest.mark.parametrize("warehouse_kind", POSTGRES_LATER)
def test_the_plan_says_what_then_happens(project_copy: Project):
    # Raw tables come with the first build.
    build(project_copy, "--select", "stg_segment__messages")
    with connect(project_copy) as warehouse:
        land_messages(warehouse, random_visits(3), load=1)
    build(project_copy)
    assert plan(project_copy, AS_OF).rules == []
    edit(project_copy, "identifier_types", lambda text: text.replace("user_id,1,1,", "user_id,1,3,"))
    edit(project_copy, "blocked_identifiers", lambda text: text + "anonymous_id,exact,kiosk\n")
    with connect(project_copy) as warehouse:
        graph, audiences = everything(warehouse)
        before = schemas(warehouse)
    told = plan(project_copy, AS_OF)
    with connect(project_copy) as warehouse:
        assert everything(warehouse) == (graph, audiences)
        assert schemas(warehouse) == before
    build(project_copy, "--full-refresh")
    with connect(project_copy) as warehouse:
        graph_after, audiences_after = everything(warehouse)

    assert [(rule.rule, rule.before.get("limit_count"), rule.after.get("limit_count")) for rule in told.rules] == [
        ("type", "1", "3"), ("blocked", None, None),
    ]  # fmt: skip
    assert (told.identifiers.before, told.identifiers.after) == (len(graph), len(graph_after))
    assert told.identifiers.examples_disappear == ["anonymous_id:kiosk"]
    profiles, profiles_after = set(graph.values()), set(graph_after.values())
    assert (told.profiles.before, told.profiles.after) == (len(profiles), len(profiles_after))
    assert told.profiles.appear == len(profiles_after - profiles)
    assert told.profiles.disappear == len(profiles - profiles_after)
    inside, onto = defaultdict(set), defaultdict(set)
    for identifier in graph.keys() & graph_after.keys():
        inside[graph_after[identifier]].add(graph[identifier])
        onto[graph[identifier]].add(graph_after[identifier])
    assert told.merges.profiles == sum(len(parts) > 1 for parts in inside.values()) > 0
    assert told.splits.profiles == sum(len(parts) > 1 for parts in onto.values())
    successor = {md5(item): graph_after[item] for item in graph if md5(item) in profiles and item in graph_after}
    moved = 0
    for audience in told.audiences:
        members, members_after = audiences[audience.name], audiences_after[audience.name]
        follow = {successor.get(member) for member in members}
        assert (audience.before, audience.after) == (len(members), len(members_after))
        assert audience.enter == len(members_after - follow)
        assert audience.leave == sum(successor.get(member) not in members_after for member in members)
        moved += audience.joined + audience.enter + audience.leave
    assert moved > 0
    shown = cdi(project_copy, "identity", "plan").stdout
    assert "The rules in seeds/ are those in force: nothing would change." in shown


@pytest.mark.parametrize("warehouse_kind", ["duckdb"])
def test_a_plan_that_fails_leaves_nothing_behind(project_copy: Project):
    with pytest.raises(UsageError, match="has not been built yet"):
        plan(project_copy)
    build(project_copy)
    with connect(project_copy) as warehouse:
        before = schemas(warehouse)
    edit(project_copy, "identifier_types", lambda text: text.replace("user_id,1,1,ever", "user_id,1,1,fortnight"))
    with pytest.raises(GateError, match="limit_window"):
        plan(project_copy)
    edit(project_copy, "identifier_types", lambda text: text.replace("user_id,1,1,fortnight", "user_id,1,2,ever"))
    (project_copy.root / "models" / "audiences" / "new_this_week.sql").write_text(
        "select 1 / 'x' as profile_id from nowhere"
    )
    with pytest.raises(CdiError, match="new_this_week could not be built for the plan"):
        plan(project_copy)
    with connect(project_copy) as warehouse:
        assert schemas(warehouse) - {"cdi"} == before - {"cdi"}
        warehouse.execute("create schema plan_events")
    with pytest.raises(UsageError, match="The schema plan_events is there already, and no plan made it"):
        plan(project_copy)
    with pytest.raises(UsageError, match="no time"):
        plan(project_copy, "yesterday'")
