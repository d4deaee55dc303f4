"""A real shop's lines: every line and every penny of it is found again, in events and in profiles."""

from __future__ import annotations

import gzip
from decimal import Decimal
from itertools import islice
from pathlib import Path

import duckdb
import pytest
from conftest import ROOT
from support import UNTESTED

from cdi.dbt import run_dbt
from cdi.landing import land
from cdi.project import Project
from cdi.run import run
from cdi.warehouse import connect

FILE = ROOT.parent / "shared" / "data" / "online_retail.csv.gz"


AS_OF = "2011-12-10 00:00:00"
pytestmark = pytest.mark.skipif(not FILE.exists(), reason=f"the data set is not at {FILE}")


def test_the_first_lines_reconcile(project: Project, tmp_path: Path):
    file = tmp_path / "online_retail.csv"
    with gzip.open(FILE, "rt") as whole:
        file.write_text("".join(islice(whole, 1 + 40_000)))
    landed = land(project, "online_retail", [file])
    assert (landed.rows_landed, landed.rows_rejected) == (40_000, 0)
    models = ["build", *UNTESTED, "--select", "+profiles", "+order_refunded"]
    assert run_dbt(project, models, {"as_of": AS_OF}).success
    assert reconcile(project, file) == 40_000


@pytest.mark.slow
def test_the_whole_shop_reconciles_after_the_whole_job(project: Project):
    summary = run(project, [f"online_retail={FILE}"], as_of=AS_OF, send=False)
    assert (summary.rows_landed, summary.rows_rejected) == (541_909, 0)
    assert summary.counts["profiles"] == 4_372
    assert reconcile(project, FILE) == 541_909


def reconcile(project: Project, file: Path) -> int:
    """Hold what was built against the file; returns its number of lines."""
    with duckdb.connect() as connection:
        [(lines, revenue, customers)] = connection.execute(
            "select count(*), sum(Quantity::int * UnitPrice::decimal(18, 3)), count(distinct CustomerID)"
            " from read_csv($path, all_varchar = true)",
            {"path": str(file)},
        ).fetchall()
    field = "json_extract_string(properties, '{}')" if project.dialect == "duckdb" else "(properties ->> '{}')"
    with connect(project) as warehouse:
        in_events, money = warehouse.query(
            f"select sum(cast({field.format('count_lines')} as bigint)),"
            " sum(case when event = 'Order Refunded' then -1 else 1 end *"
            f" cast({field.format('total')} as numeric(18, 3)))"
            " from events.events"
        )[0]
        assert in_events == lines
        assert Decimal(money) == revenue
        # A customer is a profile; who bought without an id stays anonymous.
        assert warehouse.query("select count(*) from profiles.profiles") == [(customers,)]
        assert warehouse.query("select count(*) from events.events where identifier is null")[0][0] > 0
        # Orders and refunds of known customers, in the typed models and in the profiles.
        for column, model, amount in (
            ("revenue", "order_completed", "revenue"),
            ("refunded", "order_refunded", "total"),
        ):
            # The shop counts in pounds, the profiles in euro.
            in_euro = (
                f"select sum(e.{amount} * r.rate) from events.{model} as e inner join events.exchange_rates as r on"
                " e.currency = r.from_currency and r.to_currency = 'EUR' and e.event_at >= r.valid_from and"
                " e.event_at < r.valid_to where e.identifier is not null"
            )
            typed = warehouse.query(in_euro)[0][0]
            traits = warehouse.query(f"select sum({column}) from profiles.profiles where count_orders > 0")[0][0]
            without_order = (
                warehouse.query(
                    f"{in_euro} and not exists"
                    " (select 1 from events.order_completed as o where o.identifier = e.identifier)"
                )[0][0]
                or 0
            )
            assert abs(typed - without_order - traits) < customers * Decimal("0.01")
    return lines
