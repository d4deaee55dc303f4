"""Scoring: every profile by the newest model of each prediction, in batches."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cdi.predictions import lifetime_value as value
from cdi.predictions.binary import BinaryModel
from cdi.predictions.declared import Prediction, read_declared
from cdi.predictions.drift import OF_SCORE
from cdi.predictions.frames import Rows, matrix, numbers
from cdi.predictions.segments import SegmentModel
from cdi.predictions.training import is_eligible, load_baseline, load_model, orders_of

REASONS = 3

SCHEMA = pa.schema(
    {
        "profile_id": pa.string(), "prediction": pa.string(), "segment": pa.string(), "score": pa.float64(),
        "percentile": pa.float64(), "reasons": pa.string(), "method": pa.string(), "model_id": pa.string(),
        "scored_at": pa.timestamp("us"),
    }
)  # fmt: skip
"""The columns of scores."""


@dataclass
class Scorer:
    """A prediction with the model that it is made with; `model` is none where the baseline is."""

    prediction: Prediction
    model_id: str
    method: str
    model: Any
    baseline: Any
    left_out: pa.Array
    """Profiles that are not scored."""
    distributions: dict[str, Any]
    """What features and score were like when it was trained: see drift."""
    scores: list[np.ndarray] = field(default_factory=list)

    def rows(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows of a batch that the prediction is about."""
        wanted = pa.array(is_eligible(self.prediction, batch))
        if len(self.left_out):
            wanted = pc.and_not(wanted, pc.is_in(batch.column("profile_id"), value_set=self.left_out))
        return batch.filter(wanted)

    def score(self, rows: pa.RecordBatch, values: np.ndarray) -> np.ndarray:
        """The score of each row; `values` are its features."""
        if self.prediction.kind == "value":
            orders = orders_of(rows)
            if self.model is None:
                return value.past_rate(orders, int(self.prediction.within_days or 0))
            return self.model.value(values, orders)
        if isinstance(self.model, SegmentModel):
            return self.model.assign(values)[1]
        if self.model is None:
            return self.baseline.probability(numbers(rows.column(self.prediction.recency)))
        return self.model.probability(values)

    def segments(self, values: np.ndarray) -> pa.Array:
        """The segment of each row; null of what is none."""
        if isinstance(self.model, SegmentModel):
            return pa.array(self.model.names, pa.string()).take(pa.array(self.model.assign(values)[0]))
        return pa.nulls(len(values), pa.string())

    def reasons(self, rows: pa.RecordBatch, values: np.ndarray) -> pa.Array:
        """What moved each score most, in words: `days_since_last_order 12 (+0.84), ...`."""
        if isinstance(self.model, BinaryModel | value.LearnedValue):
            return reasons(self.prediction.features, values, self.model.contributions(values))
        if isinstance(self.model, SegmentModel):
            return reasons(self.prediction.features, values, self.model.peculiarity(values))
        if self.prediction.kind != "value":
            names = [self.prediction.recency]
        elif self.model is None:
            names = ["revenue_365_days"]
        else:
            names = ["count_orders", "days_since_last_order", "average_order_value"]
        said = [_words(pa.array([name] * rows.num_rows, pa.string()), numbers(rows.column(name))) for name in names]
        return pc.binary_join_element_wise(*said, ", ")


def score(features: Rows, declared: Rows, trained: Rows, seeds: Rows) -> Iterator[pa.RecordBatch]:
    """Rows of scores (SCHEMA): of each prediction with a model, of the profiles it is about.

    Where the model is no better than its baseline the scores are the baseline's. Reads `features` twice: once to know
    where each score stands among all, once to write; never more than a batch of it is in memory.
    """
    scorers = read_scorers(declared, trained, seeds)
    if not scorers:
        return
    columns = ["profile_id", *dict.fromkeys(name for scorer in scorers for name in scorer.prediction.columns)]
    for batch in features.batches(columns):
        for scorer in scorers:
            rows = scorer.rows(batch)
            scorer.scores.append(scorer.score(rows, matrix(rows, scorer.prediction.features)))
    ranked = [np.sort(np.concatenate(scorer.scores)) if scorer.scores else np.array([]) for scorer in scorers]
    for scorer in scorers:
        scorer.scores.clear()
    for batch in features.batches(columns):
        for scorer, all_scores in zip(scorers, ranked, strict=True):
            rows = scorer.rows(batch)
            if rows.num_rows:
                yield _scored(scorer, rows, all_scores)


