"""The commands of syncs as people and schedulers run them: what they print, how they end, and two of them at once."""

from __future__ import annotations

import asyncio
import logging
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from rich.console import Console
from support import activation_table, project_of_syncs, webhook_receiver

from cdi.cli import main
from cdi.project import Project
from cdi.simulator import Simulator
from cdi.simulator.webhook import WebhookReceiver
from cdi.sync.tools import http
from cdi.warehouse import connect

Shop = Callable[..., Project]


@pytest.fixture
def shop(project_factory: Callable[..., Project], tmp_path: Path) -> Shop:
    """Makes a project with a sync of three people that never ran; what it is given is the sync's meta.sync."""

    def make(**declared: Any) -> Project:
        project = project_factory(project_of_syncs(tmp_path / "shop", people=declared))
        with activation_table(project, "profile_id text, email text, city text") as warehouse:
            warehouse.execute("drop schema cdi cascade")
            warehouse.execute(
                "insert into activation.people values ('p1', 'jane@example.com', 'Graz'),"
                " ('p2', 'joe@example.com', null), ('p3', null, 'Linz')"
            )
        return project

    return make


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebhookReceiver]:
    with webhook_receiver(None) as receiver:
        monkeypatch.setenv("CDI_TEST_URL", receiver.url)
        monkeypatch.setattr(http, "FIRST_WAIT", 0.001)
        yield receiver


@dataclass
class Answer:
    """How a command ended, and what it printed."""

    code: int
    printed: str
    error: str


Command = Callable[..., Answer]


