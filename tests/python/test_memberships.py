"""Who is in an audience since when and why: entries, exits, merges, and the same again when a run is repeated."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from conftest import ROOT
from rich.console import Console
from support import (
    AGAIN,
    POSTGRES_LATER,
    START,
    UNTESTED,
    copy_project,
    keep_audiences,
    land_messages,
    message,
    new_project,
    rows_of,
)

from cdi.audiences.diff import audience_changes
from cdi.audiences.preview import preview
from cdi.audiences.show import show_changes, show_preview
from cdi.dbt import load_manifest, run_dbt
from cdi.errors import CdiError, UsageError
from cdi.project import Project
from cdi.warehouse import Warehouse, connect

AUDIENCES = {
    "buyers": "{{ cdi.audience(all=[cdi.did('order_completed', within='7 days')]) }}",
    "buyers_without_cart": (
        "{{ cdi.audience(all=[cdi.in_audience('buyers'), cdi.did_not('product_added', within='7 days')]) }}"
    ),
    "by_hand": "select profile_id from {{ ref('profiles') }} where count_orders > 1",
}
HISTORY = "audiences.audience_membership_history"


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    root = copy_project(ROOT, tmp_path_factory.mktemp("memberships") / "project")
    keep_audiences(root)
    for name, sql in AUDIENCES.items():
        (root / f"models/audiences/{name}.sql").write_text(sql + "\n")
    with new_project(request.param, root, tmp_path_factory.mktemp("memberships")) as made:
        yield made


class Job:
    """The project's runs, one after the other, each with what landed before it."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.manifest = load_manifest(project)
        self.loads = 0
        assert run_dbt(project, ["seed"], manifest=self.manifest).success

    def run(self, as_of: datetime, *messages: dict[str, Any], full: bool = False) -> None:
        self.loads += 1
        with connect(self.project) as warehouse:
            land_messages(warehouse, messages, self.loads)
        arguments = ["build", *UNTESTED, "--select", "+path:models/audiences"]
        # What is built in full takes the views that read it with it on PostgreSQL.
        arguments += ["--full-refresh"] if full else AGAIN if self.loads > 1 else []
        result = run_dbt(self.project, arguments, {"as_of": as_of.isoformat(sep=" ")}, self.manifest)
        assert not [node for node in result.nodes if node.failed]
        with connect(self.project) as warehouse:
            self.check(warehouse)

    def check(self, warehouse: Warehouse) -> None:
        """At all times who is in an audience has one open membership of it, and nobody else."""
        for name in AUDIENCES:
            members = rows_of(warehouse, f"audiences.{name}", "profile_id")
            assert rows_of(warehouse, f"(select * from audiences.audience_memberships where audience = '{name}') as m",
                           "profile_id") == members  # fmt: skip


def order(who: str, at: datetime) -> dict[str, Any]:
    kind = "userId" if who.startswith("user") else "anonymousId"
    return message("track", at, event="Order Completed", properties={"order_id": who, "revenue": 5}, **{kind: who})


def visit(device: str, at: datetime) -> dict[str, Any]:
    return message("page", at, anonymousId=device)


def login(user: str, device: str, at: datetime) -> dict[str, Any]:
    return message("identify", at, userId=user, anonymousId=device, traits={})


