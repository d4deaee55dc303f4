"""Groups of people who behave alike, named by what they have more and less of than others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

STEPS = 50
"""Steps that a feature's values are ranked in."""
NAMED_BY = 2
"""Features in the name of a segment; more where two would have the same."""
MOST_COMPARED = 5_000
"""Rows that it is measured on how far segments are apart: that takes the square of their number."""


@dataclass(frozen=True)
class SegmentModel:
    """Centres of segments, in ranks: 0 for the least of a feature, 1 for the most."""

    features: tuple[str, ...]
    edges: tuple[tuple[float, ...], ...]
    """Of each feature the values that divide people into equal parts."""
    never: tuple[float, ...]
    """Of each feature the rank of those of whom nothing is known."""
    means: tuple[float, ...]
    centres: tuple[tuple[float, ...], ...]
    names: tuple[str, ...]

    def assign(self, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The number of each row's segment, and how far it belongs there: 0 on the border, 1 in the middle."""
        centres = np.array(self.centres)
        ranks = self.ranks(matrix)
        squares = (ranks**2).sum(axis=1, keepdims=True) - 2 * ranks @ centres.T + (centres**2).sum(axis=1)
        distances = np.sqrt(np.maximum(squares, 0.0))
        number = distances.argmin(axis=1)
        nearest = np.partition(distances, 1, axis=1)[:, :2]
        return number, 1 - nearest[:, 0] / np.maximum(nearest[:, 1], 1e-9)

    def peculiarity(self, matrix: np.ndarray) -> np.ndarray:
        """How far each row's ranks are from the mean of all people, a column per feature."""
        return self.ranks(matrix) - np.array(self.means)

    def ranks(self, matrix: np.ndarray) -> np.ndarray:
        """The rank of each value among those of all people; many equal ones have the middle of their ranks."""
        found = np.empty(matrix.shape, dtype=np.float64)
        for place, edges in enumerate(self.edges):
            column = matrix[:, place]
            low, high = np.searchsorted(edges, column, "left"), np.searchsorted(edges, column, "right")
            found[:, place] = np.where(np.isnan(column), self.never[place], (low + high) / (2 * max(len(edges), 1)))
        return found

    def as_json(self) -> dict[str, Any]:
        """The model as plain values."""
        return {
            "features": self.features, "edges": self.edges, "never": self.never, "means": self.means,
            "centres": self.centres, "names": self.names,
        }  # fmt: skip

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> SegmentModel:
        """The model that `as_json` wrote."""
        return cls(
            tuple(found["features"]), tuple(map(tuple, found["edges"])), tuple(found["never"]), tuple(found["means"]),
            tuple(map(tuple, found["centres"])), tuple(found["names"]),
        )  # fmt: skip


def fit_segments(
    matrix: np.ndarray, features: Sequence[str], descriptions: Sequence[str], clusters: int, random_seed: int
) -> SegmentModel:
    """Find `clusters` groups (k-means on ranks) in a matrix of features; `descriptions` say what each is, in words."""
    from sklearn.cluster import MiniBatchKMeans

    edges = tuple(_edges(matrix[:, place]) for place in range(len(features)))
    # Who never did something did it longest ago; of anything else they have least.
    never = tuple(1.0 if name.startswith("days_since_") else 0.0 for name in features)
    unnamed = SegmentModel(tuple(features), edges, never, (), (), ())
    ranks = unnamed.ranks(matrix)
    found = MiniBatchKMeans(clusters, random_state=random_seed, n_init=5, batch_size=4096).fit(ranks)
    means = ranks.mean(axis=0)
    # The largest first, so that numbers mean something.
    sizes = np.bincount(found.labels_, minlength=clusters)
    centres = found.cluster_centers_[np.argsort(-sizes, kind="stable")]
    return SegmentModel(
        tuple(features), edges, never, tuple(means.tolist()), tuple(map(tuple, centres.tolist())),
        name_segments(centres - means, descriptions),
    )  # fmt: skip


def name_segments(differences: np.ndarray, descriptions: Sequence[str]) -> tuple[str, ...]:
    """A name for each row of differences from the mean (a column per feature), from those that are largest.

    `more orders of the last 365 days, less days since the last order`
    """
    said = [text.rstrip(". ").split(", ")[0] for text in descriptions]
    said = [text[:1].lower() + text[1:] for text in said]
    order = np.argsort(-np.abs(differences), axis=1, kind="stable")
    names: list[str] = []
    for number, places in enumerate(order):
        for count in range(min(NAMED_BY, len(said)), len(said) + 1):
            name = ", ".join(
                f"{'more' if differences[number, place] > 0 else 'less'} {said[place]}" for place in places[:count]
            )
            if name not in names:
                break
        names.append(name if name not in names else f"{name} ({number + 1})")
    return tuple(names)


def separation(model: SegmentModel, matrix: np.ndarray, number: np.ndarray) -> float:
    """How much nearer people are to their own segment than to the next (silhouette), -1 to 1; 0 where there is one."""
    from sklearn.metrics import silhouette_score

    some = slice(0, MOST_COMPARED)
    if len(np.unique(number[some])) < 2:
        return 0.0
    return float(silhouette_score(model.ranks(matrix[some]), number[some]))


def _edges(values: np.ndarray) -> tuple[float, ...]:
    known = values[~np.isnan(values)]
    if not len(known):
        return ()
    return tuple(np.quantile(known, np.linspace(0, 1, STEPS + 1)[1:-1]).astype(float).tolist())
