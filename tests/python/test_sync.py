"""Syncs: the tool holds exactly what the model holds, only changes are sent, and nothing is lost on the way."""

from __future__ import annotations

import csv
import io
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdi.errors import UsageError
from cdi.receiver import WebhookReceiver
from cdi.sync.declared import DeclaredSync
from cdi.sync.deliver import run_sync
from cdi.sync.state import create_state_tables
from cdi.sync.tools import TOOLS
from cdi.sync.tools import webhook as webhook_module
from cdi.warehouse import connect

SECRET = "not-a-real-secret"


def declare(tool: str, **options) -> DeclaredSync:
    return DeclaredSync("people_sync", "activation", "people", "people.yml", TOOLS[tool], "profile_id", options)


WEBHOOK = declare("webhook", url_env="CDI_TEST_URL", secret_env="CDI_TEST_SECRET", batch_size=4)


@pytest.fixture
def receiver(monkeypatch):
    with WebhookReceiver(secret=SECRET.encode()) as server:
        monkeypatch.setenv("CDI_TEST_URL", server.url)
        monkeypatch.setenv("CDI_TEST_SECRET", SECRET)
        # Waiting is tenacity's business; tests need not.
        monkeypatch.setattr(webhook_module, "LONGEST_WAIT", 0.01)
        yield server


@pytest.fixture
def people(project):
    """A warehouse with an activation model to sync, as a table that tests fill."""
    with connect(project) as warehouse:
        create_state_tables(warehouse)
        warehouse.execute("create schema activation")
        warehouse.execute(
            "create table activation.people (profile_id text, email text, revenue numeric(18, 2), seen_at timestamp)"
        )
        yield warehouse


def fill(warehouse, rows: dict[str, tuple]) -> None:
    warehouse.execute("delete from activation.people")
    for key, (email, revenue) in rows.items():
        warehouse.execute(
            "insert into activation.people values ($key, $email, $revenue, '2026-11-01 12:00:00')",
            {"key": key, "email": email, "revenue": revenue},
        )


def held(receiver) -> dict[str, tuple]:
    return {key: (row["email"], row["revenue"]) for key, row in receiver.held.get("people_sync", {}).items()}


contents = st.dictionaries(
    st.sampled_from([f"p{number}" for number in range(12)]),
    st.tuples(st.sampled_from([None, "", "a@example.com", "o'neill@example.com"]), st.sampled_from([None, 0.0, 1.5])),
)
faults = st.lists(st.sampled_from([500, 503, 429, 400, "drop", "slow"]), max_size=4)


@given(steps=st.lists(st.tuples(contents, faults), min_size=1, max_size=4))
@settings(max_examples=25)
def test_the_tool_ends_up_with_what_the_model_holds(project, people, receiver, steps):
    people.execute("delete from cdi.sync_state")
    receiver.held.clear()
    for rows, answers in steps:
        fill(people, rows)
        receiver.faults.answers = list(answers)
        result = run_sync(project, people, WEBHOOK)
        assert result.delivered + result.failed == result.added + result.changed + result.removed
    receiver.faults.answers = []
    run_sync(project, people, WEBHOOK)
    assert held(receiver) == steps[-1][0]
    requests = receiver.counts["requests"]
    again = run_sync(project, people, WEBHOOK)
    assert (again.added, again.changed, again.removed) == (0, 0, 0)
    assert receiver.counts["requests"] == requests


def test_only_what_changed_is_sent(project, people, receiver):
    fill(people, {f"p{number}": ("a@example.com", 1.0) for number in range(10)})
    assert run_sync(project, people, WEBHOOK).added == 10
    fill(people, {f"p{number}": ("a@example.com", 2.0 if number == 3 else 1.0) for number in range(9)})
    before = receiver.counts["rows"]
    result = run_sync(project, people, WEBHOOK)
    assert (result.added, result.changed, result.removed, result.delivered) == (0, 1, 1, 2)
    assert receiver.counts["rows"] - before == 2


def test_a_refused_batch_is_sent_again_with_its_newest_values(project, people, receiver):
    fill(people, {f"p{number}": ("a@example.com", 1.0) for number in range(8)})
    receiver.faults.answers = [400]
    result = run_sync(project, people, WEBHOOK)
    assert (result.delivered, result.failed, result.problem) == (4, 4, "HTTP 400 Bad Request")
    fill(people, {f"p{number}": ("a@example.com", 7.0) for number in range(8)})
    result = run_sync(project, people, WEBHOOK)
    assert (result.added, result.changed, result.failed) == (4, 4, 0)
    assert held(receiver) == {f"p{number}": ("a@example.com", 7.0) for number in range(8)}


def test_a_tool_that_is_down_is_given_up_on_and_served_later(project, people, receiver):
    fill(people, {f"p{number:02d}": ("a@example.com", 1.0) for number in range(40)})
    receiver.faults.answers = [503] * 200
    result = run_sync(project, people, WEBHOOK)
    assert (result.delivered, result.failed) == (0, 40)
    assert "HTTP 503 after 5 attempts" in result.problem
    receiver.faults.answers = []
    assert run_sync(project, people, WEBHOOK).delivered == 40


def test_null_and_double_keys_are_kept_back_with_the_reason(project, people, receiver):
    fill(people, {"p1": ("a@example.com", 1.0)})
    people.execute(
        "insert into activation.people values (null, 'x', 1, null), ('p2', 'x', 1, null), ('p2', 'y', 2, null)"
    )
    result = run_sync(project, people, WEBHOOK)
    assert (result.delivered, result.rejected) == (1, 3)
    rows = people.query("select key, reason, count_rows from cdi.sync_rejected order by reason")
    assert rows == [("p2", "several rows have this key", 2), (None, "the key is null", 1)]


