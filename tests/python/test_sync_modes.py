"""What a declaration says: fields, nulls, modes, guards, and what part of a difference a run is about."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace

import pyarrow as pa
import pytest
import yaml
from conftest import ROOT
from support import activation_table, ask_to_forget, webhook_receiver

from cdi.errors import UsageError, WarehouseError
from cdi.sync import Asked, state
from cdi.sync.declared import DeclaredSync, Field
from cdi.sync.deliver import Stop, run_sync
from cdi.sync.guards import Guards
from cdi.sync.history import sent_about, sync_statuses
from cdi.sync.state import Scope
from cdi.sync.tools import http
from cdi.sync.tools.webhook import Webhook
from cdi.warehouse import connect


@pytest.fixture
def receiver(monkeypatch):
    with webhook_receiver(None) as receiver:
        monkeypatch.setenv("CDI_TEST_URL", receiver.url)
        monkeypatch.setattr(http, "FIRST_WAIT", 0.001)
        yield receiver


COLUMNS = "profile_id text, email text, city text, seen_at timestamp"


@pytest.fixture
def people(project):
    with activation_table(project, COLUMNS) as warehouse:
        yield warehouse


@pytest.fixture
def quick_people(project):
    """As `people`, without waiting for the disk."""
    with activation_table(project, COLUMNS, in_memory=project.dialect == "duckdb") as warehouse:
        if project.dialect == "postgres":
            warehouse.execute("set synchronous_commit = off")
        yield warehouse


def declare(**given) -> DeclaredSync:
    options = {"url_env": "CDI_TEST_URL", **given.pop("options", {})}
    return DeclaredSync(
        "people_sync", "activation", "people", "people.yml", "webhook", "profile_id", options=options, **given
    )


def fill(warehouse, *rows: tuple) -> None:
    warehouse.execute("delete from activation.people")
    columns = list(zip(*rows, strict=True)) if rows else [(), (), (), ()]
    names = ("profile_id", "email", "city", "seen_at")
    arrays = [pa.array(values, pa.string()) for values in columns[:3]]
    arrays.append(pa.array([value for value in columns[3]], pa.string()).cast(pa.timestamp("us")))
    warehouse.append("activation.people", pa.table(dict(zip(names, arrays, strict=True))).to_reader())


def held(receiver) -> dict[str, dict]:
    return receiver.held.get("people_sync", {})


A, B = ("a", "a@example.com", "Graz", None), ("b", "b@example.com", None, None)
CITY = (Field("id", "profile_id"), Field("home", "city", skips_null=True))


def test_only_mapped_fields_are_sent_by_the_tools_names(project, people, receiver):
    fill(people, A, B)
    mapped = declare(fields=CITY)
    assert run_sync(project, people, mapped).added == 2
    # Null is left out of a field that is to be skipped.
    assert held(receiver) == {"a": {"id": "a", "home": "Graz"}, "b": {"id": "b"}}
    fill(people, ("a", "other@example.com", "Graz", None), B)
    assert run_sync(project, people, mapped).changed == 0
    # A new field sends the rows that have something in it, and no others.
    fill(people, A, ("b", None, None, None))
    more = declare(fields=(*CITY, Field("mail", "email")))
    assert run_sync(project, people, more).changed == 1
    fill(people, B)
    assert run_sync(project, people, more).removed == 1
    assert set(held(receiver)) == {"b"}


def test_modes_send_what_they_say(project, people, receiver):
    changed, new = ("a", "new@example.com", "Graz", None), ("c", "c@example.com", None, None)
    for mode, a_mail, left in (
        ("mirror", "new@example.com", {"a", "c"}),
        ("upsert", "new@example.com", {"a", "b", "c"}),
        ("create", "a@example.com", {"a", "b", "c"}),
        ("append", "a@example.com", {"a", "b", "c"}),
    ):
        people.execute("delete from cdi.sync_state")
        receiver.held.clear()
        declared = declare(mode=mode)
        fill(people, A, B)
        run_sync(project, people, declared)
        fill(people, changed, new)
        run_sync(project, people, declared)
        assert (held(receiver)["a"]["email"], set(held(receiver))) == (a_mail, left), mode
        assert run_sync(project, people, declared).delivered == 0


def test_upsert_removes_profiles_that_became_part_of_another(project, people, receiver):
    people.execute("create schema identity")
    people.execute("create table identity.identity_graph (identifier text, profile_id text)")
    people.execute("insert into identity.identity_graph values ('email:a@example.com', 'a'), ('email:b', 'b')")
    fill(people, A, B)
    declared = declare(mode="upsert")
    run_sync(project, people, declared)
    # b left the model, but is somebody still; then b becomes part of a.
    fill(people, A)
    assert run_sync(project, people, declared).removed == 0
    people.execute("update identity.identity_graph set profile_id = 'a'")
    assert run_sync(project, people, declared).removed == 1
    assert set(held(receiver)) == {"a"}
    assert [(item.operation, item.outcome) for item in seen(project, people, "email:a@example.com")] == [
        ("upsert", "delivered")
    ]


def seen(project, warehouse, key):
    warehouse.close()
    return sent_about(project, key)


def test_append_goes_back_as_far_as_it_was_asked_to(project, people, receiver):
    fill(people, ("a", "1", None, "2026-01-01"), ("b", "2", None, "2026-02-01"), ("c", "3", None, "2026-03-01"))
    declared = declare(mode="append", time_column="seen_at", since="2026-02-15 00:00:00")
    assert run_sync(project, people, declared).added == 1
    asked = Asked(scope=Scope(since="2026-01-15 00:00:00"))
    assert run_sync(project, people, declared, asked=asked).added == 1
    # Later runs remember it.
    fill(people, ("a", "1", None, "2026-01-01"), ("d", "4", None, "2026-01-20"))
    assert run_sync(project, people, declared).added == 1
    assert set(held(receiver)) == {"b", "c", "d"}


def test_one_bad_row_does_not_take_the_others_with_it(project, people, receiver):
    receiver.refuses = "bad@"
    rows = [(f"p{number:02d}", f"p{number}@example.com", None, None) for number in range(20)]
    fill(people, *rows[:7], ("p07", "bad@example.com", None, None), *rows[8:])
    result = run_sync(project, people, declare())
    assert (result.delivered, result.failed) == (19, 1)
    # The tool's own words, without what was sent.
    assert people.query("select key, reason from cdi.sync_rejected") == [
        ("p07", 'HTTP 422 Unprocessable Entity: {"error": "***@ is no address"}')
    ]
    receiver.refuses = ""
    assert run_sync(project, people, declare()).delivered == 1


def test_a_rejected_row_is_told_and_tried_again_alone(project, people, receiver):
    fill(people, A, B)
    # The batch, then its halves.
    receiver.faults.answers = [422, 422, None]
    assert run_sync(project, people, declare()).failed == 1
    assert people.query("select key, reason from cdi.sync_rejected") == [("a", "HTTP 422 Unprocessable Entity")]
    fill(people, A, B, ("c", "c@example.com", None, None))
    assert run_sync(project, people, declare(), asked=Asked(scope=Scope(only_rejected=True))).added == 1
    assert set(held(receiver)) == {"a", "b"}
    assert people.query("select count(*) from cdi.sync_rejected") == [(0,)]


def test_rows_that_are_all_refused_end_the_run_without_telling_what_was_in_them(project, people, receiver):
    receiver.refuses = "@example.com"
    fill(people, *[(f"p{number:03d}", f"jane{number}@example.com", None, None) for number in range(200)])
    result = run_sync(project, people, declare(options={"batch_size": 50}))
    assert (result.delivered, result.failed) == (0, 200)
    assert result.problem.startswith("every row so far was refused: HTTP 422")
    # Halves of the first batch until twenty rows were refused, and no more.
    assert receiver.counts["requests"] < 60
    kept = people.query("select reason, message from cdi.sync_rejected, cdi.sync_runs")
    assert "example" not in result.problem + repr(kept)


def test_a_failed_gate_keeps_rows_back_but_people_to_forget_are_handed_over(project, people, receiver):
    fill(people, A, B)
    run_sync(project, people, declare())
    ask_to_forget(people, "a")
    fill(people, B, ("c", None, None, None))
    closed = Asked(failed_gates=("events",))
    result = run_sync(project, people, declare(), asked=closed)
    assert (result.is_blocked, result.deleted) == (True, 1)
    assert result.problem == "gate events failed when it was last checked; mend it and run cdi validate"
    assert set(held(receiver)) == {"b"}
    assert run_sync(project, people, declare()).added == 1


def test_syncs_of_an_account_share_a_limit_whatever_their_batches():
    one, other = http.Endpoint("x", 10, rates=((5, 1.0),)), http.Endpoint("x", 20, rates=((5, 1.0),))
    assert http.limiter("account of a test", one) is http.limiter("account of a test", other)
    assert http.limiter("another of a test", one) is not http.limiter("account of a test", one)


def test_a_limit_sends_a_few_and_full_sends_all(project, people, receiver):
    fill(people, A, B)
    assert run_sync(project, people, declare(), asked=Asked(scope=Scope(limit=1))).delivered == 1
    assert run_sync(project, people, declare()).delivered == 1
    full = Asked(scope=Scope(full=True))
    assert run_sync(project, people, declare(), asked=full).changed == 2
    # What was to go once more and did not is not forgotten.
    receiver.faults.answers = [401]
    assert run_sync(project, people, declare(), asked=full).failed == 2
    assert run_sync(project, people, declare()).delivered == 2
    assert run_sync(project, people, declare()).delivered == 0


def test_guards_stop_before_anything_is_sent(project, people, receiver):
    rows = [(f"p{number}", None, None, None) for number in range(200)]
    fill(people, *rows)
    run_sync(project, people, declare())
    fill(people, *rows[:90])
    # The default is for a model that came out half empty.
    result = run_sync(project, people, declare())
    assert result.is_blocked
    assert "110 rows would be removed, more than 50% of the 200 that the tool holds" in result.problem
    assert len(held(receiver)) == 200
    assert people.query("select status from cdi.sync_runs order by started_at desc limit 1") == [("blocked",)]
    assert run_sync(project, people, declare(), asked=Asked(dry_run=True)).is_blocked
    assert run_sync(project, people, declare(), asked=Asked(ignores_guards=True)).delivered == 110
    fill(people, *rows[:95])
    assert run_sync(project, people, declare(guards=Guards(max_added=4))).is_blocked
    assert run_sync(project, people, declare(guards=Guards(max_added=5))).delivered == 5
    fill(people, *rows[:96])
    people.execute("create schema events")
    people.execute("create table events.events (loaded_at timestamp)")
    people.execute("insert into events.events values (timestamp '2026-01-01 00:00:00')")
    stale = run_sync(project, people, declare(guards=Guards(fresh_within=timedelta(hours=6))))
    assert "the newest event is" in stale.problem


def test_a_limit_does_not_get_past_percentages_but_keeps_to_counts(project, people, receiver):
    rows = [(f"p{number}", None, None, None) for number in range(200)]
    fill(people, *rows)
    run_sync(project, people, declare())
    fill(people, *rows[:90])
    ten = Asked(scope=Scope(limit=10))
    for asked in (ten, replace(ten, dry_run=True)):
        result = run_sync(project, people, declare(), asked=asked)
        assert result.is_blocked
        assert "110 rows would be removed (10 of them now), more than 50% of the 200" in result.problem
    assert len(held(receiver)) == 200
    # A number is what one run may do: whoever looks at a few rows first need not pass over it.
    counted = declare(guards=Guards(max_removed=10, max_removed_percent=None))
    assert run_sync(project, people, counted).is_blocked
    assert run_sync(project, people, counted, asked=ten).delivered == 10
    assert run_sync(project, people, declare(), asked=replace(ten, ignores_guards=True)).removed == 10
    # What is left is no half any more.
    assert run_sync(project, people, declare(), asked=ten).removed == 10
    assert len(held(receiver)) == 170
    # A retry is about the rows that were refused and no others.
    fill(people, *rows[:80], ("new", None, None, None))
    receiver.faults.answers = [422]
    few = Asked(scope=Scope(limit=1), ignores_guards=True)
    assert run_sync(project, people, declare(), asked=few).failed == 1
    retry = Asked(scope=Scope(only_rejected=True))
    assert run_sync(project, people, declare(), asked=retry).delivered == 1


def test_a_stop_finishes_the_page_in_flight(project, people, receiver, monkeypatch):
    monkeypatch.setattr(http, "PAGE_ROWS", 5)
    fill(people, *[(f"p{number}", None, None, None) for number in range(20)])
    stop = Stop()
    receiver.faults.answers = [None]
    take = http.HttpTool._send_chunks

    def asked_meanwhile(tool, *arguments):
        outcome = take(tool, *arguments)
        stop.signal = 15
        return outcome

    monkeypatch.setattr(http.HttpTool, "_send_chunks", asked_meanwhile)
    result = run_sync(project, people, declare(options={"batch_size": 5}), stop=stop)
    assert (result.delivered, result.failed) == (5, 15)
    assert people.query("select status from cdi.sync_runs") == [("stopped",)]
    assert people.query("select count(*) from cdi.sync_state where row_hash = ''") == [(0,)]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"fields": (Field("mail", "emial"), Field("id", "profile_id"))}, "'emial' is no column of the model. Did you"),
        ({"fields": (Field("mail", "email"),)}, "fields leaves out the key 'profile_id'"),
        ({"mode": "update"}, "mode 'update' is nothing that webhook can do here"),
        ({"object_name": "person"}, "object 'person' is not known"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_sent(project, people, receiver, given, problem):
    with pytest.raises(UsageError, match=r"people\.yml, model people_sync, meta\.sync: ") as error:
        run_sync(project, people, declare(**given))
    assert problem in str(error.value)
    assert receiver.counts["requests"] == 0


def test_a_tool_in_a_bad_way_ends_up_with_what_the_model_holds(project, people, receiver, monkeypatch):
    monkeypatch.setattr(http, "PAGE_ROWS", 40)
    receiver.faults.shares = {500: 0.3, 429: 0.15, "drop": 0.1, "half": 0.1, 400: 0.05}
    declared = declare(options={"batch_size": 5, "connections": 4})
    for version in range(3):
        rows = [(f"p{number:03d}", f"{number}@v{version}", None, None) for number in range(version * 20, 200)]
        fill(people, *rows)
        run_sync(project, people, declared)
    for _ in range(30):
        if not run_sync(project, people, declared).failed:
            break
    assert {key: row["email"] for key, row in held(receiver).items()} == {row[0]: row[1] for row in rows}
    assert people.query("select count(*) from cdi.sync_rejected") == [(0,)]
    assert people.query("select count(*) from cdi.sync_state where row_hash = ''") == [(0,)]


def test_a_warehouse_that_goes_away_is_said_plainly_and_nothing_is_lost(project, people, receiver, monkeypatch):
    if project.dialect == "duckdb":
        pytest.skip("DuckDB is a part of the process")
    monkeypatch.setattr(http, "PAGE_ROWS", 5)
    rows = [(f"p{number:02d}", f"{number}@example.com", None, None) for number in range(20)]
    fill(people, *rows)
    backend = people.query("select pg_backend_pid()")[0][0]
    take = http.HttpTool._send_chunks

    def gone_afterwards(tool, *arguments):
        outcome = take(tool, *arguments)
        with connect(project) as other:
            other.query("select pg_terminate_backend($pid)", {"pid": backend})
        return outcome

    with monkeypatch.context() as patch:
        patch.setattr(http.HttpTool, "_send_chunks", gone_afterwards)
        with pytest.raises(WarehouseError, match="went away"):
            run_sync(project, people, declare(options={"batch_size": 5}))
    assert len(held(receiver)) == 5
    with connect(project) as again:
        fill(again, *rows[1:])
        result = run_sync(project, again, declare(options={"batch_size": 5}))
        assert (result.added, result.removed, result.failed) == (19, 1, 0)
        assert again.query("select status, count(*) from cdi.sync_runs group by 1 order by 1") == [
            ("interrupted", 1),
            ("succeeded", 1),
        ]
    assert set(held(receiver)) == {row[0] for row in rows[1:]}
    # What was in doubt kept its ids: the receiver knew them.
    assert receiver.counts["rows"] == 25


def test_a_clock_that_is_set_back_changes_nothing(project, people, receiver, monkeypatch):
    times = iter([datetime(2026, 11, 26, 12) - timedelta(days=n) for n in range(200)])
    monkeypatch.setattr(state, "now", lambda: next(times))
    for step in range(4):
        rows = [(f"p{number}", f"{step}@example.com", None, None) for number in range(step, 4)]
        fill(people, *rows)
        receiver.faults.answers = [400, None, 400] if step == 2 else []
        run_sync(project, people, declare(options={"batch_size": 1}))
    assert {key: row["email"] for key, row in held(receiver).items()} == {"p3": "3@example.com"}
    runs = people.query("select status, delivered_removed from cdi.sync_runs order by number")
    assert runs == [("succeeded", 0), ("succeeded", 1), ("failed", 0), ("succeeded", 2)]
    manifest = SimpleNamespace(nodes={})
    monkeypatch.setattr("cdi.sync.history.declared_syncs", lambda *_, **__: [declare()])
    people.close()
    assert [item.status for item in sync_statuses(project, manifest)] == ["succeeded"]


FULL_DISK = """
import resource
from pathlib import Path
from types import SimpleNamespace
from cdi.errors import WarehouseError
from cdi.sync.declared import DeclaredSync
from cdi.sync.deliver import run_sync
from cdi.sync.guards import Guards
from cdi.warehouse import DuckDBWarehouse
with DuckDBWarehouse({path!r}) as warehouse:
    size = Path({path!r}).stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + {room}, resource.RLIM_INFINITY))
    try:
        run_sync(SimpleNamespace(root=Path()), warehouse, {declared!r})
    except WarehouseError as error:
        print(error.message)
