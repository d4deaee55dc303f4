"""Whether people today are still those that a model was learned from: the population stability index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

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
