"""What customers will spend: BG/NBD with Gamma-Gamma, gradient boosting, and a baseline.

BG/NBD (Fader, Hardie and Lee, 2005) says how many orders come from how many there were, how long ago the last and the
first are; Gamma-Gamma (Fader and Hardie, 2013) what an order is worth. Both are written here from the papers: of the
packages that have them, lifetimes and btyd are no longer kept, and pymc-marketing brings a compiler of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from cdi.predictions.binary import contributions, grow, held_out_people, load_trees, save_trees


@dataclass(frozen=True)
class Orders:
    """Of each customer: how many orders, days since the first and the last, their mean value, revenue of 365 days."""

    count: np.ndarray
    age: np.ndarray
    days_since_last: np.ndarray
    mean_value: np.ndarray
    revenue_365_days: np.ndarray

    @property
    def repeats(self) -> np.ndarray:
        """Orders after the first."""
        return self.count - 1.0

    @property
    def recency(self) -> np.ndarray:
        """Days from the first order to the last."""
        return np.maximum(self.age - self.days_since_last, 0.0)


@dataclass(frozen=True)
class BuyingModel:
    """BG/NBD: parameters of how often people buy (r, alpha in days) and how soon they are gone (a, b)."""

    r: float
    alpha: float
    a: float
    b: float

    def expected_orders(self, repeats: np.ndarray, recency: np.ndarray, age: np.ndarray, days: float) -> np.ndarray:
        """The orders that are expected within `days`."""
        from scipy.special import hyp2f1

        r, alpha, a, b = self.r, self.alpha, self.a, self.b
        later = alpha + age + days
        series = hyp2f1(r + repeats, b + repeats, a + b + repeats - 1, days / later)
        bought = (a + b + repeats - 1) / (a - 1) * (1 - ((alpha + age) / later) ** (r + repeats) * series)
        gone = a / (b + np.maximum(repeats, 1) - 1) * ((alpha + age) / (alpha + recency)) ** (r + repeats)
        return bought / (1 + np.where(repeats > 0, gone, 0.0))


def fit_buying(repeats: np.ndarray, recency: np.ndarray, age: np.ndarray) -> BuyingModel:
    """The parameters under which what was seen is likeliest. Times are in days."""
    from scipy.optimize import minimize
    from scipy.special import betaln, gammaln

    # Weeks, as the papers count: numbers near one are found quicker.
    recency, age = recency / 7.0, age / 7.0
    once, back = repeats == 0, np.maximum(repeats, 1.0)

    def surprise(logs: np.ndarray) -> float:
        r, alpha, a, b = np.exp(logs)
        orders = gammaln(r + repeats) - gammaln(r) + r * np.log(alpha)
        here = betaln(a, b + repeats) - betaln(a, b) - (r + repeats) * np.log(alpha + age)
        left = betaln(a + 1, b + back - 1) - betaln(a, b) - (r + repeats) * np.log(alpha + recency)
        return -float(np.mean(orders + np.where(once, here, np.logaddexp(here, left))))

    best = min(
        (
            minimize(surprise, start, method="L-BFGS-B", bounds=[(-7, 9)] * 4)
            for start in ([0.0, 1.0, 0.0, 1.0], [-1.0, 2.0, -0.5, 0.5])
        ),
        key=lambda found: found.fun,
    )
    r, alpha, a, b = np.exp(best.x)
    # At a = 1 the expectation has no closed form; next to it, it has.
    return BuyingModel(float(r), float(alpha) * 7.0, float(a) + (1e-4 if abs(a - 1) < 1e-4 else 0.0), float(b))


@dataclass(frozen=True)
class SpendModel:
    """Gamma-Gamma: parameters of what an order is worth, differing between people more than within."""

    p: float
    q: float
    v: float

    def expected_value(self, count: np.ndarray, mean_value: np.ndarray) -> np.ndarray:
        """The mean value that is expected of a person's orders, of `count` orders with this mean so far."""
        return self.p * (self.v + count * mean_value) / (self.p * count + self.q - 1)