def read_scorers(declared: Rows, trained: Rows, seeds: Rows) -> list[Scorer]:
    """The predictions that have a model, each with its newest."""
    newest: dict[str, dict[str, Any]] = {}
    predictions = {prediction.name: prediction for prediction in read_declared(declared)}
    runs = trained.table(
        ["model_id", "prediction", "version", "trained_at", "method", "is_better_than_baseline", "reason"]
    ).sort_by("trained_at")
    for run in runs.to_pylist():
        prediction = predictions.get(run["prediction"])
        if prediction and run["reason"] is None and run["version"] == prediction.version and _is_known(run, prediction):
            newest[prediction.name] = run
    models = _models_of({run["model_id"] for run in newest.values()}, trained)
    left_out = seeds.table(["prediction", "profile_id"]) if newest else None
    scorers = []
    for name, run in sorted(newest.items()):
        found = models[run["model_id"]]
        baseline = load_baseline(found) if predictions[name].kind in ("purchase", "churn") else None
        is_better = run["is_better_than_baseline"]
        if not is_better and predictions[name].kind in ("lookalike", "segments"):
            # There is nothing else to say whom a profile is like, or where it belongs.
            continue
        scorers.append(Scorer(
            predictions[name], run["model_id"], run["method"] if is_better else "baseline",
            load_model(found) if is_better else None, baseline,
            left_out.filter(pc.equal(left_out["prediction"], name))["profile_id"].combine_chunks(),
            {**found["distributions"], OF_SCORE: found["scores"]},
        ))  # fmt: skip
    return scorers


def reasons(features: tuple[str, ...], values: np.ndarray, moved: np.ndarray) -> pa.Array:
    """The features that moved each row most (`moved`, a column per feature), with their values, in words."""
    count = min(REASONS, len(features))
    top = np.argpartition(-np.abs(moved), count - 1, axis=1)[:, :count]
    order = np.argsort(-np.abs(np.take_along_axis(moved, top, axis=1)), axis=1, kind="stable")
    top = np.take_along_axis(top, order, axis=1)
    names = pa.array(features, pa.string())
    said = []
    for place in range(count):
        chosen = top[:, place : place + 1]
        effect = np.take_along_axis(moved, chosen, axis=1)[:, 0]
        words = _words(names.take(pa.array(chosen[:, 0])), np.take_along_axis(values, chosen, axis=1)[:, 0])
        said.append(pc.binary_join_element_wise(words, " (", _signed(effect), ")", ""))
    return pc.binary_join_element_wise(*said, ", ")


def _words(names: pa.Array, values: np.ndarray) -> pa.Array:
    return pc.binary_join_element_wise(names, pc.fill_null(_rounded(values), "unknown"), " ")


def _signed(values: np.ndarray) -> pa.Array:
    return pc.binary_join_element_wise(pa.array(np.where(values < 0, "", "+")), _rounded(values), "")


def _rounded(values: np.ndarray) -> pa.Array:
    # Hundredths as text: 12, 0.5, 0.84.
    hundredths = pa.array(np.round(values.astype(float), 2) + 0.0, from_pandas=True)
    return pc.cast(hundredths, pa.string())


def _scored(scorer: Scorer, rows: pa.RecordBatch, all_scores: np.ndarray) -> pa.RecordBatch:
    values = matrix(rows, scorer.prediction.features)
    scores = scorer.score(rows, values)
    count = rows.num_rows
    return pa.RecordBatch.from_arrays(
        [
            rows.column("profile_id").cast(pa.string()),
            pa.repeat(scorer.prediction.name, count),
            scorer.segments(values),
            pa.array(scores),
            pa.array(np.searchsorted(all_scores, scores) / len(all_scores)),
            scorer.reasons(rows, values),
            pa.repeat(scorer.method, count),
            pa.repeat(scorer.model_id, count),
            pa.array(np.full(count, np.datetime64(scorer.prediction.as_of, "us"))),
        ],
        schema=SCHEMA,
    )


def _is_known(run: dict[str, Any], prediction: Prediction) -> bool:
    trained_at: datetime = run["trained_at"]
    return trained_at <= prediction.as_of


def _models_of(ids: set[str], trained: Rows) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for batch in trained.batches(["model_id", "model"]) if ids else ():
        chosen = batch.filter(pc.is_in(batch.column("model_id"), value_set=pa.array(sorted(ids))))
        found |= {row["model_id"]: json.loads(row["model"]) for row in chosen.to_pylist()}
    return found
