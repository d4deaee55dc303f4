"""Whether something will happen: gradient boosting with calibrated probabilities and reasons, and its baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

ROUNDS = 250
"""Trees at most. That, and that they are three questions deep, keeps the reasons of a million people below a minute."""
PATIENCE = 25
BINS = 128
WORTH_THREADS = 20_000
"""With fewer rows threads wait for each other longer than they work."""
HELD_OUT = 0.2
"""The share of people that say when to stop and how to calibrate."""


@dataclass(frozen=True)
class BinaryModel:
    """Trees, and the line that turns what they say into a probability."""

    features: tuple[str, ...]
    trees: str
    """XGBoost's own JSON."""
    slope: float
    intercept: float

    def probability(self, matrix: np.ndarray) -> np.ndarray:
        """The probability of each row of a matrix of the features."""
        margin = self._booster.inplace_predict(matrix, predict_type="margin")
        return _sigmoid(self.slope * margin + self.intercept)

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """How far each feature moves each row's log-odds from the mean (Shapley values), a column per feature."""
        return self.slope * contributions(self._booster, matrix)

    @cached_property
    def _booster(self) -> Any:
        return load_trees(self.trees)

    def as_json(self) -> dict[str, Any]:
        """The model as plain values."""
        return {
            "features": list(self.features), "trees": self.trees, "slope": self.slope, "intercept": self.intercept,
        }  # fmt: skip

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> BinaryModel:
        """The model that `as_json` wrote."""
        return cls(tuple(found["features"]), found["trees"], found["slope"], found["intercept"])


def fit_binary(
    matrix: np.ndarray, truth: np.ndarray, people: np.ndarray, features: Sequence[str], random_seed: int
) -> BinaryModel:
    """Learn `truth` (0 or 1) from a matrix of features.

    `people` says whose each row is (a number): rows of the people who are held out say how many trees are enough, and
    how to calibrate, so that nobody is on both sides.
    """
    held_out = held_out_people(people, random_seed)
    booster = grow(matrix, truth, held_out, {"objective": "binary:logistic", "eval_metric": "logloss"}, random_seed)
    margin = booster.inplace_predict(matrix[held_out], predict_type="margin")
    slope, intercept = calibrate(margin, truth[held_out])
    return BinaryModel(tuple(features), save_trees(booster), slope, intercept)


def held_out_people(people: np.ndarray, random_seed: int) -> np.ndarray:
    """True for the rows of a share of the people, drawn by the seed."""
    drawn = np.random.default_rng(random_seed).random(int(people.max()) + 1) < HELD_OUT
    return drawn[people]


def grow(
    matrix: np.ndarray, truth: np.ndarray, held_out: np.ndarray, objective: dict[str, Any], random_seed: int
) -> Any:
    """XGBoost's trees, as many as help on the rows that are held out."""
    import xgboost

    parameters = {
        "tree_method": "hist", "max_bin": BINS, "eta": 0.1, "max_depth": 3, "min_child_weight": 8, "subsample": 0.8,
        "colsample_bytree": 0.6, "lambda": 2.0, "seed": random_seed, "verbosity": 0,
        "nthread": 1 if len(matrix) < WORTH_THREADS else 0, **objective,
    }  # fmt: skip
    learned = xgboost.QuantileDMatrix(matrix[~held_out], truth[~held_out], max_bin=BINS)
    checked = xgboost.QuantileDMatrix(matrix[held_out], truth[held_out], max_bin=BINS, ref=learned)
    booster = xgboost.train(
        parameters, learned, ROUNDS, evals=[(checked, "held_out")], early_stopping_rounds=PATIENCE, verbose_eval=False
    )
    return booster[: booster.best_iteration + 1]


def save_trees(booster: Any) -> str:
    """Trees as text."""
    return booster.save_raw("json").decode()


def load_trees(text: str) -> Any:
    """Trees from text."""
    import xgboost

    return xgboost.Booster(model_file=bytearray(text, "utf-8"))


def contributions(booster: Any, matrix: np.ndarray) -> np.ndarray:
    """Shapley values of the trees' margin, a column per feature."""
    import xgboost

    return booster.predict(xgboost.DMatrix(matrix), pred_contribs=True)[:, :-1]


def calibrate(margin: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Slope and intercept that make a margin a log-odds (Platt); unchanged where there is too little to tell."""
    if min(truth.sum(), (1 - truth).sum()) < 10 or np.ptp(margin) == 0:
        return 1.0, 0.0
    from sklearn.linear_model import LogisticRegression

    found = LogisticRegression(C=1e3).fit(margin.reshape(-1, 1), truth)
    slope = float(found.coef_[0, 0])
    return (slope, float(found.intercept_[0])) if slope > 0 else (1.0, 0.0)


@dataclass(frozen=True)
class RecencyModel:
    """The baseline: the probability by how many days ago the event happened last."""

    slope: float
    intercept: float
    never: float
    """The probability of those to whom it never happened."""

    def probability(self, days: np.ndarray) -> np.ndarray:
        """The probability by days since the event; NaN: never."""
        return np.where(np.isnan(days), self.never, _sigmoid(self.slope * np.log1p(days) + self.intercept))


def fit_recency(days: np.ndarray, truth: np.ndarray) -> RecencyModel:
    """Learn `truth` (0 or 1) from nothing but the days since the event (NaN: never)."""
    from sklearn.linear_model import LogisticRegression

    known = ~np.isnan(days)
    never = _share(truth[~known])
    if known.any() and 0 < truth[known].sum() < known.sum() and np.ptp(days[known]) > 0:
        line = LogisticRegression(C=1e3).fit(np.log1p(days[known]).reshape(-1, 1), truth[known])
        return RecencyModel(float(line.coef_[0, 0]), float(line.intercept_[0]), never)
    share = _share(truth[known])
    return RecencyModel(0.0, float(np.log(share / (1 - share))), never)


def _share(truth: np.ndarray) -> float:
    # One with and one without are added, so that no share is 0 or 1.
    return float((truth.sum() + 1) / (len(truth) + 2))


def _sigmoid(log_odds: np.ndarray) -> np.ndarray:
    from scipy.special import expit

    return expit(log_odds)
