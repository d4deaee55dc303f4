"""Privacy requests: forgotten as if they had never been, kept out, handed over to tools, told, and proved."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from conftest import ROOT
from support import START, UNTESTED, copy_project, message, new_project, webhook_receiver

from cdi.dbt import run_dbt
from cdi.errors import CdiError, UsageError
from cdi.landing import land
from cdi.landing.sources import known_sources
from cdi.landing.tables import ensure_tables
from cdi.privacy import erase
from cdi.privacy.export import export
from cdi.privacy.keep_out import Suppression
from cdi.privacy.keys import Hasher
from cdi.privacy.requests import all_requests, request, resume
from cdi.privacy.search import prove
from cdi.project import Project
from cdi.simulator.webhook import WebhookReceiver
from cdi.sync import sync
from cdi.sync.tools import Batch, Delivery
from cdi.sync.tools.file import Files
from cdi.sync.tools.webhook import Webhook
from cdi.warehouse import connect, quote

AS_OF = (START + timedelta(days=10)).isoformat(sep=" ")
KEY = "a key for tests alone, 32 characters and more"
DELETED = (2, 3, 5)
"""People who are deleted; person 3 and person 4 share a device and a mailbox."""
PEOPLE = 9

Row = tuple[str, int, dict[str, Any], str]
"""Raw table, load, the row, and what its event's id begins with."""


def random_rows(dice: random.Random) -> list[Row]:
    """What a few people left on all systems, in three loads: shared devices and mailboxes, merges, refusals."""
    rows: list[Row] = []
    for number in range(200):
        person, device = dice.randrange(PEOPLE), dice.randrange(12)
        load = dice.randrange(1, 4)
        at = START - timedelta(days=dice.choice([0, 1, 6, 40, 70]), seconds=dice.randrange(80_000))
        who: dict[str, Any] = {"anonymousId": f"device-{device:04d}"}
        if dice.random() < 0.7:
            who["userId"] = f"user-{person:04d}"
        if dice.random() < 0.3:
            who["context"] = {"consent": {"categoryPreferences": {"Advertising": dice.random() < 0.7}}}
        product = {"product_id": f"p{dice.randrange(5)}", "name": "Boot", "category": "Shoes", "price": 60.5}
        kind = dice.randrange(6)
        if kind == 0:
            mailbox = "family@example.com" if person in (3, 4) and dice.random() < 0.5 else f"p{person:04d}@example.com"
            record = message("identify", at, traits={"email": mailbox, "first_name": f"Name{person:04d}"}, **who)
        elif kind == 1:
            order = {"order_id": f"o{number}", "revenue": 700, "products": [product]}
            record = message("track", at, event="Order Completed", properties=order, **who)
        elif kind == 2:
            record = message("track", at, event="Product Added", properties=product, **who)
        else:
            record = message("page", at, name="Home", **who)
        rows.append(("segment_messages", load, {"message": orjson.dumps(record).decode()}, record["messageId"]))
        if kind == 5:
            receipt = {"receipt_id": f"r{number}", "sold_at": at.isoformat(), "quantity": "1", "unit_price": "99.90",
                       "loyalty_id": f"L-{person:04d}", "email": f"p{person:04d}@example.com"}  # fmt: skip
            rows += [
                ("till_receipt_lines", load, {**receipt, "receipt_line": line}, f"till:r{number}:") for line in "12"
            ]
    for person in range(PEOPLE):
        customer, mail = f"cus_{person:04d}", f"P{person:04d}@example.com"
        rows.append(("stripe_customers", 1, {"id": customer, "email": mail, "name": f"Name{person:04d}"},
                     f"stripe:customer:{customer}:"))  # fmt: skip
        charge = {"id": f"ch_{person:04d}", "customer": customer, "amount": "1999", "currency": "eur",
                  "created": "1760000000", "status": "succeeded", "receipt_email": mail}  # fmt: skip
        rows.append(("stripe_charges", 2, charge, f"stripe:charge:ch_{person:04d}:"))
        # A contact that was deleted in the CRM became no event, and is there all the same.
        rows.append(("salesforce_contact", 2, {"id": f"003{person:04d}", "email": mail, "is_deleted": "true"}, ""))
    return rows