"""
"""A sync on a disk with room for some more bytes of a file, as far as the process can tell."""


def test_a_disk_that_fills_up_loses_nothing(project, people, receiver):
    if project.dialect == "postgres":
        pytest.skip("its server has a disk of its own")
    rows = [(f"p{number:05d}", f"{number}@example.com", None, None) for number in range(20_000)]
    fill(people, *rows)
    people.close()
    declared = declare(options={"batch_size": 500})
    said = []
    # From nothing at all to enough: it ends at other statements each time.
    for room in (0, 100_000, 1_200_000, 10_000_000):
        script = FULL_DISK.format(path=project.credentials.path, room=room, declared=declared)
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        said.append(done.stdout.strip())
    # Nobody was told that it worked, until it did.
    sentence = "The warehouse went away or cannot write while people_sync was sent (TransactionException)."
    assert said[0] == sentence
    assert set(said) == {sentence, ""}
    assert said == sorted(said, reverse=True)
    with connect(project) as warehouse:
        assert run_sync(project, warehouse, declared).delivered == 0
        assert warehouse.query("select count(distinct key), count(*) from cdi.sync_state") == [(20_000, 20_000)]
    assert len(held(receiver)) == 20_000


def test_a_second_scheduler_finds_the_sync_taken(project, people, receiver):
    if project.dialect == "duckdb":
        pytest.skip("a DuckDB file has one writing process")
    fill(people, A)
    taken = pytest.raises(WarehouseError, match="Another process holds the lock 'sync people_sync'")
    with connect(project) as other, other.lock("sync people_sync"), taken:
        run_sync(project, people, declare())
    assert run_sync(project, people, declare()).delivered == 1


class Killed(BaseException):
    """The process is gone."""


def test_killed_at_every_statement_it_goes_on_where_it_was(project, quick_people, receiver, monkeypatch):
    """A run is ended before its first statement that writes, before its second, and so on, and then run again."""
    monkeypatch.setattr(http, "PAGE_ROWS", 4)
    monkeypatch.setattr(state, "TAKE_OVER_SECONDS", 0.0)
    declared = declare(options={"batch_size": 2})
    execute = type(quick_people).execute
    # The statements are the same on both: on DuckDB every third is enough.
    for point in range(1, 300, 3 if project.dialect == "duckdb" else 1):
        for table in ("sync_state", "sync_failures", "sync_runs", "sync_changes", "sync_rejected"):
            quick_people.execute(f"delete from cdi.{table}")
        receiver.held.clear()
        fill(quick_people, *[(f"p{number}", "before", None, None) for number in range(4)])
        run_sync(project, quick_people, declared)
        fill(quick_people, *[(f"p{number}", f"after{number % 2}", None, None) for number in range(2, 6)])
        left = point

        def killing(warehouse, *arguments):
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed
            return execute(warehouse, *arguments)

        with monkeypatch.context() as patch:
            patch.setattr(type(quick_people), "execute", killing)
            with contextlib.suppress(Killed):
                run_sync(project, quick_people, declared)
        was_killed = left == 0
        run_sync(project, quick_people, declared)
        wanted = {f"p{number}": f"after{number % 2}" for number in range(2, 6)}
        assert {key: row["email"] for key, row in held(receiver).items()} == wanted, point
        assert run_sync(project, quick_people, declared).delivered == 0
        if not was_killed:
            break
    assert not was_killed
    assert point > 20


def killed_at_page(number: int, project, people, declared, monkeypatch) -> None:
    """A run that ends when the tool has answered for a page and it is not written down yet."""
    settled, left = state.State.settled, number

    def killing(*arguments, **named):
        nonlocal left
        left -= 1
        if not left:
            raise Killed
        settled(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(state.State, "settled", killing)
        with pytest.raises(Killed):
            run_sync(project, people, declared)


def test_what_may_have_gone_twice_is_counted_whenever_it_was_killed(project, people, receiver, monkeypatch):
    monkeypatch.setattr(http, "PAGE_ROWS", 2)
    # It cannot tell repeats.
    monkeypatch.setattr(Webhook, "knows_repeats", False)
    declared = declare(options={"batch_size": 2, "connections": 1})
    fill(people, *[(f"p{number}", "x@example.com", None, None) for number in range(8)])
    for page in (1, 3):
        killed_at_page(page, project, people, declared, monkeypatch)
    run_sync(project, people, declared)
    assert len(held(receiver)) == 8
    twice = receiver.counts["rows"] - 8
    assert (twice, people.query("select sum(resent) from cdi.sync_runs")) == (4, [(4,)])
    # All of them once more: nothing of that is in doubt, also where it did not leave.
    receiver.faults.answers = [None, 401]
    run_sync(project, people, declared, asked=Asked(scope=Scope(full=True)))
    run_sync(project, people, declared)
    assert people.query("select sum(resent) from cdi.sync_runs") == [(4,)]


def test_what_was_sent_is_shown_also_where_nobody_heard(project, people, receiver, monkeypatch):
    monkeypatch.setattr(http, "PAGE_ROWS", 2)
    declared = declare(options={"batch_size": 2, "connections": 1})
    fill(people, *[(f"p{number}", "x@example.com", None, None) for number in range(8)])
    killed_at_page(2, project, people, declared, monkeypatch)
    keys = sorted(held(receiver))
    people.close()
    outcomes = [item.outcome for key in keys for item in sent_about(project, key)]
    assert sorted(outcomes) == ["answered"] * 2 + ["sent, not confirmed"] * 2


def test_a_second_signal_does_not_wait_for_the_tool(project, people, receiver, monkeypatch):
    monkeypatch.setattr(http, "FIRST_WAIT", 60)
    receiver.faults.shares = {503: 1.0}
    fill(people, *[(f"p{number}", None, None, None) for number in range(8)])
    stop = Stop()

    def ask_twice():
        while receiver.counts["requests"] < 2:
            time.sleep(0.01)
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)

    asking = threading.Thread(target=ask_twice)
    asking.start()
    started = time.monotonic()
    with stop.watched(), pytest.raises(KeyboardInterrupt):
        run_sync(project, people, declare(options={"batch_size": 2, "connections": 2}), stop=stop)
    asking.join()
    assert time.monotonic() - started < 30
    monkeypatch.setattr(http, "FIRST_WAIT", 0.001)
    receiver.faults.shares = {}
    assert run_sync(project, people, declare()).delivered == 8


def test_since_does_not_narrow_what_went_without_a_limit(project, people, receiver):
    def event(name: str, day: int) -> tuple:
        return (name, None, None, f"2026-01-{day:02d} 00:00:00")

    declared = declare(mode="append", time_column="seen_at")
    fill(people, event("a", 10))
    run_sync(project, people, declared)
    run_sync(project, people, declared, asked=Asked(scope=Scope(since="2026-01-09 00:00:00")))
    fill(people, event("a", 10), event("late", 2))
    assert run_sync(project, people, declared).delivered == 1


def test_a_comparison_waits_for_no_other_sync(project, people, receiver):
    if project.dialect == "duckdb":
        pytest.skip("a DuckDB file has one writing process")
    fill(people, A)
    run_sync(project, people, declare())
    people.execute("set lock_timeout = '2s'")
    with connect(project) as other, other.transaction():
        other.execute("update cdi.sync_state set run_id = run_id")
        other.execute("update cdi.sync_runs set run_id = run_id")
        fill(people, A, B)
        assert run_sync(project, people, declare(), dry_run=True).added == 1


def test_a_key_of_blanks_is_no_key(project, people, receiver):
    fill(people, A, (" ", None, None, None))
    assert run_sync(project, people, declare()).rejected == 1
    assert people.query("select reason from cdi.sync_rejected") == [("the key is empty",)]


def test_a_tool_that_cannot_delete_keeps_no_key_here(project, people, receiver, monkeypatch):
    monkeypatch.setattr(Webhook, "can_delete", False)
    fill(people, A, B)
    run_sync(project, people, declare())
    ask_to_forget(people, "a")
    fill(people, B)
    receiver.faults.answers = [401]
    run_sync(project, people, declare())
    # It is not removed yet, and so not let go.
    assert people.query("select status, key from cdi.deletion_requests") == [("INITIALIZED", "a")]
    assert run_sync(project, people, declare()).removed == 1
    assert set(held(receiver)) == {"b"}
    assert people.query("select status, key from cdi.deletion_requests") == [("NOT_SUPPORTED", None)]
    for table in ("sync_state", "sync_changes", "sync_rejected"):
        assert people.query(f"select count(*) from cdi.{table} where key = 'a'") == [(0,)]


def test_every_sync_that_ships_is_in_an_exposure():
    folder = ROOT / "models" / "activation"
    exposures = yaml.safe_load((folder / "_exposures.yml").read_text())["exposures"]
    exposed = {reference for exposure in exposures for reference in exposure["depends_on"]}
    models = [model for path in folder.glob("*/*.yml") for model in yaml.safe_load(path.read_text())["models"]]
    synced = {f"ref('{model['name']}')" for model in models if "sync" in model["config"].get("meta", {})}
    assert synced
    assert exposed == synced