def test_members_enter_and_leave_with_reasons_and_merges_lose_and_double_nobody(project: Project):
    job = Job(project)
    hours = [START + timedelta(hours=n) for n in range(10)]
    job.run(hours[0], order("user-a", hours[0]), order("device-b", hours[0]), visit("device-d", hours[0]))
    job.run(hours[1], order("user-c", hours[1]), order("device-e", hours[1]))
    with connect(project) as warehouse:
        profile = dict(warehouse.query("select identifier, profile_id from identity.identity_graph"))
        a, b, c, d, e = (
            profile[name]
            for name in ("user_id:user-a", "anonymous_id:device-b", "user_id:user-c", "anonymous_id:device-d",
                         "anonymous_id:device-e")
        )  # fmt: skip
        entries = dict(warehouse.query(f"select profile_id, entry_reason from {HISTORY} where audience = 'buyers'"))
    assert entries[a] == entries[b] == "the audience was built for the first time"
    assert entries[c] == entries[e] == "did order_completed in the last 7 days"

    # b joins a, both are members; e joins d, which is none: it is one from e's entry on.
    job.run(hours[2], login("user-a", "device-b", hours[2]), login("user-d", "device-d", hours[2]))
    job.run(hours[3], login("user-d", "device-e", hours[3]))
    with connect(project) as warehouse:
        rows = {
            (name, number): rest
            for name, number, *rest in warehouse.query(
                "select profile_id, membership_number, entered_at, exited_at, exit_reason, joined_profile_id,"
                f" is_carried from {HISTORY} where audience = 'buyers'"
            )
        }
        assert rows[a, 1] == [hours[0], None, None, None, False]
        assert rows[b, 1][1:] == [hours[2], "merged", a, False]
        assert rows[d, 1] == [hours[1], None, None, None, True]
        assert rows[e, 1][1:] == [hours[3], "merged", d, False]
        events = warehouse.query(
            "select profile_id, event from audiences.audience_events where audience = 'buyers' order by 1, 2"
        )
        assert sorted(events) == sorted([(who, "Audience Entered") for who in (a, a, c, d)])
        # That run was about two people: the rows of the others were left alone.
        revisions = dict(warehouse.query("select profile_id, revision from profiles.profile_traits"))
        assert revisions[c] < revisions[d] == max(revisions.values())
        by_hand = rows_of(warehouse, "audiences.audience_memberships", "audience, profile_id, entry_reason")
        assert ("by_hand", a, "profiles merged") in by_hand

    # Who puts something into a cart is no longer without one; after 8 days nobody is a buyer.
    job.run(
        hours[4], message("track", hours[4], event="Product Added", properties={"product_id": "p"}, userId="user-c")
    )
    job.run(hours[4] + timedelta(days=8))
    with connect(project) as warehouse:
        left = {
            (audience, name): reason
            for audience, name, reason in warehouse.query(
                f"select audience, profile_id, exit_reason from {HISTORY} where exited_at is not null"
            )
        }
        assert left["buyers", c].startswith("no longer: did")
        assert left["buyers_without_cart", c].startswith("no longer: did not")
        assert left["buyers_without_cart", a] == "no longer: in audience buyers"
        before = rows_of(warehouse, HISTORY)

    # The same once more, and from the beginning: nothing more happens.
    job.run(hours[4] + timedelta(days=8))
    job.run(hours[4] + timedelta(days=8), full=True)
    with connect(project) as warehouse:
        assert rows_of(warehouse, HISTORY) == before

    # Back again is a membership of its own.
    again = hours[4] + timedelta(days=9)
    job.run(again, order("user-c", again))
    with connect(project) as warehouse:
        numbers = warehouse.query(
            f"select membership_number from {HISTORY} where audience = 'buyers' and profile_id = $profile order by 1",
            {"profile": c},
        )
    assert numbers == [(1,), (2,)]


