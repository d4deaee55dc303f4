"""Predictions through the warehouse: features know nothing of the future, models are kept, scores repeat."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT
from support import POSTGRES_LATER, UNTESTED, copy_project, land_messages, message, new_project, rows_of

from cdi.dbt import run_dbt
from cdi.errors import CdiError
from cdi.predict import predict, runs_python
from cdi.project import Project
from cdi.warehouse import Warehouse, connect

DAYS, CUT, PEOPLE = 300, 180, 480
BEGIN = datetime(2026, 1, 1, 12)


def moment(day: float) -> str:
    return (BEGIN + timedelta(days=day)).strftime("%Y-%m-%d %H:%M:%S")


def shop(dice: random.Random) -> list[tuple[float, dict[str, Any]]]:
    """(day, message) of people who buy at different rates, look around before, and are gone one day."""
    found: list[tuple[float, dict[str, Any]]] = []

    def add(day: float, person: int, event: str | None, **properties: Any) -> None:
        if day <= DAYS:
            kind = {"type_": "track", "event": event} if event else {"type_": "page"}
            found.append((
                day,
                message(
                    at=BEGIN + timedelta(days=day), userId=f"p{person}", anonymousId=f"d{person}",
                    properties=properties, context={"page": {"path": "/", "url": "https://shop.example/"}}, **kind,
                ),
            ))  # fmt: skip

    for person in range(PEOPLE):
        day, gap = dice.uniform(0, 120), dice.choice([10, 25, 60, 120])
        gone = day + dice.expovariate(1 / 300)
        while day < min(gone, DAYS):
            for _ in range(dice.randrange(3)):
                add(day - dice.uniform(0, 2), person, None)
            if dice.random() < 0.7:
                add(day - 0.1, person, "Signed In")
            currency = dice.choice(["EUR", "USD", None])
            products = [{"product_id": f"s{dice.randrange(8)}", "price": 10, "quantity": 1}]
            add(
                day, person, "Order Completed", order_id=f"o{len(found)}", currency=currency, products=products,
                revenue=round(dice.gammavariate(3, 60 / gap), 2), coupon=dice.choice([None, None, "SPRING"]),
            )  # fmt: skip
            if dice.random() < 0.1:
                add(day + 5, person, "Order Refunded", order_id=f"o{len(found)}", total=5, currency=currency)
            if dice.random() < 0.5:
                add(day + 3, person, "Email Opened", campaign_id="c")
            day += dice.expovariate(1 / gap)
    return found


@dataclass
class Shop:
    project: Project

    def build(self, day: float, below: bool = False) -> None:
        """Predict as of a day; `below`: after all that predictions are made from."""
        selection = f"{'+' if below else ''}path:models/predictions"
        result = run_dbt(self.project, ["build", "--select", selection, *UNTESTED], {"as_of": moment(day)})
        assert not [(node.name, node.message) for node in result.nodes if node.failed]
        if not runs_python(self.project):
            predict(self.project, result.manifest)

    def scores(self) -> list[tuple[Any, ...]]:
        with connect(self.project) as warehouse:
            return rows_of(warehouse, "predictions.scores")


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shop, list[Any]]]:
    """A shop of which all is known, and the features of a moment at which less was."""
    root = copy_project(ROOT, tmp_path_factory.mktemp("predictions") / "project")
    then = "{{ cdi.features_as_of(\"cast('" + moment(CUT) + "' as timestamp)\") }}"
    (root / "models/predictions/features_then.sql").write_text(
        "{{ config(materialized='table') }}{% do ref('profile_features') %}{% if execute %}" + then
        + "{% else %}select 1 as profile_id{% endif %}\n"
    )  # fmt: skip
    with new_project(request.param, root, tmp_path_factory.mktemp("predictions")) as project:
        made = Shop(project)
        events = shop(random.Random(7))
        assert run_dbt(project, ["seed"]).success
        with connect(project) as warehouse:
            land_messages(warehouse, [one for day, one in events if day <= CUT], load=1)
        features = ["build", "--select", "+profile_features", *UNTESTED]
        assert run_dbt(project, features, {"as_of": moment(CUT)}).success
        with connect(project) as warehouse:
            before = rows_of(warehouse, "predictions.profile_features")
            land_messages(warehouse, [one for day, one in events if day > CUT], load=2)
        made.build(DAYS, below=True)
        yield made, before


@pytest.mark.parametrize("built", POSTGRES_LATER, indirect=True, scope="module")
def test_features_of_a_past_moment_know_nothing_of_what_came_after(built: tuple[Shop, list[Any]]):
    made, before = built
    with connect(made.project) as warehouse:
        then = rows_of(warehouse, "predictions.features_then")
        now = rows_of(warehouse, "predictions.profile_features")
    assert len(before) > PEOPLE / 2
    assert then == before
    assert now != before


def test_outcomes_are_what_came_within_the_window(built: tuple[Shop, list[Any]]):
    made, _ = built
    with connect(made.project) as warehouse:
        # Whom an order of the window makes a buyer, asked in another way.
        found = warehouse.query(
            "select count(*), sum(case when examples.label_likely_to_buy = wanted.did then 0 else 1 end)"
            " from predictions.training_examples as examples inner join ("
            "  select e.profile_id, e.days_ago, max(case when o.event_at > e.as_of"
            "  and o.event_at <= e.as_of + interval '30 days' then 1 else 0 end) as did"
            "  from predictions.training_examples as e inner join identity.identity_graph as g"
            "  on e.profile_id = g.profile_id left join events.order_completed as o on g.identifier = o.identifier"
            "  where e.days_ago in (30, 60, 90, 120) group by 1, 2"
            " ) as wanted on examples.profile_id = wanted.profile_id and examples.days_ago = wanted.days_ago"
        )
    assert found[0][0] > 1000
    assert found[0][1] == 0


def runs(warehouse: Warehouse) -> dict[str, dict[str, Any]]:
    rows = warehouse.query(
        "select prediction, method, is_better_than_baseline, reason, metrics, trained_at"
        " from predictions.trained_models order by trained_at"
    )
    return {row[0]: dict(zip(("method", "is_better", "reason", "metrics", "at"), row[1:], strict=True)) for row in rows}


def test_models_are_kept_with_what_they_are_worth(built: tuple[Shop, list[Any]]):
    made, _ = built
    with connect(made.project) as warehouse:
        found = runs(warehouse)
        methods = dict(warehouse.query("select prediction, max(method) from predictions.scores group by 1"))
        people = warehouse.query(
            "select count(*), min(score), max(score), count(reasons), min(percentile), max(percentile)"
            " from predictions.likely_to_buy"
        )[0]
        profiles = warehouse.query("select count(*) from predictions.profile_features")[0][0]
    for name in ("likely_to_buy", "likely_to_churn"):
        metrics = json.loads(found[name]["metrics"])
        assert metrics["model"]["auc"] > 0.65
        assert set(metrics) >= {"model", "recency", "mean", "importance"}
        better = (
            metrics["model"]["auc"] > metrics["recency"]["auc"]
            and metrics["model"]["log_loss"] < metrics["mean"]["log_loss"]
        )
        assert found[name]["is_better"] == better
        assert methods[name] == ("gradient boosting" if better else "baseline")
    money = json.loads(found["expected_value"]["metrics"])
    assert {"BG/NBD with Gamma-Gamma", "gradient boosting", "recency", "mean"} <= set(money)
    assert money["model"]["root_mean_squared_error"] < money["mean"]["root_mean_squared_error"]
    # Nobody bought so much that 500 are the best of fewer: there is nobody to look for.
    assert "0 without" in found["like_the_best"]["reason"]
    assert "100 for each of 6 segments" in found["customer_segments"]["reason"]
    assert not methods.keys() & {"like_the_best", "customer_segments"}
    assert people[0] == people[3] == profiles
    assert 0 <= people[1] < people[2] <= 1
    assert people[4] == 0
    assert people[5] < 1


def test_nothing_is_trained_until_it_is_due_and_the_same_seed_gives_the_same_scores(built: tuple[Shop, list[Any]]):
    made, _ = built
    first = made.scores()
    with connect(made.project) as warehouse:
        before = rows_of(warehouse, "predictions.trained_models")
    made.build(DAYS)
    with connect(made.project) as warehouse:
        assert rows_of(warehouse, "predictions.trained_models") == before
    assert made.scores() == first

    with connect(made.project) as warehouse:
        warehouse.execute("delete from predictions.trained_models")
    made.build(DAYS)
    with connect(made.project) as warehouse:
        assert rows_of(warehouse, "predictions.trained_models") == before
    assert made.scores() == first

    # Two days later only what gave no model is tried again; a month later all is.
    made.build(DAYS + 2)
    with connect(made.project) as warehouse:
        found = runs(warehouse)
        again = [name for name, run in found.items() if run["at"] == datetime.fromisoformat(moment(DAYS + 2))]
    assert sorted(again) == ["customer_segments", "like_the_best"]
    assert made.scores() != first
    made.build(DAYS + 30)
    with connect(made.project) as warehouse:
        assert {run["at"] for run in runs(warehouse).values()} == {datetime.fromisoformat(moment(DAYS + 30))}


@pytest.mark.parametrize(
    ("declaration", "key", "words"),
    [
        ({"kind": "guess"}, "kind", "purchase, churn, value, lookalike"),
        ({"kind": "purchase", "event": "Order Completed"}, "within", "needs it"),
        ({"kind": "purchase", "event": "Order Completed", "within": "soon"}, "within", "30 days"),
        ({"kind": "purchase", "event": "Order Compelted", "within": "30 days"}, "event", "no event"),
        ({"kind": "purchase", "event": "Article Read", "within": "30 days"}, "event", "days_since"),
        ({"kind": "value", "within": "30 days", "event": "Signed In"}, "event", "is nothing that a value has"),
        ({"kind": "value", "within": "30 days", "features": ["count_order"]}, "features", "count_orders"),
        ({"kind": "lookalike", "seed": {"audience": "best"}}, "seed.audience", "no audience"),
        ({"kind": "lookalike", "seed": {"top": 5}}, "seed", "{trait: net_revenue, top: 500}"),
        ({"kind": "lookalike", "seed": {"trait": "city", "top": 5}}, "seed.trait", "no number"),
    ],
)
def test_a_wrong_declaration_names_file_and_key(
    wrong_project: Project, declaration: dict[str, Any], key: str, words: str
):
    path = wrong_project.root / "models/predictions/likely_to_buy.yml"
    content = yaml.safe_load((ROOT / "models/predictions/likely_to_buy.yml").read_text())
    content["models"][0]["config"]["meta"]["prediction"] = declaration
    path.write_text(yaml.safe_dump(content))
    arguments = ["compile", "--select", "declared_predictions", "--no-populate-cache", "--no-introspect"]
    try:
        said = "".join(node.message for node in run_dbt(wrong_project, arguments).nodes if node.failed)
    except CdiError as error:
        said = str(error)
    assert f"models/predictions/likely_to_buy.yml, prediction.{key}:" in said
    assert words in said


@pytest.fixture(scope="module")
def wrong_project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    root: Path = copy_project(ROOT, tmp_path_factory.mktemp("wrong") / "project")
    with new_project("duckdb", root, tmp_path_factory.mktemp("wrong")) as project:
        yield project
