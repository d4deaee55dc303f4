"""Training: learn each prediction that is due from past windows, judge it by a later one, keep it with its numbers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cdi.predictions import lifetime_value as value
from cdi.predictions.binary import (
    BinaryModel,
    RecencyModel,
    contributions,
    fit_binary,
    fit_recency,
    held_out_people,
    load_trees,
)
from cdi.predictions.declared import ORDER_FEATURES, Prediction, read_declared
from cdi.predictions.drift import distribution, distributions
from cdi.predictions.evaluate import binary_metrics, value_metrics
from cdi.predictions.frames import Rows, matrix, numbers
from cdi.predictions.segments import SegmentModel, fit_segments, separation

LEAST = 100
"""The fewest examples with, and the fewest without, that anything is learned from; as many to be judged by."""
MOST_EXPLAINED = 5_000
"""Of so many rows it is measured which features matter."""

SCHEMA = pa.schema(
    {
        "model_id": pa.string(), "prediction": pa.string(), "version": pa.string(), "trained_at": pa.timestamp("us"),
        "method": pa.string(), "is_better_than_baseline": pa.bool_(), "reason": pa.string(),
        "count_examples": pa.int64(), "data_from": pa.timestamp("us"), "data_to": pa.timestamp("us"),
        "random_seed": pa.int64(), "features": pa.string(), "metrics": pa.string(), "model": pa.string(),
    }
)  # fmt: skip
"""The columns of trained_models."""


@dataclass(frozen=True)
class Trained:
    """What a training gave."""

    method: str
    is_better: bool
    metrics: dict[str, Any]
    model: dict[str, Any]


class TooLittleDataError(Exception):
    """Why nothing can be learned, in words for trained_models.reason."""


def train(examples: Rows, declared: Rows) -> Iterator[pa.RecordBatch]:
    """Rows of trained_models (SCHEMA), one for each prediction that is due."""
    for prediction in read_declared(declared):
        if prediction.is_due:
            yield _train_one(prediction, examples)


def is_eligible(prediction: Prediction, rows: pa.Table | pa.RecordBatch) -> np.ndarray:
    """The rows that a prediction is about: of churn who was active, of a value who has ordered, else everybody."""
    if prediction.kind == "churn":
        return numbers(rows.column(prediction.recency)) <= prediction.active_within_days
    if prediction.kind == "value":
        return numbers(rows.column("count_orders")) > 0
    return np.ones(rows.num_rows, dtype=bool)


def orders_of(rows: pa.Table | pa.RecordBatch) -> value.Orders:
    """What the models of lifetime value know of each row."""
    count, age, days_since_last, mean_value, revenue = (numbers(rows.column(name)) for name in ORDER_FEATURES)
    return value.Orders(count, age, days_since_last, mean_value, revenue)


def _train_one(prediction: Prediction, examples: Rows) -> pa.RecordBatch:
    rows = _examples_of(prediction, examples)
    row: dict[str, Any] = {
        "model_id": _model_id(prediction),
        "prediction": prediction.name,
        "version": prediction.version,
        "trained_at": prediction.as_of,
        "is_better_than_baseline": False,
        "count_examples": rows.num_rows,
        "random_seed": prediction.random_seed,
        "features": json.dumps(list(prediction.features)),
        **_range(prediction, rows),
    }
    try:
        trained = _TRAINERS[prediction.kind](prediction, rows)
    except TooLittleDataError as problem:
        row |= {"reason": str(problem)}
    else:
        row |= {
            "method": trained.method,
            "is_better_than_baseline": trained.is_better,
            "metrics": json.dumps(trained.metrics),
            "model": json.dumps(trained.model),
        }
    return pa.RecordBatch.from_pylist([row], SCHEMA)


def _examples_of(prediction: Prediction, examples: Rows) -> pa.Table:
    columns = ["profile_id", "as_of", "days_ago", *prediction.columns, prediction.label]
    rows = examples.table(columns, known=prediction.label)
    rows = rows.filter(pa.array(is_eligible(prediction, rows)))
    # The order that a warehouse gives is chance; what is learned must not be.
    return rows.sort_by([("days_ago", "ascending"), ("profile_id", "ascending")])


def _range(prediction: Prediction, rows: pa.Table) -> dict[str, datetime]:
    if not rows.num_rows:
        return {}
    found = pc.min_max(rows["as_of"]).as_py()
    return {"data_from": found["min"], "data_to": found["max"] + timedelta(days=prediction.within_days or 0)}


def _train_binary(prediction: Prediction, rows: pa.Table) -> Trained:
    truth = numbers(rows[prediction.label])
    judged = _judged(prediction, rows)
    _require(truth[~judged], "to learn from")
    _require(truth[judged], "to judge by")
    values, people = matrix(rows, prediction.features), _people(rows)
    days = numbers(rows[prediction.recency])

    model = fit_binary(values[~judged], truth[~judged], people[~judged], prediction.features, prediction.random_seed)
    recency = fit_recency(days[~judged], truth[~judged])
    metrics = {
        "model": binary_metrics(truth[judged], model.probability(values[judged])),
        "recency": binary_metrics(truth[judged], recency.probability(days[judged])),
        "mean": binary_metrics(truth[judged], np.full(int(judged.sum()), truth[~judged].mean())),
    }
    is_better = (
        metrics["model"]["auc"] > metrics["recency"]["auc"]
        and metrics["model"]["log_loss"] < metrics["mean"]["log_loss"]
    )
    # What is used has learned from the judged window too.
    kept = fit_binary(values, truth, people, prediction.features, prediction.random_seed)
    metrics["importance"] = importance(kept.trees, kept.features, values[judged])
    return Trained("gradient boosting", is_better, metrics, {
        "kind": "binary",
        "model": kept.as_json(),
        "baseline": vars(fit_recency(days, truth)),
        "distributions": distributions(values[judged], prediction.features),
        "scores": distribution(kept.probability(values[judged])),
    })  # fmt: skip


def _train_lookalike(prediction: Prediction, rows: pa.Table) -> Trained:
    truth = numbers(rows[prediction.label])
    _require(truth, "to learn from")
    values, people = matrix(rows, prediction.features), _people(rows)
    # There is no later window: it is judged by people it has not seen.
    judged = held_out_people(people, prediction.random_seed + 1)
    model = fit_binary(values[~judged], truth[~judged], people[~judged], prediction.features, prediction.random_seed)
    metrics = {
        "model": binary_metrics(truth[judged], model.probability(values[judged])),
        "mean": binary_metrics(truth[judged], np.full(int(judged.sum()), truth[~judged].mean())),
    }
    is_better = metrics["model"]["auc"] > 0.5 and metrics["model"]["log_loss"] < metrics["mean"]["log_loss"]
    kept = fit_binary(values, truth, people, prediction.features, prediction.random_seed)
    metrics["importance"] = importance(kept.trees, kept.features, values)
    return Trained("gradient boosting", is_better, metrics, {
        "kind": "binary",
        "model": kept.as_json(),
        "baseline": None,
        # The others: those whom it is like are not scored.
        "distributions": distributions(values[truth == 0], prediction.features),
        "scores": distribution(kept.probability(values[truth == 0])),
    })  # fmt: skip


def _train_value(prediction: Prediction, rows: pa.Table) -> Trained:
    truth = numbers(rows[prediction.label])
    judged = _judged(prediction, rows)
    for part, purpose in ((~judged, "to learn from"), (judged, "to judge by")):
        spent = int((truth[part] > 0).sum())
        if spent < LEAST:
            raise TooLittleDataError(f"There are {spent} customers who spent something {purpose}; {LEAST} are needed.")
    values, people, days = matrix(rows, prediction.features), _people(rows), int(prediction.within_days or 0)

    def fits(chosen: np.ndarray, newest: np.ndarray) -> list[value.BuyTillYouDie | value.LearnedValue]:
        # BG/NBD learns from orders so far: the newest moment knows all of the ones before.
        return [
            value.fit_buy_till_you_die(orders_of(rows.filter(pa.array(newest))), days),
            value.fit_learned_value(
                values[chosen], truth[chosen], people[chosen], prediction.features, prediction.random_seed
            ),
        ]

    moments = rows["days_ago"].to_numpy()
    orders = orders_of(rows.filter(pa.array(judged)))
    candidates = fits(~judged, moments == moments[~judged].min())
    metrics = {model.method: value_metrics(truth[judged], model.value(values[judged], orders)) for model in candidates}
    metrics["recency"] = value_metrics(truth[judged], value.past_rate(orders, days))
    metrics["mean"] = value_metrics(truth[judged], np.full(int(judged.sum()), truth[~judged].mean()))
    best = min((model.method for model in candidates), key=lambda method: metrics[method][_JUDGED_BY])
    metrics["model"] = metrics[best]
    is_better = all(metrics["model"][_JUDGED_BY] < metrics[name][_JUDGED_BY] for name in ("recency", "mean"))
    kept = next(model for model in fits(np.ones_like(judged), judged) if model.method == best)
    if isinstance(kept, value.LearnedValue):
        metrics["importance"] = importance(kept.trees, kept.features, values[judged])
    return Trained(best, is_better, metrics, {
        "kind": "learned value" if isinstance(kept, value.LearnedValue) else "buy till you die",
        "model": kept.as_json(),
        "baseline": {"days": days},
        "distributions": distributions(values[judged], prediction.features),
        "scores": distribution(kept.value(values[judged], orders)),
    })  # fmt: skip


def _train_segments(prediction: Prediction, rows: pa.Table) -> Trained:
    clusters = int(prediction.clusters or 0)
    if rows.num_rows < LEAST * clusters:
        raise TooLittleDataError(
            f"There are {rows.num_rows} profiles; {LEAST} for each of {clusters} segments are needed."
        )
    values = matrix(rows, prediction.features)
    kept = fit_segments(values, prediction.features, prediction.descriptions, clusters, prediction.random_seed)
    number, closeness = kept.assign(values)
    apart = separation(kept, values, number)
    sizes = np.bincount(number, minlength=clusters)
    metrics = {
        "model": {"separation": apart, "sizes": dict(zip(kept.names, sizes.tolist(), strict=True))},
        "mean": {"separation": 0.0},
    }
    return Trained("k-means", apart > 0, metrics, {
        "kind": "segments",
        "model": kept.as_json(),
        "baseline": None,
        "distributions": distributions(values, prediction.features),
        "scores": distribution(closeness),
    })  # fmt: skip


_JUDGED_BY = "root_mean_squared_error"
"""The error that an expected value makes smallest; the absolute one would be smallest for who says nothing is spent."""

_TRAINERS = {
    "purchase": _train_binary, "churn": _train_binary, "lookalike": _train_lookalike, "value": _train_value,
    "segments": _train_segments,
}  # fmt: skip


Model = BinaryModel | value.BuyTillYouDie | value.LearnedValue | SegmentModel


def load_model(found: dict[str, Any]) -> Model:
    """The model in the JSON of trained_models.model."""
    kinds = {
        "binary": BinaryModel, "learned value": value.LearnedValue, "buy till you die": value.BuyTillYouDie,
        "segments": SegmentModel,
    }  # fmt: skip
    return kinds[found["kind"]].from_json(found["model"])


def load_baseline(found: dict[str, Any]) -> RecencyModel | None:
    """The baseline of a binary model; none where there is none."""
    return RecencyModel(**found["baseline"]) if found["baseline"] else None


def importance(trees: str, features: tuple[str, ...], values: np.ndarray) -> dict[str, float]:
    """How far each feature moves predictions in mean, as a share of all; the largest first, without those at 0."""
    moved = np.abs(contributions(load_trees(trees), values[:MOST_EXPLAINED])).mean(axis=0).astype(float)
    shares = moved / (moved.sum() or 1.0)
    return {features[place]: float(shares[place]) for place in np.argsort(-shares) if shares[place] > 0}


def _judged(prediction: Prediction, rows: pa.Table) -> np.ndarray:
    """True for the rows of the newest window, which says how good what was learned from those before is."""
    moments = rows["days_ago"].to_numpy()
    if len(moments) == 0 or moments.min() == moments.max():
        raise TooLittleDataError(
            f"Two windows of {prediction.within_days} days that lie one after the other are needed, one to learn from"
            " and one to judge by; what is known does not reach back so far."
        )
    return moments == moments.min()


def _require(truth: np.ndarray, purpose: str) -> None:
    with_it, without = int(truth.sum()), int(len(truth) - truth.sum())
    if with_it < LEAST or without < LEAST:
        raise TooLittleDataError(
            f"There are {with_it} examples with and {without} without it {purpose}; {LEAST} of each are needed."
        )


def _people(rows: pa.Table) -> np.ndarray:
    """A number for each person, the same in all of their rows."""
    column = rows["profile_id"].combine_chunks()
    return pc.rank(column, tiebreaker="dense").to_numpy() - 1


def _model_id(prediction: Prediction) -> str:
    text = f"{prediction.name} {prediction.version} {prediction.as_of.isoformat()}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]