def put(warehouse, rows: list[tuple[int, Row]]) -> None:
    """Put rows into their raw tables; the number of each is its line, whoever else is there."""
    for table in sorted({row[0] for _, row in rows}):
        chosen = [(line, row) for line, row in rows if row[0] == table]
        columns = sorted({name for _, row in chosen for name in row[2]})
        data = {name: pa.array([row[2].get(name) for _, row in chosen], pa.string()) for name in columns}
        data |= {
            "load_id": [f"load-{row[1]}-{table}" for _, row in chosen],
            "loaded_at": pa.array([START + timedelta(days=1, minutes=row[1]) for _, row in chosen], pa.timestamp("us")),
            "source_file": ["test"] * len(chosen),
            "source_line": [line for line, _ in chosen],
        }
        warehouse.append(quote("raw", table), pa.table(data).to_reader())


@dataclass
class World:
    """A project of which people were deleted, and one that never had their events."""

    project: Project
    never: Project
    receiver: WebhookReceiver
    rows: list[Row]
    before: dict[str, int]
    """Places that held each deleted person before."""
    held_before: dict[str, set[str]]


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def world(request: pytest.FixtureRequest, tmp_path_factory) -> Iterator[World]:
    """Both warehouses, built once; deleting is stopped at some places and goes on."""
    dice = random.Random(4)
    folder = tmp_path_factory.mktemp("privacy")
    root = copy_project(ROOT, folder / "project")
    patch = pytest.MonkeyPatch()
    patch.setenv("CDI_PRIVACY_KEY", KEY)
    patch.setenv("CDI_WEBHOOK_SECRET", "for-tests-only")
    rows = random_rows(dice)
    with contextlib.ExitStack() as stack:
        receiver = stack.enter_context(webhook_receiver())
        patch.setenv("CDI_WEBHOOK_URL", receiver.url)
        project = stack.enter_context(new_project(request.param, root, folder / "one"))
        never = stack.enter_context(new_project(request.param, root, folder / "other"))
        build(project, list(enumerate(rows, 1)))
        people = [f"user_id=user-{person:04d}" for person in DELETED]
        doomed = events_of(project, people)
        sync(project)
        held = {name: set(held) for name, held in receiver.held.items()}
        before = {person: len(prove(project, [person]).findings) for person in people}
        delete_with_interruptions(project, people, dice, patch)
        mails = {f"p{person:04d}@example.com" for person in DELETED}
        kept = [
            (line, row) for line, row in enumerate(rows, 1)
            if not (row[3] and any(event.startswith(row[3]) for event in doomed))
            and not (row[0] == "salesforce_contact" and row[2]["email"].lower() in mails)
        ]  # fmt: skip
        assert 0 < len(kept) < len(rows)
        build(never, kept)
        yield World(project, never, receiver, rows, before, held)
    patch.undo()


def build(project: Project, rows: list[tuple[int, Row]]) -> None:
    """Land rows and build every model: the deleted must be in none."""
    with connect(project) as warehouse:
        ensure_tables(warehouse, [table for tables in known_sources(project.root).values() for table in tables])
        put(warehouse, rows)
    assert run_dbt(project, ["build", *UNTESTED], {"as_of": AS_OF}).success


def events_of(project: Project, people: list[str]) -> set[str]:
    with connect(project) as warehouse:
        return {
            row[0]
            for row in warehouse.query(
                "select event_id from events.events as events inner join identity.identity_graph as graph"
                " on events.identifier = graph.identifier where graph.profile_id in"
                " (select profile_id from identity.identity_graph where identifier = any($people))",
                {"people": [person.replace("=", ":") for person in people]},
            )
        }