def fit_spend(count: np.ndarray, mean_value: np.ndarray) -> SpendModel:
    """The parameters under which the mean values that were seen are likeliest. All values are above zero."""
    from scipy.optimize import minimize
    from scipy.special import gammaln

    scale = float(mean_value.mean())
    means = mean_value / scale

    def surprise(logs: np.ndarray) -> float:
        p, v = np.exp(logs[[0, 2]])
        q = 1.0 + np.exp(logs[1])
        seen = (
            gammaln(p * count + q) - gammaln(p * count) - gammaln(q) + q * np.log(v) + (p * count - 1) * np.log(means)
            + p * count * np.log(count) - (p * count + q) * np.log(count * means + v)
        )  # fmt: skip
        return -float(np.mean(seen))

    found = minimize(surprise, [1.0, 1.0, 0.5], method="L-BFGS-B", bounds=[(-5, 8)] * 3)
    p, v = np.exp(found.x[[0, 2]])
    return SpendModel(float(p), 1.0 + float(np.exp(found.x[1])), float(v) * scale)


@dataclass(frozen=True)
class BuyTillYouDie:
    """Orders by BG/NBD, times their value by Gamma-Gamma."""

    buying: BuyingModel
    spend: SpendModel
    days: int

    method = "BG/NBD with Gamma-Gamma"

    def value(self, matrix: np.ndarray, orders: Orders) -> np.ndarray:
        """The revenue that is expected of each customer."""
        count = self.buying.expected_orders(orders.repeats, orders.recency, orders.age, self.days)
        return count * self.spend.expected_value(orders.count, _positive(orders.mean_value))

    def as_json(self) -> dict[str, Any]:
        """The model as plain values."""
        return {"buying": asdict(self.buying), "spend": asdict(self.spend), "days": self.days}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> BuyTillYouDie:
        """The model that `as_json` wrote."""
        return cls(BuyingModel(**found["buying"]), SpendModel(**found["spend"]), found["days"])


def fit_buy_till_you_die(orders: Orders, days: int) -> BuyTillYouDie:
    """Learn from what customers have ordered so far; needs nothing of what came after."""
    buying = fit_buying(orders.repeats, orders.recency, np.maximum(orders.age, 1.0))
    spent = orders.mean_value > 0
    return BuyTillYouDie(buying, fit_spend(orders.count[spent], orders.mean_value[spent]), days)


@dataclass(frozen=True)
class LearnedValue:
    """Trees that say the logarithm of the revenue to expect, with a factor that makes the sum right."""

    features: tuple[str, ...]
    trees: str
    factor: float

    method = "gradient boosting"

    def value(self, matrix: np.ndarray, orders: Orders) -> np.ndarray:
        """The revenue that is expected of each row of a matrix of the features."""
        return self.factor * self._booster.inplace_predict(matrix).astype(float)

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """How far each feature moves the logarithm of each row's value (Shapley values), a column per feature."""
        return contributions(self._booster, matrix)

    @cached_property
    def _booster(self) -> Any:
        return load_trees(self.trees)

    def as_json(self) -> dict[str, Any]:
        """The model as plain values."""
        return {"features": list(self.features), "trees": self.trees, "factor": self.factor}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> LearnedValue:
        """The model that `as_json` wrote."""
        return cls(tuple(found["features"]), found["trees"], found["factor"])


def fit_learned_value(
    matrix: np.ndarray, revenue: np.ndarray, people: np.ndarray, features: Sequence[str], random_seed: int
) -> LearnedValue:
    """Learn the revenue of a window, mostly nothing and sometimes much (Tweedie), from a matrix of features."""
    held_out = held_out_people(people, random_seed)
    objective = {"objective": "reg:tweedie", "tweedie_variance_power": 1.4, "eval_metric": "tweedie-nloglik@1.4"}
    # What was given back may be more than was bought.
    revenue = np.maximum(revenue, 0.0)
    booster = grow(matrix, revenue, held_out, objective, random_seed)
    said = float(booster.inplace_predict(matrix[held_out]).sum())
    came = float(revenue[held_out].sum())
    # A few people say too little of the sum for more than a correction.
    factor = min(max(came / said, 0.8), 1.25) if said > 0 and came > 0 else 1.0
    return LearnedValue(tuple(features), save_trees(booster), factor)


def past_rate(orders: Orders, days: int) -> np.ndarray:
    """The baseline: as much a day as in the last 365, or since the first order where that is later."""
    return orders.revenue_365_days / np.clip(orders.age, 30.0, 365.0) * days


def _positive(values: np.ndarray) -> np.ndarray:
    return np.maximum(np.nan_to_num(values), 0.01)
