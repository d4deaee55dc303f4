"""Syncs: the tool holds exactly what the model holds, only changes are sent, and nothing is lost on the way."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import httpx
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aiohttp import web
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support import activation_table, webhook_receiver

from cdi.errors import UsageError, WarehouseError
from cdi.simulator import Simulator
from cdi.simulator.webhook import WebhookReceiver
from cdi.sync import sync
from cdi.sync.declared import DeclaredSync, declared_syncs
from cdi.sync.deliver import run_sync
from cdi.sync.history import forget_old_changes
from cdi.sync.state import State, create_state_tables
from cdi.sync.tools import http
from cdi.sync.tools.json_values import rows_to_json, to_json
from cdi.sync.tools.webhook import Webhook
from cdi.warehouse import connect

SECRET = "not-a-real-secret"
STATE_TABLES = ("sync_state", "sync_runs", "sync_changes", "sync_rejected")


def declare(tool: str, key: str = "profile_id", **options) -> DeclaredSync:
    return DeclaredSync("people_sync", "activation", "people", "people.yml", tool, key, options)


WEBHOOK = declare("webhook", url_env="CDI_TEST_URL", secret_env="CDI_TEST_SECRET", batch_size=4)
ONE_BY_ONE = declare("webhook", url_env="CDI_TEST_URL", secret_env="CDI_TEST_SECRET", batch_size=4, connections=1)
"""Where the order of requests matters."""


@pytest.fixture
def receiver(monkeypatch):
    with webhook_receiver(SECRET) as receiver:
        monkeypatch.setenv("CDI_TEST_URL", receiver.url)
        monkeypatch.setenv("CDI_TEST_SECRET", SECRET)
        # The waits are tested once; elsewhere they would only make tests slow.
        monkeypatch.setattr(http, "FIRST_WAIT", 0.001)
        yield receiver


@pytest.fixture
def people(project):
    """A warehouse with an activation model to sync, as a table that tests fill."""
    with activation_table(
        project, "profile_id text, email text, revenue numeric(18, 2), seen_at timestamp"
    ) as warehouse:
        yield warehouse


def fill(warehouse, rows: Mapping[str, tuple]) -> None:
    warehouse.execute("delete from activation.people")
    table = pa.table(
        {
            "profile_id": pa.array(list(rows), pa.string()),
            "email": pa.array([email for email, _ in rows.values()], pa.string()),
            "revenue": pa.array([revenue for _, revenue in rows.values()], pa.float64()),
        }
    )
    warehouse.append("activation.people", table.to_reader())


def held(receiver) -> dict[str, tuple]:
    return {key: (row["email"], row["revenue"]) for key, row in receiver.held.get("people_sync", {}).items()}


def same(count: int, revenue: float = 1.0) -> dict[str, tuple]:
    return {f"p{number:02d}": ("a@example.com", revenue) for number in range(count)}


ONE = {"p1": ("a@example.com", 1.5)}
OTHER = {"p1": ("b@example.com", 1.5)}
contents = st.dictionaries(
    st.sampled_from([f"p{number}" for number in range(9)]),
    st.tuples(st.sampled_from([None, "", "a@example.com", "o'neill@example.com"]), st.sampled_from([None, 0.0, 1.5])),
)
faults = st.lists(st.sampled_from([500, 429, 400, "drop", None]), max_size=6)


@given(steps=st.lists(st.tuples(contents, faults), min_size=1, max_size=3))
@settings(max_examples=10)
# What nobody confirmed may have arrived: it is removed, sent again, and changed back.
@example(steps=[(ONE, ["drop", "drop"]), ({}, [])])
@example(steps=[(ONE, []), ({}, ["drop", "drop"]), (ONE, [])])
@example(steps=[(ONE, []), (OTHER, ["drop", "drop"]), (ONE, [])])
@example(steps=[(ONE, ["drop", "drop"]), (OTHER, ["drop", "drop"]), (ONE, [])])
@example(steps=[(ONE, []), ({}, []), (ONE, []), ({}, [])])
# Refused again, because of what is in it.
@example(steps=[(ONE, []), ({}, [400]), ({}, [400])])
def test_the_tool_ends_up_with_what_the_model_holds(project, people, receiver, steps):
    for table in STATE_TABLES:
        people.execute(f"delete from cdi.{table}")
    receiver.held.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http, "ATTEMPTS", 2)
        for rows, answers in steps:
            fill(people, rows)
            receiver.faults.answers = list(answers)
            result = run_sync(project, people, WEBHOOK)
            heard = result.delivered + result.failed + result.refused_again
            assert heard == result.added + result.changed + result.removed
    receiver.faults.answers = []
    run_sync(project, people, WEBHOOK)
    assert held(receiver) == steps[-1][0]
    requests = receiver.counts["requests"]
    again = run_sync(project, people, WEBHOOK)
    assert (again.added, again.changed, again.removed) == (0, 0, 0)
    assert receiver.counts["requests"] == requests
    assert people.query("select count(*) from cdi.sync_state where row_hash = ''") == [(0,)]


class Noting(WebhookReceiver):
    """Keeps every row that it is sent, again and again if need be."""

    def __init__(self) -> None:
        super().__init__(secret=None)
        self.rows: list[str] = []

    async def post(self, request: web.Request) -> web.Response:
        message = await request.json()
        self.rows += sorted(repr((message["operation"], sorted(row.items()))) for row in message["rows"])
        return await super().post(request)


# Of whole requests: which rows of one a tool refuses may depend on their order.
whole_faults = st.lists(st.sampled_from([500, 429, "drop", None]), max_size=4)


@given(steps=st.lists(st.tuples(contents, whole_faults), min_size=2, max_size=4), mode=st.sampled_from(Webhook.modes))
@settings(max_examples=8)
@example(steps=[(ONE, []), (OTHER, []), (ONE, []), ({}, []), (ONE, [])], mode="mirror")
@example(steps=[(ONE, ["drop", "drop"]), ({}, []), (OTHER, ["drop", "drop"]), (OTHER, [])], mode="append")
def test_what_is_sent_does_not_depend_on_how_long_history_is_kept(project, people, steps, mode):
    declared = replace(declare("webhook", url_env="CDI_TEST_URL"), mode=mode)
    told = []
    for forgets in (False, True):
        for table in STATE_TABLES:
            people.execute(f"delete from cdi.{table}")
        tool = Noting()
        with pytest.MonkeyPatch.context() as patch, Simulator(tools=[tool]) as simulator:
            patch.setenv("CDI_TEST_URL", simulator.url_of("webhook"))
            patch.setattr(http, "ATTEMPTS", 2)
            patch.setattr(http, "FIRST_WAIT", 0.001)
            for rows, answers in steps:
                fill(people, rows)
                tool.faults.answers = list(answers)
                result = run_sync(project, people, declared)
                tool.rows.append(f"{result.added} added, {result.changed} changed, {result.removed} removed")
                if forgets:
                    forget_old_changes(people, days=0)
                    assert people.query("select count(*) from cdi.sync_changes") == [(0,)]
        told.append(tool.rows)
    assert told[0] == told[1]


def test_only_what_changed_is_sent(project, people, receiver):
    fill(people, same(10))
    assert run_sync(project, people, WEBHOOK).added == 10
    rows = same(9)
    rows["p03"] = ("a@example.com", 2.0)
    fill(people, rows)
    before = receiver.counts["rows"]
    result = run_sync(project, people, WEBHOOK)
    assert (result.added, result.changed, result.removed, result.delivered) == (0, 1, 1, 2)
    assert receiver.counts["rows"] - before == 2


def test_a_new_column_sends_everything_again_and_another_order_nothing(project, people, receiver):
    fill(people, same(3))
    run_sync(project, people, WEBHOOK)
    people.execute("alter table activation.people rename to before")
    people.execute("create view activation.people as select seen_at, revenue, email, profile_id from activation.before")
    assert run_sync(project, people, WEBHOOK).changed == 0
    people.execute("drop view activation.people")
    people.execute("create view activation.people as select *, 1 as one from activation.before")
    assert run_sync(project, people, WEBHOOK).changed == 3


def test_a_refused_batch_is_sent_again_with_its_newest_values(project, people, receiver):
    fill(people, same(8))
    # A batch of four, its halves, and each row.
    receiver.faults.answers = [400] * 7
    result = run_sync(project, people, ONE_BY_ONE)
    assert (result.delivered, result.failed, result.problem) == (4, 4, "HTTP 400 Bad Request")
    run = people.query(
        "select status, planned_added, delivered_added, failed_added, failed_changed, message from cdi.sync_runs"
    )
    assert run == [("failed", 8, 4, 4, 0, "HTTP 400 Bad Request")]
    assert people.query(
        "select distinct operation, reason, count_rows, count(*) from cdi.sync_rejected group by 1, 2, 3"
    ) == [("upsert", "HTTP 400 Bad Request", 1, 4)]
    fill(people, same(8, 7.0))
    result = run_sync(project, people, ONE_BY_ONE)
    assert (result.added, result.changed, result.failed) == (4, 4, 0)
    assert held(receiver) == same(8, 7.0)


def test_a_tool_that_is_down_is_given_up_on_and_served_later(project, people, receiver):
    fill(people, same(40))
    receiver.faults.answers = [503] * 200
    result = run_sync(project, people, ONE_BY_ONE)
    assert (result.delivered, result.failed) == (0, 40)
    assert result.problem == "HTTP 503 Service Unavailable after 5 attempts"
    # Three batches of five attempts, and the others were spared.
    assert len(receiver.faults.answers) == 200 - 15
    receiver.faults.answers = []
    result = run_sync(project, people, ONE_BY_ONE)
    assert (result.added, result.delivered) == (40, 40)


def test_a_receiver_that_is_not_there_is_named_by_its_variable_only(project, people, receiver, monkeypatch):
    monkeypatch.setenv("CDI_TEST_URL", "http://user:hunter2@127.0.0.1:1/")
    fill(people, ONE)
    assert run_sync(project, people, WEBHOOK).problem == "ConnectError at the address in CDI_TEST_URL after 5 attempts"


def test_it_waits_as_long_as_the_receiver_asks_or_gives_up(project, people, receiver):
    fill(people, ONE)
    receiver.faults.answers, receiver.faults.retry_after = [429], "1"
    started = time.monotonic()
    assert run_sync(project, people, WEBHOOK).delivered == 1
    assert time.monotonic() - started >= 1
    fill(people, OTHER)
    receiver.faults.answers, receiver.faults.retry_after = [429, 500], "3600"
    assert run_sync(project, people, WEBHOOK).problem == "HTTP 429 Too Many Requests"
    assert receiver.faults.answers == [500]


def test_rows_without_a_key_of_their_own_are_kept_back_with_the_reason(project, people, receiver):
    fill(people, {"p1": ("a@example.com", 1.0), "p2": ("x", 1.0)})
    run_sync(project, people, WEBHOOK)
    people.execute(
        "insert into activation.people values (null, 'x', 1, null), ('p2', 'y', 2, null), ('', 'y', 2, null)"
    )
    result = run_sync(project, people, WEBHOOK)
    assert (result.delivered, result.rejected) == (0, 4)
    rows = people.query("select key, operation, reason, count_rows from cdi.sync_rejected order by reason")
    assert rows == [
        ("p2", "upsert", "several rows have this key", 2),
        ("", "upsert", "the key is empty", 1),
        (None, "upsert", "the key is null", 1),
    ]
    assert set(held(receiver)) == {"p1", "p2"}


def test_a_row_that_was_refused_is_not_removed_later(project, people, receiver):
    fill(people, ONE)
    receiver.faults.answers = [400]
    run_sync(project, people, WEBHOOK)
    fill(people, {})
    assert run_sync(project, people, WEBHOOK).removed == 0


def test_a_dry_run_sends_and_changes_nothing(project, people, receiver):
    fill(people, same(3))
    run_sync(project, people, WEBHOOK)
    fill(people, {**same(2), "p9": ("b@example.com", 1.0)})
    # As a run leaves it that was killed with a row on its way.
    people.execute("update cdi.sync_runs set sent_to = 4")
    people.execute(
        "insert into cdi.sync_state (sync, run_id, number, key, kind, row_hash)"
        " select sync, run_id, 4, 'p00', 'added', 'x' from cdi.sync_runs"
    )
    before = [people.query(f"select * from cdi.{name} order by 1, 2") for name in STATE_TABLES]
    requests = receiver.counts["requests"]
    result = run_sync(project, people, WEBHOOK, dry_run=True)
    assert (result.added, result.changed, result.removed) == (1, 1, 1)
    assert receiver.counts["requests"] == requests
    assert [people.query(f"select * from cdi.{name} order by 1, 2") for name in STATE_TABLES] == before
    people.execute("drop schema cdi cascade")
    assert run_sync(project, people, WEBHOOK, dry_run=True).added == 3
    assert not people.relation_exists("cdi", "sync_state")


def test_no_value_and_no_secret_in_tables_and_logs(project, people, receiver, caplog):
    caplog.set_level("INFO")
    caplog.set_level("DEBUG", logger="cdi")
    fill(people, {"p1": ("Jane.Doe@example.com", 1.0), "p2": ("x", 1.0)})
    receiver.faults.answers = [500, 422]
    receiver.faults.words = (
        f'{{"error": "jane.doe@example.com is no address, by {SECRET} at {receiver.url} {"y" * 9999}"}}'
    )
    result = run_sync(project, people, WEBHOOK)
    assert "is no address" in result.problem
    run_sync(project, people, WEBHOOK)
    tables = [people.query(f"select * from cdi.{name}") for name in STATE_TABLES]
    for text in (repr(result), repr(tables), caplog.text):
        assert "jane" not in text.lower()
        assert SECRET not in text
        assert receiver.url.rsplit(":")[-1].strip("/") not in text


def test_a_wrong_signature_is_refused(project, people, receiver, monkeypatch):
    monkeypatch.setenv("CDI_TEST_SECRET", "another")
    fill(people, ONE)
    assert run_sync(project, people, WEBHOOK).problem == "HTTP 401 Unauthorized"
    assert held(receiver) == {}


def test_the_receiver_says_what_it_holds(project, people, receiver):
    fill(people, same(3))
    run_sync(project, people, WEBHOOK)
    assert httpx.get(receiver.url.replace("/webhook", "/state")).json()["webhook"]["held"] == {"people_sync": 3}


@pytest.mark.parametrize("kind", ["csv", "ndjson", "parquet"])
def test_files_hold_the_changes_of_each_run(project, people, tmp_path: Path, kind: str):
    files_sync = declare("file", format=kind, path=str(tmp_path / "out"))
    fill(people, {"p1": ("a@example.com", 1.5), "p2": (None, None), "p3": ("", 0.0)})
    assert run_sync(project, people, files_sync).delivered == 3
    assert run_sync(project, people, files_sync).delivered == 0
    fill(people, {"p1": ("b@example.com", 1.5), "p3": ("", 0.0)})
    assert run_sync(project, people, files_sync).delivered == 2
    files = sorted((tmp_path / "out").iterdir())
    assert [file.name[:7] for file in files] == ["000001-", "000002-"]

    def read(file: Path) -> list[tuple]:
        if kind == "parquet":
            rows = pq.read_table(file).to_pylist()
        elif kind == "ndjson":
            rows = [orjson.loads(line) for line in file.read_bytes().splitlines()]
        else:
            rows = list(csv.DictReader(io.StringIO(file.read_text())))
        return sorted(
            (row["operation"], row["profile_id"], row["email"] or "", float(row["revenue"] or 0)) for row in rows
        )

    assert read(files[0]) == [("upsert", "p1", "a@example.com", 1.5), ("upsert", "p2", "", 0), ("upsert", "p3", "", 0)]
    assert read(files[1]) == [("remove", "p2", "", 0), ("upsert", "p1", "b@example.com", 1.5)]


def test_a_run_killed_after_its_file_got_its_name_writes_another(project, people, tmp_path: Path, monkeypatch):
    files_sync = declare("file", format="ndjson", path=str(tmp_path))
    fill(people, same(2))
    with monkeypatch.context() as patch:
        patch.setattr(State, "settled", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run_sync(project, people, files_sync)
    fill(people, same(1))
    result = run_sync(project, people, files_sync)
    assert (result.added, result.removed, result.delivered) == (1, 1, 2)
    files = sorted(tmp_path.glob("0*.ndjson"))
    assert [len(file.read_bytes().splitlines()) for file in files] == [2, 2]
    assert people.query("select status, count(*) from cdi.sync_runs group by 1 order by 1") == [
        ("interrupted", 1),
        ("succeeded", 1),
    ]


def test_a_folder_that_cannot_be_written_leaves_the_state(project, people, tmp_path: Path):
    (tmp_path / "taken").write_text("a file")
    fill(people, ONE)
    result = run_sync(project, people, declare("file", format="csv", path=str(tmp_path / "taken" / "out")))
    assert (result.delivered, result.failed) == (0, 1)
    assert "taken/out cannot be written" in result.problem
    assert run_sync(project, people, declare("file", format="csv", path=str(tmp_path / "out"))).delivered == 1


@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "a name with 'quotes\"": st.none() | st.text(st.characters(exclude_categories=["Cs"])),
                "whole": st.none() | st.integers(-(2**63), 2**63 - 1),
                "real": st.none() | st.floats(),
                "exact": st.none() | st.decimals(-(10**15), 10**15, places=4),
                "yes": st.none() | st.booleans(),
                "day": st.none() | st.dates(),
                "moment": st.none() | st.datetimes(),
                "parts": st.none() | st.sampled_from(['{"a":[1,null]}', "[]", '"text"', "1.50"]),
            }
        ),
        min_size=1,
        max_size=5,
    )
)
@settings(max_examples=60)
def test_columns_become_the_json_that_rows_become(rows):
    kinds = {
        "whole": pa.int64(), "real": pa.float64(), "exact": pa.decimal128(20, 4), "yes": pa.bool_(), "day": pa.date32(),
        "moment": pa.timestamp("us"),
    }  # fmt: skip
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in rows[0]])
    batch = pa.RecordBatch.from_pylist(rows, schema=schema)
    one_by_one = [
        to_json(row | {"parts": None if row["parts"] is None else orjson.loads(row["parts"])})
        for row in batch.to_pylist()
    ]
    exactly = {"parse_float": Decimal, "parse_int": Decimal}
    assert [json.loads(body[:-1], **exactly) for body in rows_to_json(batch, {"parts"}).to_pylist()] == [
        json.loads(body, **exactly) for body in one_by_one
    ]


def test_types_of_every_kind_are_sent(project, people, receiver, tmp_path: Path):
    json_type = "json" if people.dialect == "duckdb" else "jsonb"
    people.execute("drop table activation.people")
    people.execute(
        f"create table activation.people (profile_id bigint, tags text[], body {json_type}, day date, is_new boolean,"
        " share numeric(5, 4), score double precision, id uuid, seen_at timestamp with time zone)"
    )
    people.execute(
        "insert into activation.people values (7, array['x', 'y'], '{\"a\":1}', '2026-11-01', true, 0.1, 0.5,"
        " '5b149930-1c97-401f-ae92-ae4835f24f0c', timestamp with time zone '2026-11-01 12:00:00+02')"
    )
    run_sync(project, people, WEBHOOK)
    row = dict(receiver.held["people_sync"][7])
    assert row.pop("tags") == ["x", "y"]
    assert row.pop("body") == {"a": 1}
    assert row == {
        "profile_id": 7,
        "day": "2026-11-01",
        "is_new": True,
        "share": 0.1,
        "score": 0.5,
        "id": "5b149930-1c97-401f-ae92-ae4835f24f0c",
        "seen_at": "2026-11-01T10:00:00Z",
    }
    people.execute("set timezone = 'America/Los_Angeles'")
    assert run_sync(project, people, WEBHOOK).changed == 0
    for kind in ("csv", "parquet"):
        path = tmp_path / kind
        people.execute("delete from cdi.sync_state")
        assert run_sync(project, people, declare("file", format=kind, path=str(path))).delivered == 1
        if kind == "parquet":
            written = pq.read_table(next(path.iterdir())).to_pylist()[0]
            assert (written["seen_at"], written["share"]) == (datetime(2026, 11, 1, 10), Decimal("0.1"))
    people.execute("delete from activation.people")
    people.execute("delete from cdi.sync_state where key <> '7'")
    assert run_sync(project, people, WEBHOOK).removed == 1
    assert receiver.held["people_sync"] == {}


def test_wrong_declarations_name_file_model_and_option(project, people, receiver, monkeypatch):
    monkeypatch.setenv("CDI_NO_URL", "ftp://example.com")
    url = {"url_env": "CDI_TEST_URL"}
    for declaration, problem in (
        (declare("webhok"), "tool 'webhok' is not known"),
        (declare("webhook", batchsize=3, **url), "option 'batchsize' is not known. Did you mean batch_size"),
        (declare("webhook"), "option 'url_env' is missing"),
        (declare("webhook", url_env="CDI_NOT_SET"), "the environment variable CDI_NOT_SET is not set"),
        (declare("webhook", url_env="CDI_NO_URL"), "the value of CDI_NO_URL is no http or https address"),
        (declare("webhook", batch_size="many", **url), "option 'batch_size' is 'many', but must be a whole number"),
        (declare("webhook", batch_size=0, **url), "batch_size 0 is less than 1"),
        (declare("file", path="x", format="xlsx"), "format 'xlsx' is not one of csv, ndjson, parquet"),
        (declare("file", "id", path="x", format="csv"), "key 'id' is no column of the model. Its columns: profile_id"),
    ):
        with pytest.raises(UsageError) as error:
            run_sync(project, people, declaration)
        assert str(error.value).startswith("people.yml, model people_sync, meta.sync: ")
        assert problem in str(error.value)


def manifest(**syncs: dict) -> SimpleNamespace:
    """As much of dbt's manifest as syncs are read from; all of them sync activation.people."""
    return SimpleNamespace(
        nodes={
            name: SimpleNamespace(
                name=name, resource_type="model", schema="activation", alias="people", patch_path=f"cdi://{name}.yml",
                config=SimpleNamespace(meta={"sync": declaration}, materialized="activation"),
            )
            for name, declaration in syncs.items()
        }
    )  # fmt: skip


