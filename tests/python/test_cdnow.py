"""Computed traits against an outside truth: frequency, recency, age and mean value of the customers of CDNOW.

The purchases (23,570 customers, 1997-01-01 to 1998-06-30) and the summary are those of the package lifetimes. It counts
days with a purchase, and leaves the first out of frequency and mean value.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from importlib.resources import files

import pandas as pd
import pyarrow as pa
import pytest
from conftest import ROOT
from lifetimes.utils import summary_data_from_transaction_data
from support import POSTGRES_LATER, UNTESTED, copy_project, new_project
from test_traits import ORDER, write_model

from cdi.dbt import run_dbt
from cdi.project import Project
from cdi.warehouse import connect

END = datetime(1997, 9, 30)
TRAITS = {
    "orders": ("integer", {"type": "unique_count", "event": ORDER, "property": "event_at"}),
    "revenue": ("numeric(18, 4)", {"type": "sum", "event": ORDER, "property": "revenue"}),
    "first_revenue": ("numeric(18, 4)", {"type": "first", "event": ORDER, "property": "revenue"}),
    "later_revenue": ("numeric(18, 4)", {"type": "difference", "of": ["revenue", "first_revenue"]}),
    "first_at": ("timestamp", {"type": "first", "event": ORDER, "property": "event_at"}),
    "last_at": ("timestamp", {"type": "last", "event": ORDER, "property": "event_at"}),
    "age": ("integer", {"type": "days_since", "of": "first_at"}),
    "days_since_last": ("integer", {"type": "days_since", "of": "last_at"}),
    "recency": ("integer", {"type": "difference", "of": ["age", "days_since_last"]}),
}


@pytest.fixture(scope="module", params=POSTGRES_LATER)
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    root = copy_project(ROOT, tmp_path_factory.mktemp("cdnow") / "project")
    write_model(root, "cdnow_traits", TRAITS, ["order_completed"])
    with new_project(request.param, root, tmp_path_factory.mktemp("cdnow")) as made:
        yield made


def test_traits_are_the_summary_of_lifetimes(project: Project):
    purchases = pd.read_csv(
        str(files("lifetimes") / "datasets" / "CDNOW_master.txt"), sep=r"\s+", dtype={"customer_id": str, "date": str}
    )
    purchases["date"] = pd.to_datetime(purchases["date"], format="%Y%m%d")
    summary = summary_data_from_transaction_data(
        purchases, "customer_id", "date", monetary_value_col="dollar_value", observation_period_end=END
    )
    # One order per customer and day, as the summary counts.
    days = purchases.groupby(["customer_id", "date"], as_index=False)["dollar_value"].sum()
    days["dollar_value"] = days["dollar_value"].round(4)
    at = days["date"].dt.strftime("%Y-%m-%dT00:00:00.000Z")
    key = days["customer_id"] + "-" + at
    messages = (
        '{"type": "track", "event": "Order Completed", "messageId": "' + key + '", "userId": "c' + days["customer_id"]
        + '", "originalTimestamp": "' + at + '", "receivedAt": "' + at + '", "properties": {"order_id": "' + key
        + '", "revenue": ' + days["dollar_value"].astype(str) + "}}"
    )  # fmt: skip
    count = len(messages)
    table = pa.table({
        "message": pa.array(messages, pa.string()), "load_id": ["one"] * count, "source_file": ["cdnow"] * count,
        "loaded_at": pa.array([datetime(2026, 1, 1)] * count, pa.timestamp("us")), "source_line": range(count),
    })  # fmt: skip
    assert run_dbt(project, ["seed"]).success
    with connect(project) as warehouse:
        warehouse.append('"raw"."segment_messages"', table.to_reader())
    selection = ["build", *UNTESTED, "--select", "+cdnow_traits"]
    result = run_dbt(project, selection, {"as_of": END.isoformat(sep=" ")})
    assert not [node for node in result.nodes if node.failed]
    with connect(project) as warehouse:
        rows = warehouse.query(
            "select substr(graph.identifier, 10), traits.orders - 1, traits.recency, traits.age,"
            " coalesce(traits.later_revenue / nullif(traits.orders - 1, 0), 0)"
            " from profiles.cdnow_traits as traits inner join identity.identity_graph as graph"
            " on traits.profile_id = graph.profile_id"
        )
    found = pd.DataFrame(rows, columns=["customer_id", "frequency", "recency", "T", "monetary_value"])
    found = found.set_index("customer_id").astype(float).sort_index()
    assert len(found) == 23_570
    pd.testing.assert_frame_equal(found, summary.sort_index().astype(float), rtol=0, atol=0.0001)