def delete_with_interruptions(project: Project, people: list[str], dice: random.Random, patch) -> None:
    """Delete; at some places the work is undone once, as a kill would, and the next call goes on."""
    real, stopped = erase.place, []
    fragile = set(dice.sample(["suppression", "raw.segment_messages", "events.events", "events.order_items"], 2))

    def place(warehouse, batch_id, name, work, status="FINISHED"):
        if name in fragile and name not in stopped:
            stopped.append(name)

            def broken() -> int:
                work()
                raise KeyboardInterrupt

            return real(warehouse, batch_id, name, broken, status)
        return real(warehouse, batch_id, name, work, status)

    patch.setattr(erase, "place", place)
    with pytest.raises(KeyboardInterrupt):
        request(project, "SUPPRESS_WITH_DELETE", people, as_of=AS_OF)
    for _ in fragile:
        with contextlib.suppress(KeyboardInterrupt):
            resume(project, AS_OF)
    assert set(stopped) == fragile
    patch.setattr(erase, "place", real)
    assert {row["status"] for row in all_requests(project)} == {"RUNNING"}


def tables_of(warehouse) -> dict[str, list[str]]:
    rows = warehouse.query(
        "select columns.table_schema, columns.table_name, columns.column_name from information_schema.columns"
        " inner join information_schema.tables on columns.table_schema = tables.table_schema"
        " and columns.table_name = tables.table_name where (table_type = 'BASE TABLE' or columns.table_schema in"
        " ('audiences', 'activation')) and columns.table_schema in ('raw', 'events', 'governance', 'identity',"
        " 'profiles', 'audiences', 'activation', 'seeds') order by 1, 2, 3"
    )
    found: dict[str, list[str]] = {}
    for schema, table, column in rows:
        found.setdefault(f"{schema}.{table}", []).append(column)
    return found


def test_the_deleted_were_never_there(world: World):
    # Logs of runs, what was true of others at the time, and the hashes of those who are kept out.
    left_out = {
        "identity.identity_graph_runs",
        "identity.identity_graph_rounds",
        "raw.suppressed_identifiers",
        "audiences.audience_membership_history",
        "audiences.audience_memberships",
        "audiences.audience_events",
    }
    with connect(world.project) as one, connect(world.never) as other:
        tables = tables_of(other)
        assert {name for name in tables_of(one) if name != "raw.suppressed_identifiers"} >= set(tables) - left_out
        for table, columns in tables.items():
            if table not in left_out:
                names = ", ".join(f"cast({quote(name)} as text)" for name in columns if name != "revision")
                rows = [sorted(side.query(f"select {names} from {table}"), key=repr) for side in (one, other)]
                assert rows[0] == rows[1], table
        assert one.query("select count(*) from profiles.profiles")[0][0] >= PEOPLE - len(DELETED)
        # There was something to get wrong: people whose links were refused, and devices of several people.
        assert one.query("select count(*) from identity.identity_graph_decisions where decision = 'refused'")[0][0]


def test_the_proof(world: World):
    assert min(world.before.values()) > 10, world.before
    sync(world.project)
    everything = [f"user_id=user-{n:04d}" for n in DELETED] + [f"email=P{n:04d}@example.com" for n in DELETED]
    proof = prove(world.project, everything)
    assert proof.findings == []
    assert proof.tables > 40
    assert proof.rows > 500
    person = everything[0].partition("=")[2]
    with connect(world.project) as warehouse:
        warehouse.execute("create schema forgotten_corner")
        kind = {"duckdb": "json", "postgres": "jsonb"}[warehouse.dialect]
        warehouse.execute(f'create table forgotten_corner.left_over ("Nota Bene" text, notes {kind}, tags text[])')
        values = {"note": f"see {person.upper()}!", "notes": orjson.dumps({"a": [person]}).decode(), "tags": [person]}
        warehouse.execute("insert into forgotten_corner.left_over values ($note, $notes, $tags)", values)
        warehouse.execute(
            "insert into forgotten_corner.left_over values ($note, null, null)", {"note": f"{person}5 is another"}
        )
    (world.project.root / "logs").mkdir(exist_ok=True)
    log = world.project.root / "logs" / "old.log"
    log.write_text(f"first\nsomething about {person}\n")
    found = {finding.place: finding.count for finding in prove(world.project, [everything[0]]).findings}
    columns = ("Nota Bene", "notes", "tags")
    assert found == {"logs/old.log": 1, **{f"forgotten_corner.left_over.{name}": 1 for name in columns}}
    assert erase.clean_logs(world.project.root, {person}) == 1
    assert log.read_text() == "first\n"
    with connect(world.project) as warehouse:
        warehouse.execute("drop schema forgotten_corner cascade")


