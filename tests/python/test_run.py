"""The scheduled job as its users run it: from files to deliveries, and with everything that can be wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pytest
from conftest import ROOT
from support import UNTESTED, copy_project, webhook_receiver

from cdi.cli import main
from cdi.dbt import run_dbt
from cdi.demo_data.generate import generate
from cdi.errors import GateError, UsageError
from cdi.moments import moment_in_utc
from cdi.run import run
from cdi.warehouse import connect

END = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture(scope="session")
def demo_data(tmp_path_factory) -> Path:
    """A small shop's raw files."""
    folder = tmp_path_factory.mktemp("demo") / "data"
    generate(300, 60, 7, folder, END, 1)
    return folder / "raw"


@pytest.fixture
def project_copy(project_factory, tmp_path: Path, monkeypatch):
    """The project in a folder of its own, so that file syncs write there."""
    monkeypatch.setenv("CDI_WEBHOOK_SECRET", "for-tests-only")
    return project_factory(copy_project(ROOT, tmp_path / "project"))


def test_from_files_to_deliveries_and_again(project_copy, demo_data: Path, monkeypatch):
    as_of = END.strftime("%Y-%m-%d %H:%M:%S")
    with webhook_receiver() as receiver:
        monkeypatch.setenv("CDI_WEBHOOK_URL", receiver.url)
        first = run(project_copy, [str(demo_data)], as_of=as_of)
        assert first.rows_landed > 5_000
        assert first.rows_rejected > 0
        # Ninety days of a shop without wishlists are too short for some, and its people too few to learn from.
        empty = {item.name for item in first.audiences if not item.size}
        unlearned = {
            "likely_buyers", "likely_churners", "valuable_likely_churners", "top_tenth_by_value",
            "lookalikes_of_the_best",
        }  # fmt: skip
        assert empty <= unlearned | {
            "wished_and_waiting", "lapsed_customers", "frequent_returners", "worth_winning_back",
        }  # fmt: skip
        assert len(first.audiences) >= 20
        assert {item.failed for item in first.syncs} == {0}
        with connect(project_copy) as warehouse:
            for name in ("webhook__high_value_customers", "webhook__abandoned_cart"):
                keys = {row[0] for row in warehouse.query(f"select profile_id from activation.{name}")}
                assert set(receiver.held[name]) == keys
            landed = warehouse.query("select sum(rows_landed), sum(rows_rejected) from raw.loads")[0]
            assert tuple(map(int, landed)) == (first.rows_landed, first.rows_rejected)
            refused = warehouse.query(
                "select count(*) from activation.webhook__high_value_customers as sent join profiles.profile_consent as"
                " choice on sent.profile_id = choice.profile_id where category = 'Advertising' and not is_granted"
            )
            assert refused == [(0,)]
        files = sorted(path.parent.name for path in (project_copy.root / "output").rglob("0*"))
        assert files == ["at_risk_of_churn", "lapsed_store_buyers", "newsletter_subscribers"]

        second = run(project_copy, [str(demo_data)], as_of=as_of)
        assert (second.rows_landed, second.rows_rejected) == (0, 0)
        assert second.counts == {**first.counts, "merges": 0}
        assert [item.size for item in second.audiences] == [item.size_before for item in second.audiences]
        assert sum(item.delivered for item in second.syncs) == 0


def test_a_moment_is_told_in_utc_or_with_its_offset():
    for value, moment in {
        "2026-11-30": datetime(2026, 11, 30),
        date(2026, 11, 30): datetime(2026, 11, 30),
        "2026-11-30T12:00:00Z": datetime(2026, 11, 30, 12),
        "2026-11-30 12:00:00": datetime(2026, 11, 30, 12),
        "2026-11-30T01:00:00+02:00": datetime(2026, 11, 29, 23),
    }.items():
        assert moment_in_utc(value, "--as-of") == moment
    with pytest.raises(UsageError, match="--as-of is 'yesterday', which is no date and no time"):
        moment_in_utc("yesterday", "--as-of")


def test_every_model_is_built_without_any_event(project):
    assert run_dbt(project, ["build", *UNTESTED]).success
    with connect(project) as warehouse:
        for table in ("events.events", "profiles.profiles", "audiences.high_value_customers"):
            assert warehouse.query(f"select count(*) from {table}") == [(0,)]


@pytest.mark.slow
def test_the_whole_job_runs_without_any_event(project):
    summary = run(project, send=False)
    assert summary.counts["events"] == summary.counts["profiles"] == 0
    assert {item.size for item in summary.audiences} == {0}


# A gate that fails on PostgreSQL is in test_validation.py.
@pytest.mark.parametrize("warehouse_kind", ["duckdb"])
def test_a_failed_gate_stops_what_comes_after_it(project_copy, demo_data: Path, monkeypatch):
    check = project_copy.root / "tests" / "events" / "never_true.sql"
    check.parent.mkdir(exist_ok=True)
    check.write_text("-- Fails for every event.\nselect event_id from {{ ref('events') }}\n")
    with webhook_receiver() as receiver:
        monkeypatch.setenv("CDI_WEBHOOK_URL", receiver.url)
        with pytest.raises(GateError, match=r"Test never_true failed: Got \d+ results"):
            run(project_copy, [f"till={demo_data / 'till'}"])
        assert receiver.counts["requests"] == 0
    with connect(project_copy) as warehouse:
        assert not warehouse.relation_exists("profiles", "profiles")