def test_nothing_is_sent_when_one_declaration_is_wrong(project, people, receiver):
    fill(people, ONE)
    people.close()
    right = {"tool": "webhook", "key": "profile_id", "url_env": "CDI_TEST_URL", "secret_env": "CDI_TEST_SECRET"}
    with pytest.raises(UsageError, match=r"wrong\.yml, model wrong"):
        sync(project, manifest(right=right, wrong={**right, "key": "id"}))
    assert receiver.counts["requests"] == 0
    with pytest.raises(UsageError, match=r"There is no sync 'rihgt'\. Did you mean right"):
        sync(project, manifest(right=right), ["rihgt"])
    assert sync(project, manifest(right=right), ["right", "right"], dry_run=True)[0].added == 1
    assert [result.delivered for result in sync(project, manifest(right=right))] == [1]


def test_a_tool_that_nobody_has_set_up_is_passed_over_until_it_was_used(project, people, receiver, monkeypatch):
    fill(people, ONE)
    people.close()
    here = {"tool": "webhook", "key": "profile_id", "url_env": "CDI_TEST_URL", "secret_env": "CDI_TEST_SECRET"}
    there = {**here, "url_env": "CDI_OTHER_URL"}
    passed, sent = sync(project, manifest(here=here, there=there))
    assert "model there, meta.sync: url_env: the environment variable CDI_OTHER_URL is not set" in passed.problem
    assert (passed.sync, passed.is_set_up, passed.failed, sent.delivered) == ("there", False, 0, 1)
    with pytest.raises(UsageError, match="CDI_OTHER_URL is not set"):
        sync(project, manifest(here=here, there=there), ["there"])
    monkeypatch.setenv("CDI_OTHER_URL", receiver.url)
    assert [result.delivered for result in sync(project, manifest(here=here, there=there))] == [0, 1]
    # Whoever relied on it hears of it.
    monkeypatch.delenv("CDI_OTHER_URL")
    with pytest.raises(UsageError, match="CDI_OTHER_URL is not set"):
        sync(project, manifest(here=here, there=there))


