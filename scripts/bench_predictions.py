"""How good and how quick predictions are, on DuckDB: part of `make bench`.

CDNOW: BG/NBD beside the parameters that its authors published, on their customers; learned models through the whole
job, on all customers. The real shop: judged by what followed 2011-09-01. Speed: a million profiles with the features of
profile_features, made in the warehouse.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import time
from datetime import datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from rich.table import Table

import bench
from bench import ROOT, build, console, make_project
from cdi.landing import land
from cdi.predictions.lifetime_value import BuyingModel, fit_buying
from cdi.project import Project
from cdi.warehouse import connect

SHOP = ROOT.parent / "shared" / "data" / "online_retail.csv.gz"
PUBLISHED = BuyingModel(0.243, 4.414 * 7, 0.793, 2.426)
"""Of Fader, Hardie and Lee (2005), table 2; alpha was in weeks."""
HALF, WEEKS_39 = datetime(1997, 9, 30), 273


def cdnow(name: str) -> pd.DataFrame:
    """The purchases of a file of CDNOW in the package lifetimes: customer_id, date, dollar_value; one row a day."""
    path = str(files("lifetimes") / "datasets" / name)
    columns = {"CDNOW_sample.txt": ["of_all", "customer_id", "date", "cds", "dollar_value"]}.get(name)
    found = pd.read_csv(path, sep=r"\s+", header=None if columns else 0, names=columns, dtype={"date": str})
    found["date"] = pd.to_datetime(found["date"], format="%Y%m%d")
    return found.groupby(["customer_id", "date"], as_index=False)["dollar_value"].sum()


def buying_forecast(name: str) -> list[tuple[str, ...]]:
    """Of the second half's purchases: ours and the published, mean absolute error and error of the total."""
    purchases = cdnow(name)
    first, second = purchases[purchases["date"] <= HALF], purchases[purchases["date"] > HALF]
    dates = first.groupby("customer_id")["date"]
    repeats = dates.size().to_numpy() - 1.0
    age = (HALF - dates.min()).dt.days.to_numpy(float)
    recency = (dates.max() - dates.min()).dt.days.to_numpy(float)
    came = second.groupby("customer_id").size().reindex(dates.size().index).fillna(0).to_numpy()
    rows = []
    for title, model in (("BG/NBD, fitted here", fit_buying(repeats, recency, age)), ("published", PUBLISHED)):
        said = model.expected_orders(repeats, recency, age, WEEKS_39)
        rows.append((
            title, f"{len(came):,}", f"{np.abs(said - came).mean():.4f}", f"{said.sum() / came.sum() - 1:+.1%}",
            f"{(said.sum() + repeats.sum()) / (came.sum() + repeats.sum()) - 1:+.1%}",
        ))  # fmt: skip
    return rows


def land_cdnow(project: Project) -> None:
    """All purchases of CDNOW as orders."""
    days = cdnow("CDNOW_master.txt")
    at = days["date"].dt.strftime("%Y-%m-%dT00:00:00.000Z")
    customer = "c" + days["customer_id"].astype(str)
    key = customer + "-" + at
    messages = (
        '{"type": "track", "event": "Order Completed", "messageId": "' + key + '", "userId": "' + customer
        + '", "originalTimestamp": "' + at + '", "receivedAt": "' + at + '", "properties": {"order_id": "' + key
        + '", "revenue": ' + days["dollar_value"].round(2).astype(str) + "}}"
    )  # fmt: skip
    count = len(messages)
    table = pa.table({
        "message": pa.array(messages, pa.string()), "load_id": ["one"] * count, "source_file": ["cdnow"] * count,
        "loaded_at": pa.array([datetime(2026, 1, 1)] * count, pa.timestamp("us")), "source_line": range(count),
    })  # fmt: skip
    build(project, command="seed")
    with connect(project) as warehouse:
        warehouse.append('"raw"."segment_messages"', table.to_reader())


def judged(root: Path, project: Project, days: int, as_of: datetime) -> dict[str, dict[str, Any]]:
    """Metrics of each prediction with windows of `days`, trained through dbt as of a moment."""
    for name in ("likely_to_buy", "likely_to_churn", "expected_value"):
        path = root / f"models/predictions/{name}.yml"
        text = re.sub(r"\bwithin: \d+ days", f"within: {days} days", path.read_text())
        path.write_text(re.sub(r"active_within: \d+ days", "active_within: 365 days", text))
    bench.ROOT = root
    build(
        project, "--select", "+trained_models", "--exclude-resource-type", "test", "unit_test",
        "--vars", json.dumps({"as_of": as_of.isoformat(sep=" ")}),
    )  # fmt: skip
    bench.ROOT = ROOT
    with connect(project) as warehouse:
        rows = warehouse.query(
            "select prediction, method, is_better_than_baseline, reason, metrics from predictions.trained_models"
            " order by 1"
        )
    return {
        name: {"method": method, "is_better": better, "reason": reason, **json.loads(metrics or "{}")}
        for name, method, better, reason, metrics in rows
    }