def test_tools_were_asked_to_forget(world: World):
    sync(world.project)
    left = {name: world.held_before[name] - set(held) for name, held in world.receiver.held.items()}
    assert any(left.values()), "nobody deleted was in a tool"
    with connect(world.project) as warehouse:
        for name, held in world.receiver.held.items():
            assert set(held) == {row[0] for row in warehouse.query(f"select profile_id from activation.{name}")}
        assert warehouse.query("select count(*) from cdi.deletion_requests where status <> 'FINISHED'") == [(0,)]
        assert warehouse.query("select count(*) from cdi.deletion_requests where key is not null") == [(0,)]
        assert warehouse.query("select count(*) from cdi.deletion_requests")[0][0] > 0
        assert warehouse.query("select count(*) from cdi.privacy_identifiers") == [(0,)]
    assert {row["status"] for row in all_requests(world.project)} == {"FINISHED"}


def test_the_deleted_do_not_land_again(world: World, tmp_path: Path):
    gone = f"user-{DELETED[0]:04d}"
    mail = f"P{DELETED[1]:04d}@Example.com"
    lines = [
        message("track", event="Back", userId=gone),
        message("identify", userId="user-new", traits={"email": mail}),
        message("page", userId="user-0000", name="Home"),
    ]
    file = tmp_path / "messages.ndjson"
    content = b"\n".join(orjson.dumps(line) for line in lines)
    file.write_bytes(content + b'\n{"broken": ["' + mail.encode() + b'"\n{"broken": "of nobody"\n')
    result = land(world.project, "segment", [file])
    assert (result.rows_landed, result.rows_suppressed, result.rows_rejected) == (1, 3, 1)
    receipts = tmp_path / "receipt_lines.csv"
    receipts.write_text(
        f"receipt_id,receipt_line,sold_at,email\nr-x,1,2026-11-01,\nr-x,2,2026-11-01,{mail}\nr-y,1,2026-11-01,\n"
    )
    result = land(world.project, "till", [receipts])
    assert (result.rows_landed, result.rows_suppressed) == (1, 2)
    # A foreign loader knows nothing of all this.
    record = message("track", event="Back", userId=gone)
    with connect(world.project) as warehouse:
        put(warehouse, [(1, ("segment_messages", 99, {"message": orjson.dumps(record).decode()}, ""))])
        assert Suppression(world.project, warehouse).refuse_unbuilt() == 1
        assert Suppression(world.project, warehouse).refuse_unbuilt() == 0
    assert prove(world.project, [f"user_id={gone}", f"email={mail}"]).findings == []


