"""Whether people today are still those that a model was learned from: the population stability index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from cdi.predictions.frames import Rows, matrix

BINS = 10
LEAST_SHARE = 1e-3
"""What an empty bin counts as: else one person in it would be a drift without end."""


def distribution(values: np.ndarray) -> dict[str, Any]:
    """The edges between tenths of some values, and the share of values in each bin; the last bin is of unknown ones."""
    known = values[~np.isnan(values)]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1])) if len(known) else np.array([])
    counts = count_in_bins(values, edges)
    return {"edges": edges.astype(float).tolist(), "shares": (counts / max(counts.sum(), 1)).tolist()}


def distributions(matrix: np.ndarray, features: Sequence[str]) -> dict[str, Any]:
    """The distribution of each column of a matrix, by its name."""
    return {name: distribution(matrix[:, place]) for place, name in enumerate(features)}


def count_in_bins(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """How many of the values lie in each bin; the last count is of unknown ones."""
    unknown = np.isnan(values)
    # A value on an edge belongs above it, so that many equal ones have a bin of their own.
    bins = np.where(unknown, len(edges) + 1, np.searchsorted(edges, values, side="right"))
    return np.bincount(bins, minlength=len(edges) + 2).astype(float)


def stability_index(shares: Sequence[float], counts: np.ndarray) -> float:
    """How far counts in bins are from the shares that there were: below 0.1 little, above 0.25 much."""
    if not counts.sum():
        return 0.0
    before = np.maximum(np.asarray(shares), LEAST_SHARE)
    now = np.maximum(counts / counts.sum(), LEAST_SHARE)
    return float(np.sum((now - before) * np.log(now / before)))


SCHEMA = pa.schema(
    {
        "prediction": pa.string(), "model_id": pa.string(), "feature": pa.string(), "stability_index": pa.float64(),
        "count_profiles": pa.int64(), "measured_at": pa.timestamp("us"),
    }
)  # fmt: skip
"""The columns of prediction_drift."""

OF_SCORE = "(score)"
"""What stands for the score where features do."""


def measure(features: Rows, declared: Rows, trained: Rows, seeds: Rows) -> Iterator[pa.RecordBatch]:
    """Rows of prediction_drift (SCHEMA): of each prediction with a model, how far its features and its score are from
    those of the people that it was judged by."""
    from cdi.predictions.scoring import read_scorers

    # A baseline has no features, and its scores are not those that were kept.
    scorers = [scorer for scorer in read_scorers(declared, trained, seeds) if scorer.model is not None]
    if not scorers:
        return
    columns = ["profile_id", *dict.fromkeys(name for scorer in scorers for name in scorer.prediction.columns)]
    counts: list[dict[str, np.ndarray]] = [{} for _ in scorers]
    for batch in features.batches(columns):
        for scorer, counted in zip(scorers, counts, strict=True):
            rows = scorer.rows(batch)
            values = matrix(rows, scorer.prediction.features)
            for place, name in enumerate(scorer.prediction.features):
                _add(counted, name, values[:, place], scorer.distributions[name])
            _add(counted, OF_SCORE, scorer.score(rows, values), scorer.distributions[OF_SCORE])
    for scorer, counted in zip(scorers, counts, strict=True):
        found = [
            {
                "prediction": scorer.prediction.name,
                "model_id": scorer.model_id,
                "feature": name,
                "stability_index": stability_index(scorer.distributions[name]["shares"], bins),
                "count_profiles": int(bins.sum()),
                "measured_at": scorer.prediction.as_of,
            }
            for name, bins in counted.items()
        ]
        yield pa.RecordBatch.from_pylist(found, SCHEMA)


def _add(counted: dict[str, np.ndarray], name: str, values: np.ndarray, before: dict[str, Any]) -> None:
    counted[name] = counted.get(name, 0) + count_in_bins(values, np.asarray(before["edges"]))