def show_judged(title: str, found: dict[str, dict[str, Any]]) -> None:
    """Print what was judged."""
    binary, money = Table(title=title), Table(title=f"{title}: money")
    for column in ("", "people", "with", "AUC", "log loss", "calibration error", "lift at 10%"):
        binary.add_column(column)
    for column in ("", "people", "absolute error", "squared error", "total", "rank", "top tenth"):
        money.add_column(column)
    for prediction, metrics in found.items():
        if "model" not in metrics:
            console.print(f"{prediction}: {metrics['reason']}")
            continue
        for name, values in metrics.items():
            if not isinstance(values, dict) or "count" not in values:
                continue
            label = f"{prediction}, {metrics['method'] if name == 'model' else name}"
            if "auc" in values:
                numbers = [f"{values[key]:.3f}" for key in ("auc", "log_loss", "calibration_error")]
                binary.add_row(
                    label, f"{values['count']:,}", f"{values['base_rate']:.3f}", *numbers, f"{values['lift_at_10']:.2f}"
                )
            elif name != "model":
                money.add_row(
                    label, f"{values['count']:,}", f"{values['mean_absolute_error']:.1f}",
                    f"{values['root_mean_squared_error']:.1f}", f"{values['total_error']:+.1%}",
                    f"{values['rank_correlation']:.3f}", f"{values['top_tenth_share']:.3f}",
                )  # fmt: skip
    console.print(binary)
    if money.row_count:
        console.print(money)


_NEXT = """
with
new as (
    select distinct graph.profile_id, items.product_id
    from events.order_items as items
    inner join identity.identity_graph as graph on items.identifier = graph.identifier
    left join predictions.bought_products as bought
        on graph.profile_id = bought.profile_id and items.product_id = bought.product_id
    where items.event_at > $moment and items.event_at <= $moment + interval 90 days and bought.product_id is null
        and items.quantity > 0 and graph.profile_id in (select profile_id from predictions.next_products)
),
popular as (
    select profile_id, product_id from (
        select people.profile_id, products.product_id,
            row_number() over (partition by people.profile_id order by buyers desc, products.product_id) as place
        from (select distinct profile_id from new) as people
        cross join (
            select product_id, count(*) as buyers from predictions.bought_products group by 1 order by 2 desc limit 200
        ) as products
        anti join predictions.bought_products as bought
            on people.profile_id = bought.profile_id and products.product_id = bought.product_id
    ) where place <= 5
)
select
    count(distinct new.profile_id),
    count(distinct suggested.profile_id) / count(distinct new.profile_id),
    count(distinct popular.profile_id) / count(distinct new.profile_id),
    count(suggested.product_id) / (5 * count(distinct new.profile_id)),
    count(popular.product_id) / (5 * count(distinct new.profile_id))
from new
left join predictions.next_products as suggested using (profile_id, product_id)
left join popular using (profile_id, product_id)
"""
"""Of people with suggestions who bought something new: to whom one of five was what they bought, and how many were."""


def show_next_products(project: Project, moment: datetime) -> None:
    """Print how often people bought what was suggested at a moment, beside what is bought most."""
    variables = json.dumps({"as_of": moment.isoformat(sep=" ")})
    build(project, "--select", "bought_products", "product_pairs", "next_products", "--vars", variables, command="run")
    with connect(project) as warehouse:
        people, one, one_popular, share, share_popular = warehouse.query(_NEXT, {"moment": moment})[0]
    table = Table(title=f"Next products: five for each, {people:,} people who then bought something new")
    for column in ("", "one of them was bought", "of all five"):
        table.add_column(column)
    table.add_row("next_products", f"{one:.1%}", f"{share:.1%}")
    table.add_row("the products most people bought", f"{one_popular:.1%}", f"{share_popular:.1%}")
    console.print(table)