def test_declarations_that_are_none_are_said_plainly():
    for declaration, problem in (("webhook", "tool is missing"), ({"tool": "file"}, "key is missing")):
        with pytest.raises(UsageError, match=problem):
            declared_syncs(manifest(wrong=declaration))


def test_a_model_that_cannot_be_read_is_named_without_its_values(project, people, receiver):
    people.execute("drop table activation.people")
    with pytest.raises(UsageError, match=r"activation\.people does not exist in the warehouse"):
        run_sync(project, people, WEBHOOK)
    people.execute(
        "create view activation.people as select 'p' as profile_id, cast('jane' || n as integer) as x"
        " from generate_series(1, 2) as t(n)"
    )
    with pytest.raises(WarehouseError, match=r"activation\.people cannot be read") as error:
        run_sync(project, people, WEBHOOK)
    assert "jane" not in str(error.value)


RUNS = """
import os, sys
from pathlib import Path
from types import SimpleNamespace
from cdi.sync import state
from cdi.sync.declared import DeclaredSync
from cdi.sync.deliver import run_sync
from cdi.sync.guards import Guards
from cdi.sync.tools import http
from cdi.sync.tools.json_values import rows_to_json, to_json
from cdi.warehouse import DuckDBWarehouse, PostgresWarehouse
http.PAGE_ROWS, state.TAKE_OVER_SECONDS = 8, 0.02
for line in sys.stdin:
    child = os.fork()
    if not child:
        with {warehouse} as warehouse:
            run_sync(SimpleNamespace(root=Path()), warehouse, {declared!r})
        os._exit(0)
    print(child, flush=True)
    os.waitpid(child, 0)
    print("ended", flush=True)
"""
"""Runs the sync in a process of its own for every line that it reads: imports take longer than a run."""