@pytest.mark.parametrize("project", POSTGRES_LATER, indirect=True, scope="module")
def test_previews_and_differences_are_what_building_gives(project: Project, monkeypatch: pytest.MonkeyPatch):
    root = project.root
    with connect(project) as warehouse:
        is_built = warehouse.relation_exists("audiences", "buyers")
    if not is_built:
        # It runs alone.
        Job(project).run(START, order("user-a", START), order("device-b", START), login("user-a", "device-b", START))
    for arguments in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "x"],
    ):
        subprocess.run(["git", *arguments], cwd=root, check=True)
    buyers = root / "models/audiences/buyers.sql"
    buyers.write_text("{{ cdi.audience(all=[cdi.did('order_completed', within='9999 days')], columns=['email']) }}\n")
    (root / "models/audiences/regulars.sql").write_text(
        "{{ cdi.audience(all=[cdi.trait('count_orders', at_least=1), cdi.in_audience('buyers')],"
        " columns=['count_orders']) }}\n"
    )
    with connect(project) as warehouse:
        built = {name: warehouse.query(f"select count(*) from audiences.{name}")[0][0] for name in AUDIENCES}
        (everybody,) = warehouse.query("select count(*) from profiles.profiles where count_orders > 0")[0]
    changes = {change.audience: change for change in audience_changes(project, "HEAD")}
    assert changes.keys() == {"buyers", "buyers_without_cart", "regulars"}
    assert (changes["regulars"].before, changes["regulars"].after) == (None, everybody)
    assert (changes["buyers"].after, changes["buyers"].leaving) == (everybody, 0)
    assert changes["buyers"].entering == everybody - changes["buyers"].before
    assert audience_changes(project, "HEAD", "HEAD") == []

    shown = preview(project, "regulars", weeks=3)
    assert (shown.size, shown.size_built, len(shown.trend)) == (everybody, None, 4)
    assert shown.columns == ["profile_id", "count_orders"]
    assert len(shown.sample) == min(everybody, 10)
    hand = preview(project, "by_hand")
    assert (hand.size, hand.size_built, hand.trend) == (built["by_hand"], built["by_hand"], [])
    assert preview(project, "buyers").columns == ["profile_id"]
    assert preview(project, "buyers", personal=True).columns == ["profile_id", "email"]
    show_preview(Console(quiet=True), shown)
    show_changes(Console(quiet=True), changes.values(), "HEAD", "now")
    with pytest.raises(UsageError, match="There is no audience nobody"):
        preview(project, "nobody")
    with pytest.raises(UsageError, match="git cannot show"):
        audience_changes(project, "no-such-revision")
    with monkeypatch.context() as without_git:
        without_git.setenv("PATH", "")
        with pytest.raises(UsageError, match="git is not installed"):
            audience_changes(project, "HEAD")

    # A trait that is declared, but not built: computed ones are counted for the preview, others cannot be.
    with (root / "models/profiles/traits/order_traits.yml").open("a") as sheet:
        sheet.write(
            "      - name: count_small_orders\n        data_type: integer\n        config: {meta: {trait:"
            " {type: count, event: Order Completed, where: {revenue: {at_most: 5}}}}}\n"
        )
    spenders, unbuilt = root / "models/audiences/spenders.sql", root / "models/audiences/unbuilt.sql"
    spenders.write_text(
        "{{ cdi.audience(all=[cdi.trait('count_small_orders', at_least=1)], columns=['count_small_orders']) }}\n"
    )
    unbuilt.write_text("select profile_id from {{ ref('profiles') }} where count_small_orders > 0\n")
    shown = preview(project, "spenders", weeks=1)
    assert (shown.size, shown.columns) == (everybody, ["profile_id"])
    for ask in (lambda: preview(project, "unbuilt"), lambda: audience_changes(project, "HEAD")):
        with pytest.raises(CdiError, match="unbuilt asks for something that has not been built yet"):
            ask()
    unbuilt.unlink()
    changes = {change.audience: change for change in audience_changes(project, "HEAD")}
    assert (changes["spenders"].before, changes["spenders"].entering) == (None, everybody)
    spenders.unlink()

    # A form that was not compiled after its last change.
    form = root / "models/audiences/from_form.audience"
    form.write_text("description: Buyers.\nall:\n  - did: order_completed\n")
    for ask in (lambda: preview(project, "from_form"), lambda: audience_changes(project, "HEAD")):
        with pytest.raises(UsageError, match="is not compiled as it is now"):
            ask()
    form.unlink()

    # An audience that is removed is left by all.
    (project.root / "models/audiences/by_hand.sql").unlink()
    assert run_dbt(project, ["run", "--select", "audience_events"]).success
    with connect(project) as warehouse:
        rows = warehouse.query(f"select exited_at is null, exit_reason from {HISTORY} where audience = 'by_hand'")
    assert rows
    assert all(not is_open and reason for is_open, reason in rows)