_SPEED = """
import json, sys, time
import duckdb
from cdi.predictions import frames, scoring, training
connection = duckdb.connect(sys.argv[1])
connection.execute("set memory_limit = '2GB'; set threads = 2; set preserve_insertion_order = false;"
                   " set enable_progress_bar = false")
table = lambda name: frames.rows_of(connection.cursor().table(name))
declared, seeds = table("declared"), table("seeds")
started = time.monotonic()
if sys.argv[2] == "train":
    rows = list(training.train(table("examples"), declared))
    connection.register("rows", frames.answer(connection.table("examples"), training.SCHEMA, rows))
    connection.execute("create table trained as select * from rows")
else:
    reader = frames.answer(
        connection.table("features"), scoring.SCHEMA,
        scoring.score(table("features"), declared, table("trained"), seeds),
    )
    connection.register("rows", reader)
    connection.execute("create or replace table scores as select * from rows")
seconds = time.monotonic() - started
import re
peak = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024**2
print(json.dumps([seconds, peak]))
"""


def speed(folder: Path, profiles: int, names: list[str]) -> None:
    """Time and memory of training and scoring, each in a process of its own."""
    import duckdb

    path = folder / "speed.duckdb"
    path.unlink(missing_ok=True)
    connection = duckdb.connect(str(path))
    columns = ", ".join(
        f"case when hash(number, days_ago, {place}) % 5 = 0 then null else cast(pow(hash(number, days_ago, {place}) %"
        f" 1000 / 100.0, 1 + {place} % 3) as decimal(18, 4)) end as {name}"
        for place, name in enumerate(names)
    )
    rows = f"select md5(cast(number as varchar)) as profile_id, timestamp '2026-01-01' as as_of, days_ago, {columns}"
    connection.execute(f"create table features as {rows} from range({profiles}) as t(number), (select 0 as days_ago)")
    label = f"case when hash(profile_id, days_ago) % 100 < 5 + 20 * coalesce({names[1]} / 100, 0) then 1.0 else 0.0 end"
    some = f"range({min(profiles, 100_000)}) as t(number), unnest([30, 60, 90, 120]) as d(days_ago)"
    connection.execute(f"create table examples as select *, {label} as label_one from ({rows} from {some})")
    definition = {
        "name": "one", "kind": "purchase", "version": "1", "features": names, "within_days": 30,
        "active_within_days": None, "recency": names[0], "clusters": None, "descriptions": [], "random_seed": 1,
    }  # fmt: skip
    connection.execute(
        "create table declared as select $1 as definition, true as is_due, timestamp '2026-01-01' as as_of",
        [json.dumps(definition)],
    )
    connection.execute("create table seeds (prediction varchar, profile_id varchar)")
    connection.close()
    table = Table(title=f"{profiles:,} profiles, {len(names)} features")
    for column in ("", "seconds", "wanted", "peak GB"):
        table.add_column(column)
    for step, title, wanted in (("train", "training, 4 x 100,000 examples", "300"), ("score", "scoring", "60")):
        answer = subprocess.run(
            [sys.executable, "-c", _SPEED, str(path), step], capture_output=True, text=True, check=True
        )
        seconds, peak = json.loads(answer.stdout.splitlines()[-1])
        table.add_row(title, f"{seconds:.1f}", wanted, f"{peak:.1f}")
    console.print(table)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profiles", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=Path("data/bench_predictions"))
    parser.add_argument("--only", choices=["cdnow", "shop", "speed"], nargs="*", default=["cdnow", "shop", "speed"])
    options = parser.parse_args()
    folder = options.folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    left_out = shutil.ignore_patterns(".git", ".venv", "target", "logs", "data", "output", "*.duckdb*", "__pycache__")
    shutil.copytree(ROOT, folder / "project", ignore=left_out)
    started = time.monotonic()
    if "cdnow" in options.only:
        table = Table(title="CDNOW: purchases of the second half")
        for column in ("", "customers", "mean absolute error", "total", "total since the beginning"):
            table.add_column(column)
        for row in buying_forecast("CDNOW_sample.txt") + buying_forecast("CDNOW_master.txt"):
            table.add_row(*row)
        console.print(table)
        project = make_project(folder / "cdnow", "duckdb")
        land_cdnow(project)
        show_judged("CDNOW, 13 weeks after 1997-09-30", judged(folder / "project", project, 91, HALF + timedelta(91)))
    if "shop" in options.only and SHOP.exists():
        project = make_project(folder / "shop", "duckdb")
        land(project, "online_retail", [str(SHOP)])
        found = judged(folder / "project", project, 90, datetime(2011, 11, 30))
        show_judged("Real shop, 90 days after 2011-09-01", found)
        show_next_products(project, datetime(2011, 9, 1))
    if "speed" in options.only:
        from cdi.project import read_yaml

        columns = read_yaml(ROOT / "models/predictions/profile_features.yml")["models"][0]["columns"]
        speed(folder, options.profiles, [one["name"] for one in columns if one["data_type"].startswith(("int", "num"))])
    console.print(f"in {time.monotonic() - started:.0f} s")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
