"""Gates: every suite can fail, for the reason it gives and no other; a failed one keeps what is above from running."""

from __future__ import annotations

import json
import random
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import ROOT
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from support import START, UNTESTED, copy_project, land_messages, message, new_project, webhook_receiver

from cdi.dbt import load_manifest, run_dbt
from cdi.errors import GateError, UsageError
from cdi.gates import GATES, GateResult, OnFailure
from cdi.gates.checkpoints import Gates
from cdi.gates.results import ensure_table
from cdi.gates.suites import FOLDER, read_suite
from cdi.landing.sources import find_tables
from cdi.landing.tables import ensure_tables
from cdi.project import Project
from cdi.report.governance import write_report
from cdi.run import run
from cdi.run_counts import ensure_run_counts
from cdi.warehouse import Warehouse, connect, quote

DAYS = 36
PEOPLE = 150


def shop() -> list[dict]:
    """Five weeks of a small shop: about 120 calls a day of people with one device each, orders, and a kiosk."""
    dice = random.Random(4)
    calls = []
    for number in range(DAYS * 120):
        person = dice.randrange(PEOPLE)
        at = START - timedelta(days=number // 120, seconds=dice.randrange(40_000))
        who = {"userId": f"user-{person}", "anonymousId": f"device-{person}"}
        if number % 6 == 0:
            order = {"order_id": f"o-{number}", "revenue": 200, "currency": "EUR", "products": []}
            calls.append(message(at=at, event="Order Completed", properties=order, **who))
        elif number % 6 == 1:
            consent = {"consent": {"categoryPreferences": {"Advertising": True, "DataSharing": True}}}
            traits = {"email": f"person-{person}@example.com"}
            calls.append(message("identify", at=at, traits=traits, context=consent, **who))
        else:
            calls.append(message("page", at=at, name="Home", **who))
    # Nobody is everybody: a device that many log in on.
    calls += [message("page", userId=f"user-{person}", anonymousId="kiosk") for person in range(30)]
    return calls


@dataclass
class Built:
    """A warehouse with the shop in it, all models built."""

    project: Project
    manifest: object

    def check(self, *gates: str, **options: bool) -> list[GateResult]:
        """What gates find."""
        checks = Gates(self.project, self.manifest, uuid.uuid4().hex, **options)
        return checks.check(gates)


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    folder = tmp_path_factory.mktemp("gates")
    root = copy_project(ROOT, folder / "project")
    # A table can be broken, a view cannot.
    audience = root / "models/audiences/high_value_customers.sql"
    audience.write_text("{{ config(materialized='table') }}\n" + audience.read_text())
    with new_project(request.param, root, folder) as project:
        yield build_shop(project)


def build_shop(project: Project) -> Built:
    """Land the shop and build every model: gates ask for all audiences."""
    manifest = load_manifest(project)
    with connect(project) as warehouse:
        ensure_tables(warehouse, find_tables(ROOT, "segment"))
        land_messages(warehouse, shop(), 1)
    result = run_dbt(project, ["build", *UNTESTED], {"as_of": START.isoformat(sep=" ")}, manifest)
    assert result.success, [node for node in result.nodes if node.failed]
    with connect(project) as warehouse:
        ensure_table(warehouse)
        ensure_run_counts(warehouse)
        if project.dialect == "postgres":
            # They would refuse most of what is broken here.
            for schema, index in warehouse.query(
                "select schemaname, indexname from pg_indexes where schemaname in ('events', 'identity', 'profiles')"
            ):
                warehouse.execute(f"drop index {quote(schema, index)}")
    return Built(project, manifest)


@contextmanager
def broken(warehouse: Warehouse, table: str, *statements: str) -> Iterator[None]:
    """A table after some statements; as it was afterwards."""
    warehouse.execute(f"create table cdi.saved as select * from {table}")
    try:
        for statement in statements:
            warehouse.execute(statement)
        yield
    finally:
        warehouse.execute(f"delete from {table}")
        warehouse.execute(f"insert into {table} select * from cdi.saved")
        warehouse.execute("drop table cdi.saved")


def failures(results: list[GateResult]) -> set[tuple[str, str]]:
    return {
        (outcome.place, outcome.severity) for result in results for outcome in result.outcomes if not outcome.success
    }


YESTERDAY = (START - timedelta(days=1)).date().isoformat()
LAST_WEEK = (START - timedelta(days=7)).date().isoformat()


def segment(record: str, rows: int) -> str:
    """Statement that lands the same record several times."""
    numbers = " union all ".join("select 1 as n" for _ in range(10))
    many = f"({numbers}) as a, ({numbers}) as b, ({numbers}) as c, ({numbers}) as d"
    return (
        "insert into raw.segment_messages (message, load_id, loaded_at, source_file, source_line)"
        f" select '{record}', 'bad', timestamp '2026-11-02 13:00:00', 'bad', 1 from {many} limit {rows}"
    )


def stripe(amount: str = "100", created: str = "1793000000", currency: str = "eur") -> str:
    return (
        "insert into raw.stripe_charges (id, amount, created, currency, loaded_at) values"
        f" ('ch_1', '{amount}', '{created}', '{currency}', timestamp '2026-11-02 13:00:00')"
    )


def till(sold_at: str = "2026-11-01T10:00:00Z", quantity: str = "1", unit_price: str = "2.5") -> str:
    return (
        "insert into raw.till_receipt_lines (receipt_id, sold_at, quantity, unit_price, loaded_at) values"
        f" ('r', '{sold_at}', '{quantity}', '{unit_price}', timestamp '2026-11-02 13:00:00')"
    )


def earlier_run(metric: str, name: str, value: int) -> str:
    return f"insert into cdi.run_counts values ('before', timestamp '2026-10-31', '{metric}', '{name}', {value})"


def first(table: str, key: str) -> str:
    return f"{key} = (select min({key}) from {table})"


COUNTS = (
    "update governance.event_counts set count_events = count_events * {0}, count_identified = count_identified * {0}, "
)
COUNTS += "count_known = count_known * {0} where happened_on = date '{1}'"
RENAME = (
    f"update governance.event_counts set event = 'Renamed' where happened_on > date '{LAST_WEEK}' and type = 'track'"
)
ANYBODY = '"anonymousId": "a", "receivedAt": "2026-11-01T12:00:00Z"'
FIRST_EVENT = first("events.checked_events", "event_id")
S, W = "stop", "warn"
TRAITS = "profiles.profile_traits"

# gate, the table that is broken, how, and exactly what fails
BREAKAGES: list[tuple[str, str, str, set[tuple[str, str]]]] = [
    ("staging", "raw.loads",
     "insert into raw.loads (source, source_file, rows_landed, rows_rejected, loaded_at) values"
     " ('till', 'a.csv', 900, 100, timestamp '2026-11-02')", {("raw.loads", W)}),
    ("staging", "raw.loads",
     "insert into raw.loads (source, source_file, rows_landed, rows_rejected, loaded_at) values"
     " ('till', 'a.csv', 100, 900, timestamp '2026-11-02')", {("raw.loads", W), ("raw.loads", S)}),
    ("staging", "raw.segment_messages", segment(f"{{{ANYBODY}}}", 600), {("stg_segment__messages.type", S)}),
    ("staging", "raw.segment_messages", segment(f'{{"type": "trak", {ANYBODY}}}', 200),
     {("stg_segment__messages.type", W)}),
    ("staging", "raw.segment_messages",
     segment('{"type": "page", "anonymousId": "a", "timestamp": "1970-01-01T00:00:00Z"}', 50),
     {("stg_segment__messages.event_at", W)}),
    ("staging", "raw.segment_messages", segment('{"type": "page", "receivedAt": "2026-11-01T12:00:00Z"}', 5000),
     {("stg_segment__messages", S)}),
    ("staging", "raw.stripe_charges", stripe(amount="ten"), {("stg_stripe__charges.amount", S)}),
    ("staging", "raw.stripe_charges", stripe(currency="euros"), {("stg_stripe__charges.currency", W)}),
    ("staging", "raw.till_receipt_lines", till(sold_at="noon"), {("stg_till__receipt_lines.sold_at", S)}),
    ("staging", "raw.till_receipt_lines", till(quantity="some"), {("stg_till__receipt_lines.quantity", S)}),
    ("staging", "raw.till_receipt_lines", till(unit_price="?"), {("stg_till__receipt_lines.unit_price", S)}),
    ("events", "events.checked_events",
     f"insert into events.checked_events select * from events.checked_events where {FIRST_EVENT}",
     {("events.event_id", S)}),
    ("events", "events.checked_events", f"update events.checked_events set event_id = null where {FIRST_EVENT}",
     {("events.event_id", S)}),
    ("events", "events.checked_events",
     "update events.checked_events set received_at = event_at - interval '1 hour' where "
     f"{FIRST_EVENT}", {("events", S)}),
    ("events", "events.checked_events", "update events.checked_events set identifier = null where type = 'page'",
     {("events.identifier", W)}),
    ("events", "events.checked_events", "update events.checked_events set identifier = 'user_id:0'",
     {("events.identifier", W)}),
    ("events", "governance.event_counts", COUNTS.format(5, YESTERDAY), {("event_volumes.ratio_to_usual", W)}),
    ("events", "governance.event_counts", COUNTS.format(20, YESTERDAY),
     {("event_volumes.ratio_to_usual", W), ("event_volumes.ratio_to_usual", S)}),
    ("events", "governance.event_counts", f"delete from governance.event_counts where happened_on = date '{YESTERDAY}'",
     {("event_volumes.ratio_to_usual", W), ("event_volumes.ratio_to_usual", S)}),
    ("events", "governance.event_counts", RENAME, {("event_drift.stability_index", W)}),
    ("events", "governance.event_counts",
     RENAME.replace(" and type = 'track'", "").replace("set event", "set type = 'track', event"),
     {("event_drift.stability_index", W), ("event_drift.stability_index", S)}),
    ("events", "governance.event_counts",
     f"delete from governance.event_counts where happened_on > date '{LAST_WEEK}'",
     {("source_freshness.silence_to_usual", W)}),
    ("events", "events.order_completed", "update events.order_completed set revenue = null",
     {("order_completed.revenue", W)}),
    ("events", "events.order_completed", "update events.order_completed set currency = 'euro'",
     {("order_completed.currency", W)}),
    ("events", "events.identifier_rules", "delete from events.identifier_rules", {("identifier_rules", S)}),
    ("identity", "identity.identity_graph",
     "insert into identity.identity_graph select * from identity.identity_graph where "
     f"{first('identity.identity_graph', 'identifier')}", {("identity_graph.identifier", S)}),
    ("identity", "identity.identity_graph",
     f"update identity.identity_graph set profile_id = null where {first('identity.identity_graph', 'identifier')}",
     {("identity_graph.profile_id", S)}),
    ("identity", "identity.identity_graph", "update identity.identity_graph set profile_id = 'all'",
     {("identity_limits.share_of_limit", S)}),
    ("identity", "identity.identifier_sets",
     "delete from identity.identifier_sets where identifiers not like '%kiosk%' and identifiers not like '%-1%'",
     {("identity_links", W)}),
    ("profiles", TRAITS,
     f"insert into {TRAITS} select * from {TRAITS} where {first(TRAITS, 'profile_id')}",
     {("profiles.profile_id", S)}),
    ("profiles", TRAITS,
     f"update {TRAITS} set profile_id = null where {first(TRAITS, 'profile_id')}",
     {("profiles.profile_id", S)}),
    ("profiles", TRAITS,
     f"update {TRAITS} set count_identifiers = 200 where {first(TRAITS, 'profile_id')}",
     {("profiles.count_identifiers", W)}),
    ("profiles", TRAITS, f"update {TRAITS} set email = replace(email, '@', ' at ')",
     {("profiles.email", W)}),
    ("profiles", TRAITS, f"update {TRAITS} set email = 'same@example.com'",
     {("profiles.email", W)}),
    ("profiles", TRAITS, f"update {TRAITS} set revenue = -1", {("profiles.revenue", W)}),
    ("profiles", TRAITS, f"update {TRAITS} set last_seen_at = first_seen_at - interval '1 hour'",
     {("profiles", S)}),
    ("profiles", "cdi.run_counts", earlier_run("count", "profiles", 10_000), {("profiles", S)}),
    ("profiles", "profiles.profile_consent", "update profiles.profile_consent set is_granted = null",
     {("profile_consent.is_granted", S)}),
    ("audiences", "audiences.high_value_customers",
     "insert into audiences.high_value_customers select * from audiences.high_value_customers where "
     f"{first('audiences.high_value_customers', 'profile_id')}", {("high_value_customers.profile_id", S)}),
    ("audiences", "audiences.high_value_customers",
     "update audiences.high_value_customers set profile_id = 'nobody' where "
     f"{first('audiences.high_value_customers', 'profile_id')}", {("high_value_customers", S)}),
    ("audiences", "cdi.run_counts", earlier_run("audience", "high_value_customers", 2_000),
     {("high_value_customers", W), ("high_value_customers", S)}),
    ("activation", "audiences.high_value_customers",
     "insert into audiences.high_value_customers select * from audiences.high_value_customers where "
     f"{first('audiences.high_value_customers', 'profile_id')}", {("webhook__high_value_customers.profile_id", S)}),
    ("activation", "audiences.high_value_customers",
     "update audiences.high_value_customers set email = 'not an address'",
     {("webhook__high_value_customers.email", W)}),
]  # fmt: skip


def test_nothing_is_wrong_with_the_shop(built: Built):
    with connect(built.project) as warehouse:
        warehouse.execute("delete from cdi.validation_results")
    results = built.check(*GATES)
    assert failures(results) == set(), [str(item) for result in results for item in result.outcomes if not item.success]
    assert {result.gate for result in results if result.outcomes} == set(GATES)
    assert {outcome.owner for result in results for outcome in result.outcomes} >= {"data", "marketing", "ecommerce"}
    judged = {outcome.place: outcome.observed for result in results for outcome in result.outcomes}
    assert judged["event_volumes.ratio_to_usual"].startswith("0 of 1 rows")
    assert judged["stg_stripe__charges.amount"] == "no rows yet"
    with connect(built.project) as warehouse:
        count = warehouse.query("select count(*), sum(case when success then 1 else 0 end) from cdi.validation_results")
    assert count[0][0] == count[0][1] == sum(len(result.outcomes) for result in results)


@pytest.mark.parametrize("gate", GATES)
def test_each_gate_fails_for_the_reason_it_gives(built: Built, gate: str):
    for name, table, statement, expected in BREAKAGES:
        if name != gate:
            continue
        with connect(built.project) as warehouse:
            warehouse.execute("delete from cdi.validation_results")
            with broken(warehouse, table, statement):
                found = failures(built.check(gate))
        assert found == expected, statement


def test_consent_is_checked_whatever_the_model_does(built: Built):
    with connect(built.project) as warehouse:
        name = "activation.webhook__high_value_customers"
        warehouse.execute(f"alter view {name} rename to asked")
        warehouse.execute(f"create table {name} as select * from activation.asked")
        with broken(warehouse, "profiles.profile_consent", "update profiles.profile_consent set is_granted = false"):
            results = built.check("activation")
        warehouse.execute(f"drop table {name}")
        warehouse.execute("alter view activation.asked rename to webhook__high_value_customers")
        refused = [outcome for outcome in results[0].stopped_by if outcome.table == "webhook__high_value_customers"]
        assert len(refused) == 1
        assert refused[0].examples[0]["category"] == "Advertising"


def test_what_is_kept_names_rows_by_their_keys_and_shows_nobody(built: Built):
    bad = "update profiles.profile_traits set email = 'secret address', phone = '0123'"
    with connect(built.project) as warehouse, broken(warehouse, "profiles.profile_traits", bad):
        ids = {row[0] for row in warehouse.query("select profile_id from profiles.profile_traits")}
        project = _with_expectation(
            built.project,
            "profiles",
            {
                "type": "unexpected_rows_expectation", "severity": "warning", "meta": {"table": "profiles"},
                "kwargs": {"unexpected_rows_query": "select profile_id, email from {batch} where phone = '0123'"},
            },
            into=built.project.profiles_dir / "copy",
        )  # fmt: skip
        checks = Gates(project, built.manifest, "masked")
        checks.check(["profiles"])
        page = checks.write_docs()
        rows = warehouse.query("select examples from cdi.validation_results where run_id = 'masked' and not success")
    assert len(rows) == 3
    examples = [example for (text,) in rows if text for example in json.loads(text)]
    assert {example["profile_id"] for example in examples} <= ids
    assert {example["email"] for example in examples if "email" in example} == {"***"}
    pages = {path.name: path.read_text() for path in page.parent.glob("*.html")}
    assert "2 warnings" in pages["index.html"] or "3 warnings" in pages["index.html"]
    assert "E-mail addresses look like addresses" in pages["profiles.profiles.html"]
    for text in [*pages.values(), *(row[0] or "" for row in rows)]:
        assert "secret address" not in text
        assert "src=" not in text
        assert "<link" not in text


def test_only_new_rows_of_staging_are_read_once_its_gate_was_passed(built: Built):
    with connect(built.project) as warehouse:
        warehouse.execute("delete from cdi.validation_results")
        with broken(warehouse, "raw.stripe_charges", stripe(amount="ten")):
            assert failures(built.check("staging")) == {("stg_stripe__charges.amount", "stop")}
            assert failures(built.check("staging")) == {("stg_stripe__charges.amount", "stop")}
            # Let through once, it counts as passed: the row is older than a day.
            assert failures(built.check("staging", warn_only=True)) == {("stg_stripe__charges.amount", "warn")}
            assert failures(built.check("staging")) == set()


def test_a_suite_that_is_wrong_is_named(built: Built, tmp_path: Path):
    def answer(entry: dict | str) -> str:
        project = _with_expectation(built.project, "events", entry, into=tmp_path / uuid.uuid4().hex)
        with pytest.raises(UsageError) as caught:
            Gates(project, built.manifest, "wrong").check(["events"])
        return str(caught.value)

    assert "no such model" in answer({"type": "expect_column_to_exist", "meta": {"table": "evnts"}, "kwargs": {}})
    assert "has no type" in answer({"kwargs": {}})
    assert "expect_colum" in answer({"type": "expect_colum", "meta": {"table": "events"}, "kwargs": {"column": "x"}})
    assert "severity" in answer({"type": "expect_column_to_exist", "severity": "bad", "meta": {"table": "events"}})
    assert "events.json:" in answer("{,}")
    with pytest.raises(UsageError, match="no gate 'evnts'"):
        built.check("evnts")
    no_column = {"type": "expect_column_values_to_not_be_null", "meta": {"table": "events"}, "kwargs": {"column": "no"}}
    project = _with_expectation(built.project, "events", no_column, into=tmp_path / "column")
    outcome = Gates(project, built.manifest, "column").check(["events"])[0].stopped_by[0]
    assert "cannot be evaluated" in outcome.observed


def _with_expectation(project: Project, gate: str, entry: dict | str, into: Path) -> Project:
    """The project with one more line in one suite."""
    shutil.copytree(ROOT / FOLDER, into / FOLDER, dirs_exist_ok=True)
    add_line(into, gate, entry)
    return replace(project, root=into)


def add_line(root: Path, gate: str, entry: dict | str) -> None:
    path = root / FOLDER / f"{gate}.json"
    line = entry if isinstance(entry, str) else json.dumps(entry)
    path.write_text(path.read_text().replace('"expectations": [\n', f'"expectations": [\n    {line},\n', 1))


def test_the_report_holds_the_numbers(built: Built, tmp_path: Path):
    with connect(built.project) as warehouse:
        made = not warehouse.relation_exists("governance", "violations")
        if made:
            warehouse.execute(
                "create table governance.violations as select 'Order <b>Completed' as event, 'ecommerce' as owner,"
                " 'required' as rule, 'revenue' as path, 4321 as count_seen, timestamp '2026-11-01' as first_seen_at,"
                " timestamp '2026-11-01' as last_seen_at"
            )
        with broken(warehouse, "profiles.profile_traits", "update profiles.profile_traits set revenue = -1"):
            built.check(*GATES)
        week = warehouse.query(
            "select sum(count_events) from governance.event_counts where happened_on > (select max(happened_on) from"
            " governance.event_counts) - 7"
        )[0][0]
    # dbt-duckdb keeps the file open for writing in this process; the report opens it for reading.
    DuckDBConnectionManager.close_all_connections()
    page = write_report(built.project, tmp_path / "report.html").read_text()
    with connect(built.project) as warehouse:
        if made:
            warehouse.execute("drop table governance.violations")
    assert f"<b>{int(week):,}</b>" in page
    for title in ("Gates", "Events per day", "Freshness", "What tools get", "Owners"):
        assert f"<h2>{title}</h2>" in page
    assert "Revenue is not negative" in page
    assert "webhook__high_value_customers" in page
    assert page.count("<svg") >= 2
    if made:
        assert "4,321" in page
        assert "Order &lt;b&gt;Completed" in page
        assert "<b>Completed" not in page
    for outside in ("src=", "<link", "<script", "url(http"):
        assert outside not in page


def test_every_expectation_is_one_line_with_an_owner(built: Built):
    for gate in GATES:
        path = ROOT / FOLDER / f"{gate}.json"
        entries = json.loads(path.read_text())["expectations"]
        lines = [line.strip().rstrip(",") for line in path.read_text().splitlines() if '"type":' in line]
        assert [json.loads(line) for line in lines] == entries
        suite = read_suite(ROOT, gate, built.manifest)
        assert suite
        assert all(expectation.owner and expectation.description for expectation in suite)
        assert {expectation.severity for expectation in suite} == {"stop", "warn"}


def test_every_planned_event_has_an_owner_and_every_activation_model_a_tool(built: Built):
    exposed = {node for exposure in built.manifest.exposures.values() for node in exposure.depends_on.nodes}
    for exposure in built.manifest.exposures.values():
        assert exposure.owner.name or exposure.owner.email, exposure.name
    for unique_id, node in built.manifest.nodes.items():
        if node.resource_type != "model":
            continue
        if node.fqn[1] == "activation":
            assert unique_id in exposed, f"{node.name} is in no exposure of models/activation/_exposures.yml"
        if node.config.meta.get("event") or node.fqn[1] == "audiences":
            assert node.config.meta.get("owner"), f"{node.name} has no owner in its meta"


def a_few_events_too_many(project_factory: Callable[..., Project], root: Path) -> Project:
    """A copy of the project with a gate that its 400 events do not pass."""
    project = project_factory(copy_project(ROOT, root))
    strict = {
        "description": "There are few events", "type": "expect_table_row_count_to_be_between", "severity": "critical",
        "meta": {"table": "events", "owner": "anna"}, "kwargs": {"max_value": 7},
    }  # fmt: skip
    add_line(root, "events", strict)
    with connect(project) as warehouse:
        ensure_tables(warehouse, find_tables(ROOT, "segment"))
        land_messages(warehouse, shop()[:400], 1)
    return project


def test_a_failed_gate_keeps_what_is_above_it_from_running(
    project_factory: Callable[[], Project], tmp_path: Path, monkeypatch
):
    project = a_few_events_too_many(project_factory, tmp_path / "project")
    monkeypatch.setenv("CDI_WEBHOOK_SECRET", "for-tests-only")
    as_of = START.isoformat(sep=" ")
    with webhook_receiver() as receiver:
        monkeypatch.setenv("CDI_WEBHOOK_URL", receiver.url)
        with pytest.raises(
            GateError, match=r"Gate events failed. events: There are few events. Seen: 400. Owner: anna"
        ):
            run(project, as_of=as_of)
        assert receiver.counts["requests"] == 0
        with connect(project) as warehouse:
            assert warehouse.query("select count(*) from events.events") == [(400,)]
            assert not warehouse.relation_exists("identity", "identity_graph")
            assert warehouse.query("select max(value) from cdi.run_counts") == [(None,)]
            kept = warehouse.query(
                "select gate, table_name, severity, owner, observed_value from cdi.validation_results where not success"
            )
    assert kept == [("events", "events", "stop", "anna", "400")]


@pytest.mark.slow
def test_a_failed_gate_that_is_let_through_is_a_warning(
    project_factory: Callable[[], Project], tmp_path: Path, monkeypatch
):
    project = a_few_events_too_many(project_factory, tmp_path / "project")
    monkeypatch.setenv("CDI_WEBHOOK_SECRET", "for-tests-only")
    with webhook_receiver() as receiver:
        monkeypatch.setenv("CDI_WEBHOOK_URL", receiver.url)
        summary = run(project, as_of=START.isoformat(sep=" "), on_failure=OnFailure.WARN)
        assert [warning for warning in summary.warnings if "There are few events" in warning]
        assert [result.gate for result in summary.gates] == list(GATES)
        assert summary.counts["profiles"] > 0
        assert (project.root / "output" / "data_docs" / "index.html").is_file()
        assert receiver.counts["requests"] > 0