def test_a_row_is_only_removed_if_it_was_delivered(project, people, receiver):
    fill(people, {"p1": ("a@example.com", 1.0)})
    receiver.faults.answers = [400]
    run_sync(project, people, WEBHOOK)
    fill(people, {})
    assert run_sync(project, people, WEBHOOK).removed == 0


def test_a_dry_run_sends_and_changes_nothing(project, people, receiver):
    fill(people, {"p1": ("a@example.com", 1.0)})
    assert run_sync(project, people, WEBHOOK, dry_run=True).added == 1
    assert receiver.counts["requests"] == 0
    assert people.query("select count(*) from cdi.sync_state")[0][0] == 0
    assert people.query("select count(*) from cdi.sync_runs")[0][0] == 0


def test_no_value_and_no_secret_in_tables_and_logs(project, people, receiver, caplog):
    caplog.set_level("DEBUG", logger="cdi")
    fill(people, {"p1": ("jane@example.com", 1.0)})
    receiver.faults.answers = [500, 400]
    run_sync(project, people, WEBHOOK)
    run_sync(project, people, WEBHOOK)
    tables = [people.query(f"select * from cdi.{name}") for name in ("sync_state", "sync_runs", "sync_rejected")]
    for text in (repr(tables), caplog.text):
        assert "jane" not in text
        assert SECRET not in text
        assert receiver.url not in text


def test_a_wrong_signature_is_refused(project, people, receiver, monkeypatch):
    monkeypatch.setenv("CDI_TEST_SECRET", "another")
    fill(people, {"p1": ("a@example.com", 1.0)})
    assert run_sync(project, people, WEBHOOK).problem == "HTTP 401 Unauthorized"


@pytest.mark.parametrize("kind", ["csv", "ndjson", "parquet"])
def test_files_hold_the_changes_of_each_run(project, people, tmp_path: Path, kind: str):
    sync = declare("file", format=kind, path=str(tmp_path / "out"))
    fill(people, {"p1": ("a@example.com", 1.5), "p2": (None, None)})
    assert run_sync(project, people, sync).delivered == 2
    assert run_sync(project, people, sync).delivered == 0
    fill(people, {"p1": ("b@example.com", 1.5)})
    assert run_sync(project, people, sync).delivered == 2
    files = sorted((tmp_path / "out").iterdir())
    assert [file.name for file in files] == [f"000001.{kind}", f"000002.{kind}"]

    def read(file: Path) -> list[tuple]:
        if kind == "parquet":
            rows = pq.read_table(file).to_pylist()
        elif kind == "ndjson":
            rows = [orjson.loads(line) for line in file.read_bytes().splitlines()]
        else:
            rows = list(csv.DictReader(io.StringIO(file.read_text())))
        return sorted((row["operation"], row["profile_id"], row["email"] or None) for row in rows)

    assert read(files[0]) == [("upsert", "p1", "a@example.com"), ("upsert", "p2", None)]
    assert read(files[1]) == [("remove", "p2", None), ("upsert", "p1", "b@example.com")]


def test_wrong_declarations_name_file_model_and_key(project, people):
    sync = declare("webhook", url_env="CDI_TEST_NOT_SET")
    fill(people, {"p1": ("a@example.com", 1.0)})
    with pytest.raises(UsageError, match="CDI_TEST_NOT_SET"):
        run_sync(project, people, sync)
    wrong = DeclaredSync("s", "activation", "people", "people.yml", TOOLS["file"], "id", {"format": "csv", "path": "x"})
    with pytest.raises(UsageError, match=r"people\.yml, model s, meta\.sync: key 'id' is no column"):
        run_sync(project, people, wrong)


KILLED = """
import os, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_sync import WEBHOOK
from cdi.project import load_project
from cdi.sync.deliver import run_sync
from cdi.warehouse import connect
project = load_project(Path({root!r}), Path({profiles!r}), {target!r})
with connect(project) as warehouse:
    print("ready", flush=True)
    run_sync(project, warehouse, WEBHOOK)
"""


def test_killed_at_random_moments_it_loses_nothing(project, receiver, tmp_path: Path):
    rows = 400
    with connect(project) as warehouse:
        create_state_tables(warehouse)
        warehouse.execute("create schema activation")
        warehouse.execute("create table activation.people (profile_id text, email text, revenue numeric(18, 2))")
        warehouse.execute(
            "insert into activation.people select 'p' || n, 'a@example.com', 1 from generate_series(1, 400) as t(n)"
        )
    script = KILLED.format(
        tests=str(Path(__file__).parent),
        root=str(project.root),
        profiles=str(project.profiles_dir),
        target=project.target,
    )
    dice = random.Random(1)
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=dict(os.environ))
        process.stdout.readline()
        time.sleep(dice.uniform(0.05, 0.6))
        process.send_signal(signal.SIGKILL)
        process.wait()
    with connect(project) as warehouse:
        run_sync(project, warehouse, WEBHOOK)
        assert warehouse.query("select count(*) from cdi.sync_state")[0][0] == rows
    assert len(receiver.held["people_sync"]) == rows
    # Sent twice is at most the batch that was in flight at each kill.
    assert receiver.counts["rows"] <= rows + 4 * 4