def test_suppress_and_unsuppress(world: World, tmp_path: Path):
    name = "webhook__high_value_customers"
    sync(world.project)
    chosen = sorted(world.receiver.held[name])[0]
    with connect(world.project) as warehouse:
        identifiers = [
            row[0]
            for row in warehouse.query(
                "select identifier from identity.identity_graph where profile_id = $id and identifier_type in"
                " ('user_id', 'email') order by identifier_type desc",
                {"id": chosen},
            )
        ]
    one = identifiers[0].replace(":", "=", 1)
    assert request(world.project, "SUPPRESS_ONLY", [one], dry_run=True).status == "INITIALIZED"
    before = len(all_requests(world.project))
    assert request(world.project, "SUPPRESS_ONLY", [one]).status == "FINISHED"
    sync(world.project)
    assert chosen not in world.receiver.held[name]
    kind, _, value = identifiers[-1].partition(":")
    fields = {"traits": {"email": value}} if kind == "email" else {"userId": value}
    file = tmp_path / "messages.ndjson"
    file.write_bytes(orjson.dumps(message("identify", anonymousId="d", **fields)))
    assert land(world.project, "segment", [file]).rows_suppressed == 1
    assert len(prove(world.project, [one]).findings) > 5
    # Any identifier of the person lifts it.
    assert request(world.project, "UNSUPPRESS", [identifiers[-1].replace(":", "=", 1)]).status == "FINISHED"
    sync(world.project)
    assert chosen in world.receiver.held[name]
    file.write_bytes(orjson.dumps(message("identify", anonymousId="d", **fields)))
    assert land(world.project, "segment", [file]).rows_landed == 1
    assert len(all_requests(world.project)) == before + 2


def test_export_tells_all(world: World):
    person = "user-0000"
    document = orjson.loads(export(world.project, f"user_id={person}"))
    events = events_of(world.project, [f"user_id={person}"])
    assert {row["event_id"] for row in document["models"]["events.events"]} == events
    assert f"user_id:{person}" in document["identifiers"]
    assert document["models"]["profiles.profiles"][0]["count_events"] == len(events)
    assert len(document["raw"]["raw.segment_messages"]) >= sum(event.startswith("m-") for event in events)
    assert all(row["message"]["messageId"] for row in document["raw"]["raw.segment_messages"])
    with connect(world.project) as warehouse:
        assert warehouse.query("select count(*) from cdi.privacy_identifiers") == [(0,)]


def test_what_is_asked_wrongly_does_nothing(world: World, monkeypatch, tmp_path: Path):
    file = tmp_path / "people.csv"
    file.write_text("email,a@example.com\nshoe_size,42\n")
    before = len(all_requests(world.project))
    for given, reason in (
        (["nobody"], "no identifier"),
        (["shoe_size=42"], "the first at 'shoe_size=42'"),
        ([], "given"),
    ):
        with pytest.raises(UsageError, match=reason):
            request(world.project, "DELETE_ONLY", given)
    with pytest.raises(UsageError, match=r"people\.csv, line 2"):
        request(world.project, "DELETE_ONLY", file=file)
    monkeypatch.setenv("CDI_PRIVACY_KEY", KEY[::-1])
    with pytest.raises(UsageError, match="another key"):
        request(world.project, "SUPPRESS_ONLY", ["user_id=user-0000"])
    monkeypatch.delenv("CDI_PRIVACY_KEY")
    with pytest.raises(UsageError, match="CDI_PRIVACY_KEY is not set"):
        request(world.project, "SUPPRESS_ONLY", ["user_id=user-0000"])
    # Without the key nobody can tell who is to be kept out.
    line = tmp_path / "messages.ndjson"
    line.write_bytes(orjson.dumps(message("page", userId="user-0000")))
    with pytest.raises(UsageError, match="CDI_PRIVACY_KEY is not set"):
        land(world.project, "segment", [line])
    assert len(all_requests(world.project)) == before


