"""The commands of syncs as people and schedulers run them: what they print, how they end, and two of them at once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiohttp import web
from support import activation_table, project_of_syncs

from cdi.project import Project
from cdi.simulator import Simulator
from cdi.simulator.webhook import WebhookReceiver
from cdi.warehouse import connect


@pytest.fixture
def shop(project_factory: Callable[..., Project], tmp_path: Path) -> Project:
    """A project with the sync `people`, of three people, that never ran."""
    project = project_factory(project_of_syncs(tmp_path / "shop", people={}))
    with activation_table(project, "profile_id text, email text, city text") as warehouse:
        warehouse.execute("drop schema cdi cascade")
        warehouse.execute(
            "insert into activation.people values ('p1', 'jane@example.com', 'Graz'), ('p2', 'joe@example.com', null),"
            " ('p3', null, 'Linz')"
        )
    return project


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


def test_of_two_that_start_at_once_one_sends_and_the_other_says_that_it_is_taken(shop: Project, monkeypatch):
    receiver = SlowReceiver()
    command = [sys.executable, "-m", "cdi.cli", "--project-dir", str(shop.root)]
    command += ["--profiles-dir", str(shop.profiles_dir), "sync"]
    with Simulator(tools=[receiver]) as simulator:
        monkeypatch.setenv("CDI_TEST_URL", simulator.url_of("webhook"))
        with held_back(shop, processes=2):
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
            if shop.dialect == "duckdb"
            else "Another process holds the lock 'sync people'."
        )
        assert taken in said[1]
        assert "run again" in said[1]
        assert receiver.counts["rows"] == len(receiver.held["people"]) == 3
        # What the late one did is nothing, and there is nothing left to do.
        with connect(shop) as warehouse:
            assert warehouse.query("select status, delivered_added from cdi.sync_runs") == [("succeeded", 3)]
            assert warehouse.query("select count(*), count(distinct key) from cdi.sync_state") == [(3, 3)]
        assert subprocess.run(command, check=True, capture_output=True)
        assert receiver.counts["rows"] == 3