@pytest.fixture
def cdi(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Command:
    """The command line, run in this process."""
    # It is changed by the command line and by nobody changed back.
    monkeypatch.setattr(logging.getLogger("cdi"), "propagate", True)
    monkeypatch.setattr("cdi.sync.cli.console", Console(width=160))

    def run(project: Project, *arguments: str) -> Answer:
        options = ["--project-dir", str(project.root), "--profiles-dir", str(project.profiles_dir)]
        monkeypatch.setattr(sys, "argv", ["cdi", *options, *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        return Answer(int(end.value.code or 0), *capsys.readouterr())

    return run


def lines(answer: Answer, code: int = 0) -> list[str]:
    """What a command printed, line by line, blanks as one; it ended with `code`."""
    assert answer.code == code, answer
    assert "Traceback" not in answer.printed + answer.error
    return [" ".join(line.split()) for line in answer.printed.splitlines()]


def error(answer: Answer, code: int) -> str:
    """What a command that failed with `code` said about it."""
    assert answer.code == code, answer
    assert "Traceback" not in answer.printed + answer.error
    return " ".join(answer.error.split())


def test_before_anything_ran_there_is_nothing_to_tell_and_nothing_is_made(shop: Shop, receiver, cdi: Command):
    project = shop()
    assert lines(cdi(project, "sync", "status")) == [
        "sync held doubt rejected ran (UTC)",
        "people 0 0 0 never ran",
        "Why rows were rejected: cdi.sync_rejected.",
    ]
    assert lines(cdi(project, "sync", "show", "p1")) == ["Nothing that was sent about it is known."]
    shown = lines(cdi(project, "sync", "--dry-run"))
    assert shown == ["sync added changed removed kept back", "people 3 0 0 0", "Nothing was sent."]
    with connect(project) as warehouse:
        assert not warehouse.relation_exists("cdi", "sync_runs")
    assert "people 0 0 0 0 0 0" in lines(cdi(project, "sync", "retry"))
    assert receiver.counts["requests"] == 0


def test_where_nothing_was_built_it_is_said_what_to_do(shop: Shop, receiver, cdi: Command):
    project = shop()
    if project.dialect == "postgres":
        pytest.skip("a database is there before anything is in it")
    Path(project.credentials.path).unlink()
    for command in ("sync status", "sync show p1"):
        said = error(cdi(project, *command.split()), 4)
        assert said.startswith(f"Error: There is no DuckDB file {project.credentials.path} yet")
        assert "cdi run" in said
    assert not Path(project.credentials.path).exists()


def test_a_name_a_word_or_a_model_that_is_not_there_is_named(shop: Shop, receiver, cdi: Command):
    project = shop()
    for command in ("", "retry"):
        said = error(cdi(project, *f"sync {command} poeple".split()), 2)
        assert said == "Error: There is no sync 'poeple'. Did you mean people? Known: people."
    assert "Missing argument" in error(cdi(project, "sync", "show"), 2)
    assert "No such option: --diff" in error(cdi(project, "sync", "retry", "--diff"), 2)
    said = error(cdi(project, "sync", "people", "--since", "yesterday"), 2)
    assert said.startswith("Error: --since is 'yesterday', which is no date and no time.")
    said = error(cdi(project, "sync", "people", "--since", "2026-01-31"), 2)
    assert said.endswith("--since goes with mode append and a column `time`.")
    with connect(project) as warehouse:
        warehouse.execute("drop table activation.people")
    for command in ("sync", "sync --dry-run", "sync retry"):
        said = error(cdi(project, *command.split()), 2)
        assert said.endswith("does not exist in the warehouse. Build it first: dbt build --select +people")
    assert "people 0 0 0 never ran" in lines(cdi(project, "sync", "status"))
    assert receiver.counts["requests"] == 0


def test_status_show_and_retry_of_a_row_that_is_refused(shop: Shop, receiver, cdi: Command):
    project = shop()
    receiver.refuses = "joe@"
    refused = 'HTTP 422 Unprocessable Entity: {"error": "***@ is no address"}'
    answer = cdi(project, "sync")
    assert error(answer, 5) == (f"Error: 1 rows were not delivered: people: {refused} The next run sends them again.")
    assert lines(answer, 5)[1:] == ["people 3 0 0 0 2 1", f"people: {refused}"]
    # It waits; who was told once hears no alarm again.
    assert "1 rows were refused as they were before" in "".join(lines(cdi(project, "sync", "retry")))
    status = lines(cdi(project, "sync", "status"))
    assert re.fullmatch(r"people 2 0 1 \d\d \w+ \d\d:\d\d succeeded", status[1])
    assert f"people: {refused}" in status
    kept = lines(cdi(project, "sync", "show", "p2"))
    assert kept[0] == "at (UTC) sync operation outcome"
    assert kept[1].endswith(f"people upsert {refused}")
    with connect(project) as warehouse:
        warehouse.execute("create schema identity")
        warehouse.execute("create table identity.identity_graph (identifier text, profile_id text)")
        warehouse.execute("insert into identity.identity_graph values ('email:jane@example.com', 'p1')")
    for key in ("p1", "email:jane@example.com"):
        assert lines(cdi(project, "sync", "show", key))[1].endswith(" people upsert delivered")
    # Only what waits is sent, with the values that it has now.
    with connect(project) as warehouse:
        warehouse.execute("update activation.people set email = 'joe.doe@example.com' where profile_id = 'p2'")
        warehouse.execute("insert into activation.people values ('p4', null, null)")
    receiver.refuses = ""
    assert lines(cdi(project, "sync", "retry", "people"))[1:] == ["people 1 0 0 0 1 0"]
    assert receiver.held["people"]["p2"]["email"] == "joe.doe@example.com"
    assert "p4" not in receiver.held["people"]
    assert lines(cdi(project, "sync", "status"))[1].startswith("people 3 0 0 ")
    for command in (answer, cdi(project, "sync", "show", "p2"), cdi(project, "sync", "status")):
        assert "@example" not in command.printed + command.error


def test_what_was_delivered_long_ago_is_kept_as_long_as_is_asked(shop: Shop, receiver, cdi: Command):
    project = shop()
    settings = project.root / "dbt_project.yml"
    declared = settings.read_text()

    def keep(days: str) -> Answer:
        settings.write_text(declared + f"  sync_history_days: {days}\n")
        return cdi(project, "sync")

    for email in ("first@example.com", "second@example.com", "third@example.com"):
        with connect(project) as warehouse:
            warehouse.execute("update activation.people set email = $email where profile_id = 'p1'", {"email": email})
        assert keep("''").code == 0
    with connect(project) as warehouse:
        # The first was delivered forty days ago, the second now; the third is what the tool holds.
        warehouse.execute(
            "update cdi.sync_changes set delivered_at = delivered_at - interval '40 days'"
            " where delivered_at = (select min(delivered_at) from cdi.sync_changes)"
        )
    requests = receiver.counts["requests"]
    for days, known in (("''", 3), ("400", 3), ("41", 3), ("39", 2), ("0", 1)):
        assert keep(days).code == 0
        assert len(lines(cdi(project, "sync", "show", "p1"))) - 1 == known, days
    assert receiver.counts["requests"] == requests
    for days in ("'many'", "-1", "999999"):
        said = error(keep(days), 2)
        assert said.startswith(f"Error: dbt_project.yml: var sync_history_days is {days}, but must be a whole number")


def test_a_guard_ends_with_3_until_somebody_has_looked(shop: Shop, receiver, cdi: Command):
    project = shop(guards={"max_added": 2})
    blocked = "people: guard: 3 rows would be added, more than 2"
    # A dry run has found what it was asked for.
    assert blocked in lines(cdi(project, "sync", "--dry-run"))
    said = error(cdi(project, "sync"), 3)
    assert said == (
        f"Error: Nothing was sent by {blocked}"
        " Look with cdi sync --dry-run --diff; if it is right, cdi sync NAME --ignore-guards."
    )
    status = lines(cdi(project, "sync", "status"))
    assert status[1].startswith("people 0 0 0 ")
    assert status[1].endswith(" blocked")
    assert blocked in status
    assert receiver.counts["requests"] == 0
    assert "people 3 0 0 0 3 0" in lines(cdi(project, "sync", "people", "--ignore-guards"))


def test_a_diff_shows_rows_of_each_kind_and_nobody(shop: Shop, receiver, cdi: Command, tmp_path: Path):
    project = shop(fields={"id": "profile_id", "mail": "email", "town": "city"})
    assert cdi(project, "sync").code == 0
    with connect(project) as warehouse:
        warehouse.execute("update activation.people set email = 'jane.new@example.com' where profile_id = 'p1'")
        warehouse.execute("delete from activation.people where profile_id = 'p3'")
        warehouse.execute("insert into activation.people values ('p4', 'mary@example.com', 'Wels [old]')")
    requests, log = receiver.counts["requests"], tmp_path / "log.json"
    for options in ("--dry-run --diff", "--diff"):
        answer = cdi(project, "--log-json", str(log), "sync", *options.split())
        shown = lines(answer)
        assert shown[1:6] == ["people 1 1 1 0", "Nothing was sent.", "people", "key kind id mail town", "p3 removed p3"]
        assert sorted(shown[6:]) == ["p1 changed p1 *** Graz", "p4 added p4 *** Wels [old]"]
        for text in (answer.printed, answer.error, log.read_text()):
            assert "@example" not in text
    assert receiver.counts["requests"] == requests


def test_a_diff_by_a_personal_key_shows_no_key(shop: Shop, receiver, cdi: Command):
    project = shop(key="email")
    answer = cdi(project, "sync", "--diff")
    assert sorted(lines(answer)[-2:]) == ["*** added p1 *** Graz", "*** added p2 ***"]
    assert "@example" not in answer.printed + answer.error


class SlowReceiver(WebhookReceiver):
    """Answers nobody before it may."""

    def __init__(self) -> None:
        super().__init__(secret=None)
        self.may_answer = threading.Event()

    async def post(self, request: web.Request) -> web.Response:
        while not self.may_answer.is_set():
            await asyncio.sleep(0.01)
        return await super().post(request)


def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so: the test fails if it never is."""
    deadline = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def held_back(project: Project, processes: int) -> Iterator[None]:
    """On PostgreSQL, processes that are started inside go on from the same moment, the end: where they write first."""
    if project.dialect == "duckdb":
        yield
        return
    waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    with connect(project) as gate, connect(project) as watching:
        gate.execute("begin")
        gate.execute("create schema cdi")
        yield
        until(lambda: watching.query(waiting) == [(processes,)])
        gate.execute("rollback")


def test_of_two_that_start_at_once_one_sends_and_the_other_says_that_it_is_taken(shop: Shop, monkeypatch):
    project, receiver = shop(), SlowReceiver()
    command = [sys.executable, "-m", "cdi.cli", "--project-dir", str(project.root)]
    command += ["--profiles-dir", str(project.profiles_dir), "sync"]
    with Simulator(tools=[receiver]) as simulator:
        monkeypatch.setenv("CDI_TEST_URL", simulator.url_of("webhook"))
        with held_back(project, processes=2):
            both = [
                subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)
            ]
        # The one that sends has no answer yet.
        until(lambda: any(process.poll() is not None for process in both))
        late, first = sorted(both, key=lambda process: process.poll() is None)
        said = late.communicate()
        receiver.may_answer.set()
        answered = first.communicate(timeout=120)
        assert (first.returncode, late.returncode) == (0, 4), (answered, said)
        taken = (
            "in use by another process."
            if project.dialect == "duckdb"
            else "Another process holds the lock 'sync people'."
        )
        assert taken in said[1]
        assert "run again" in said[1]
        assert receiver.counts["rows"] == len(receiver.held["people"]) == 3
        # What the late one did is nothing, and there is nothing left to do.
        with connect(project) as warehouse:
            assert warehouse.query("select status, delivered_added from cdi.sync_runs") == [("succeeded", 3)]
            assert warehouse.query("select count(*), count(distinct key) from cdi.sync_state") == [(3, 3)]
        assert subprocess.run(command, check=True, capture_output=True)
        assert receiver.counts["rows"] == 3