@pytest.mark.slow
def test_the_demo_runs_as_a_user_runs_it(project_copy, tmp_path: Path):
    """In a process of its own, with dbt as it is: other tests run a quicker one (quick_dbt.py)."""
    command = [
        sys.executable, "-m", "cdi.cli", "--project-dir", str(project_copy.root), "--profiles-dir",
        str(project_copy.profiles_dir), "demo", "--people", "200", "--days", "40", "--out", str(tmp_path / "demo"),
    ]  # fmt: skip
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DBT_")}
    answer = subprocess.run(command, capture_output=True, text=True, cwd=project_copy.root, env=environment)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    for words in ("what the tools hold now", "audiences.abandoned_cart", "webhook__high_value_customers"):
        assert words in answer.stdout
    with connect(project_copy) as warehouse:
        assert warehouse.query("select count(*) from cdi.sync_runs where status <> 'succeeded'") == [(0,)]
        assert warehouse.query("select count(*) from profiles.profiles")[0][0] > 100


Command = Callable[..., subprocess.CompletedProcess]


@pytest.fixture
def cdi(profiles: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Command:
    """The command line, run in this process: starting another takes seconds."""

    def run_here(*arguments: str, profiles: Path = profiles, cwd: Path = ROOT) -> subprocess.CompletedProcess:
        monkeypatch.chdir(cwd)
        monkeypatch.setattr(sys, "argv", ["cdi", "--profiles-dir", str(profiles), *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        return subprocess.CompletedProcess(arguments, end.value.code or 0, *capsys.readouterr())

    return run_here


@pytest.fixture
def other_cdi(profiles: Path) -> Command:
    """The command line as a process of its own."""

    def run_there(*arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "cdi.cli", "--profiles-dir", str(profiles), *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)

    return run_there


@pytest.fixture
def profiles(tmp_path: Path) -> Path:
    (tmp_path / "profiles.yml").write_text(
        f"cdi: {{target: duckdb, outputs: {{duckdb: {{type: duckdb, path: '{tmp_path}/t.duckdb', schema: cdi}},"
        " postgres: {type: postgres, host: 127.0.0.1, port: 1, user: nobody, password: secret-word, dbname: none,"
        " schema: cdi, threads: 1}}}\n"
    )
    return tmp_path


def says(answer: subprocess.CompletedProcess, code: int, *words: str) -> None:
    assert answer.returncode == code, answer.stderr
    assert "Traceback" not in answer.stderr + answer.stdout
    assert "secret-word" not in answer.stderr + answer.stdout
    for word in words:
        assert word in " ".join(answer.stderr.split()), answer.stderr


def test_wrong_names_are_answered_with_a_sentence(cdi: Command, profiles: Path, tmp_path: Path):
    says(cdi("land", "segmnt", "x.json"), 2, "There is no source 'segmnt'", "segment")
    says(cdi("land", "segment", "nowhere/*.json"), 1, "No file matches nowhere/*.json")
    says(cdi("--target", "prod", "run"), 2, "prod", "profiles.yml")
    says(cdi("--target", "postgres", "run"), 4, "none on 127.0.0.1:1")
    says(cdi("sync", "webhook__nothing"), 2, "There is no sync 'webhook__nothing'")
    empty = tmp_path / "empty"
    empty.mkdir()
    says(cdi("run", profiles=empty), 2, "no profiles.yml", "profiles.yml.example")
    says(cdi("run", cwd=empty), 2, "no dbt_project.yml")


def test_a_duckdb_file_with_the_name_of_a_schema_is_refused(cdi: Command, profiles: Path):
    file = profiles / "profiles.yml"
    file.write_text(file.read_text().replace("t.duckdb", "cdi.duckdb"))
    says(cdi("run"), 2, "has the name of a schema", "warehouse.duckdb")


def test_a_taken_duckdb_file_is_said_plainly(other_cdi: Command, tmp_path: Path):
    file = tmp_path / "x.ndjson"
    file.write_text('{"type": "page"}')
    with duckdb.connect(str(tmp_path / "t.duckdb")):
        for command in (["run"], ["sync"], ["land", "segment", str(file)]):
            says(other_cdi(*command), 4, "in use by another process")


def test_a_raw_table_without_a_needed_column_is_named(cdi: Command, tmp_path: Path):
    with duckdb.connect(str(tmp_path / "t.duckdb")) as connection:
        connection.execute("create schema raw")
        connection.execute("create table raw.stripe_charges (id text)")
    says(cdi("run"), 1, "raw.stripe_charges has no column amount", "_stripe__sources.yml")


def test_the_log_is_json_lines_without_secrets(other_cdi: Command, tmp_path: Path):
    log = tmp_path / "log.jsonl"
    says(other_cdi("--log-json", str(log), "--target", "postgres", "run"), 4)
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    assert entries[-1]["level"] == "ERROR"
    assert entries[-1]["exit_code"] == 4
    assert "secret-word" not in log.read_text()