@pytest.mark.parametrize(("can_delete", "statuses"), [(True, ["FAILED", "FINISHED"]), (False, ["NOT_SUPPORTED"] * 2)])
def test_a_tool_that_refuses_or_cannot_delete(world: World, monkeypatch, can_delete: bool, statuses: list[str]):
    name, batch = "webhook__high_value_customers", f"batch-{can_delete}"
    monkeypatch.setattr(Webhook, "can_delete", can_delete)
    with connect(world.project) as warehouse:
        for table, column, value in (
            ("deletion_requests (batch_id, status, sync, key)", "$name, 'k'", "INITIALIZED"),
            ("privacy_request_places (batch_id, status, place)", "'tool: ' || $name", "RUNNING"),
            ("privacy_requests (batch_id, status, regulation)", "$name", "RUNNING"),
        ):
            values = {"batch": batch, "name": name}
            warehouse.execute(f"insert into cdi.{table} values ($batch, '{value}', {column})", values)
    world.receiver.faults.answers[:] = [401]
    seen = []
    for _ in range(2):
        sync(world.project, names=[name])
        with connect(world.project) as warehouse:
            seen += warehouse.query("select status, key from cdi.deletion_requests where batch_id = $b", {"b": batch})
    world.receiver.faults.answers.clear()
    assert [status for status, _ in seen] == statuses
    assert seen[-1][1] is None
    status = next(row["status"] for row in all_requests(world.project) if row["batch_id"] == batch)
    assert status == ("FINISHED" if can_delete else "PARTIAL_SUCCESS")


@pytest.mark.parametrize("kind", ["csv", "ndjson", "parquet"])
def test_files_that_were_written_forget(tmp_path: Path, kind: str):
    options = {"format": kind, "path": "out"}
    rows = pa.RecordBatch.from_pydict(
        {"id": ["a", "b", "c"], "mail": ['"x", y', None, "z@example.com"], "n": [1, 2, 3]}
    )
    for sequence, operation in ((1, "upsert"), (2, "delete")):
        tool = Files(options, Delivery("people", "id", tmp_path, f"run{sequence}", sequence))
        if operation == "upsert":
            tool.send(Batch("upsert", rows, []))
        else:
            before = read_back(sorted((tmp_path / "out").iterdir())[0])
            tool.delete(Batch("delete", pa.RecordBatch.from_pydict({"id": ["b", "never"]}), []))
        tool.finish()
    first, second = sorted((tmp_path / "out").iterdir())
    assert read_back(first) == [row for row in before if row["id"] != "b"]
    assert [(row["operation"], row["id"]) for row in read_back(second)] == [("delete", "b"), ("delete", "never")]


def read_back(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".ndjson":
        return [orjson.loads(line) for line in path.read_bytes().splitlines()]
    return (pq.read_table(path) if path.suffix == ".parquet" else pa_csv.read_csv(path)).to_pylist()


def test_the_hash_is_hmac_sha256(monkeypatch):
    for key in (KEY, "k" * 100):
        monkeypatch.setenv("CDI_PRIVACY_KEY", key)
        text = "email:jäne@example.com"
        assert Hasher().hash(text) == hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


@pytest.mark.slow
def test_a_killed_request_is_finished_by_the_next(world: World, tmp_path: Path):
    """kill -9 at random moments, with a file of people; what remains is nobody."""
    dice = random.Random()
    people = tmp_path / "people.csv"
    people.write_text("user_id,user-0006\nemail,P0007@example.com\nuser_id,user-unheard-of\n")
    command = [
        sys.executable, "-m", "cdi.cli", "--project-dir", str(world.project.root), "--profiles-dir",
        str(world.project.profiles_dir), "privacy", "delete", "--internal", "--as-of", AS_OF, "--file", str(people),
    ]  # fmt: skip
    # What landed since the graph was built is theirs too: on it, a device that nobody knew.
    record = message("page", userId="user-0006", anonymousId="device-unbuilt")
    with connect(world.project) as warehouse:
        put(warehouse, [(1, ("segment_messages", 100, {"message": orjson.dumps(record).decode()}, ""))])
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    time.sleep(dice.uniform(4, 9))
    process.send_signal(signal.SIGKILL)
    process.wait()
    with contextlib.suppress(CdiError):
        resume(world.project, AS_OF)
    answer = request(world.project, "SUPPRESS_WITH_DELETE_INTERNAL", file=people, as_of=AS_OF)
    assert answer.status == "FINISHED"
    assert prove(world.project, ["user_id=user-0006", "email=p0007@example.com"]).findings == []
    sync(world.project)
    assert prove(world.project, ["user_id=user-0007", "anonymous_id=device-unbuilt"]).findings == []