def opened(project) -> str:
    """How to open the project's warehouse without dbt, which takes seconds to import."""
    if project.dialect == "duckdb":
        return f"DuckDBWarehouse({project.credentials.path!r})"
    target = project.credentials
    return (
        f"PostgresWarehouse(host={target.host!r}, port={target.port}, user={target.user!r},"
        f" password={target.password!r}, dbname={target.database!r})"
    )


@pytest.mark.parametrize(
    "kills", [pytest.param(10, marks=pytest.mark.small), pytest.param(100, marks=pytest.mark.slow)]
)
def test_killed_at_any_moment_it_loses_nothing_and_repeats_no_more_than_a_page_each(project, receiver, kills):
    chance = random.Random(20261126)
    rows, page = 48, 8
    change = (
        "delete from activation.people where profile_id = $key",
        "update activation.people set revenue = revenue + 1 where profile_id like '%' || right($key, 1)",
        "insert into activation.people select $key, 'b@example.com', 7 where not exists"
        " (select 1 from activation.people where profile_id = $key)",
    )
    with connect(project) as warehouse:
        create_state_tables(warehouse)
        warehouse.execute("create schema activation")
        warehouse.execute("create table activation.people (profile_id text, email text, revenue numeric(18, 2))")
        warehouse.execute(
            f"insert into activation.people select 'p' || n, 'a@example.com', 1 from generate_series(1, {rows}) as t(n)"
        )
    script = RUNS.format(warehouse=opened(project), declared=WEBHOOK)
    receiver.faults.seconds = 0.002
    killed = 0
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as runner:
        whole = 0.0
        for number in range(1 + kills):
            runner.stdin.write("run\n")
            runner.stdin.flush()
            child, started = int(runner.stdout.readline()), time.monotonic()
            if number:
                time.sleep(chance.uniform(0, whole))
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
                    killed += 1
            assert runner.stdout.readline() == "ended\n"
            # The first one is let through: how long a run takes depends on the machine.
            whole = whole or time.monotonic() - started
            with connect(project) as warehouse:
                for sql in chance.choices(change, k=6):
                    warehouse.execute(sql, {"key": f"p{chance.randint(1, rows)}"})
        runner.stdin.close()
    receiver.faults.seconds = 0
    with connect(project) as warehouse:
        # Whoever leaves the model now is removed, also out of the page that was in flight.
        warehouse.execute(
            "delete from activation.people where profile_id in"
            " (select key from cdi.sync_state where number is not null)"
        )
        run_sync(project, warehouse, WEBHOOK)
        wanted = dict(warehouse.query("select profile_id, cast(revenue as double precision) from activation.people"))
        assert dict(warehouse.query("select key, count(*) from cdi.sync_state group by 1")) == dict.fromkeys(wanted, 1)
        interrupted = warehouse.query("select count(*) from cdi.sync_runs where status = 'interrupted'")[0][0]
        delivered = warehouse.query(
            "select sum(delivered_added + delivered_changed + delivered_removed) from cdi.sync_runs"
        )
        assert run_sync(project, warehouse, WEBHOOK).delivered == 0
    assert {key: row["revenue"] for key, row in receiver.held["people_sync"].items()} == wanted
    # It was killed at work, and not only before or after.
    assert killed >= interrupted > kills // 10
    assert receiver.counts["rows"] - delivered[0][0] <= interrupted * page
