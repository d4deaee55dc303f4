"""The functions of predictions by themselves: against other implementations, known answers and rules."""

from __future__ import annotations

import json
from datetime import datetime
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifetimes import BetaGeoFitter, GammaGammaFitter

from cdi.predictions import drift, frames, scoring, training
from cdi.predictions.binary import BinaryModel, fit_binary, fit_recency
from cdi.predictions.evaluate import binary_metrics, value_metrics
from cdi.predictions.frames import matrix, rows_of
from cdi.predictions.lifetime_value import BuyingModel, fit_buying, fit_spend
from cdi.predictions.segments import fit_segments, name_segments

PUBLISHED = BuyingModel(0.243, 4.414 * 7, 0.793, 2.426)
"""Fader, Hardie and Lee (2005), table 2: the customers of CDNOW, alpha in weeks."""


@pytest.fixture(scope="module")
def cdnow() -> pd.DataFrame:
    """frequency, recency and T in weeks of 2,357 customers, and the mean value of their repeated orders."""
    folder = files("lifetimes") / "datasets"
    names = ["of_all", "customer_id", "date", "cds", "dollar_value"]
    found = pd.read_csv(str(folder / "CDNOW_sample.txt"), sep=r"\s+", header=None, names=names, dtype={"date": str})
    found["date"] = pd.to_datetime(found["date"], format="%Y%m%d")
    days = found.groupby(["customer_id", "date"], as_index=False)["dollar_value"].sum()
    half = pd.Timestamp("1997-09-30")
    first, second = days[days["date"] <= half], days[days["date"] > half]
    by = first.groupby("customer_id")
    again = first[first["date"] > by["date"].transform("min")].groupby("customer_id")["dollar_value"].mean()
    return pd.DataFrame({
        "frequency": by.size() - 1.0,
        "recency": (by["date"].max() - by["date"].min()).dt.days / 7,
        "T": (half - by["date"].min()).dt.days / 7,
        "value": again,
        "came": second.groupby("customer_id").size(),
    }).fillna({"came": 0})  # fmt: skip


def test_buying_is_as_published(cdnow: pd.DataFrame):
    found = fit_buying(cdnow["frequency"].to_numpy(), 7 * cdnow["recency"].to_numpy(), 7 * cdnow["T"].to_numpy())
    assert (found.r, found.alpha / 7, found.a, found.b) == pytest.approx((0.243, 4.414, 0.793, 2.426), abs=0.001)


def test_expected_orders_are_those_of_lifetimes_and_as_good_as_published(cdnow: pd.DataFrame):
    x, recency, age = (cdnow[name].to_numpy() for name in ("frequency", "recency", "T"))
    other = BetaGeoFitter()
    other.params_ = pd.Series({"r": 0.243, "alpha": 4.414, "a": 0.793, "b": 2.426})
    wanted = np.asarray(other.conditional_expected_number_of_purchases_up_to_time(39, x, recency, age))
    np.testing.assert_allclose(PUBLISHED.expected_orders(x, 7 * recency, 7 * age, 273), wanted, rtol=1e-6)
    came = cdnow["came"].to_numpy()
    fitted = fit_buying(x, 7 * recency, 7 * age).expected_orders(x, 7 * recency, 7 * age, 273)
    assert np.abs(fitted - came).mean() <= np.abs(wanted - came).mean() + 1e-4


def test_spend_is_that_of_lifetimes(cdnow: pd.DataFrame):
    # Somebody's orders after the first were worth nothing: the model knows only amounts.
    back = cdnow[(cdnow["frequency"] > 0) & (cdnow["value"] > 0)]
    other = GammaGammaFitter().fit(back["frequency"], back["value"])
    found = fit_spend(back["frequency"].to_numpy(), back["value"].to_numpy())
    wanted = other.conditional_expected_average_profit(back["frequency"], back["value"]).to_numpy()
    np.testing.assert_allclose(
        found.expected_value(back["frequency"].to_numpy(), back["value"].to_numpy()), wanted, rtol=0.01
    )


def learnable(count: int, seed: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, truth and people where the first two features say something, and the third nothing."""
    dice = np.random.default_rng(seed)
    values = dice.normal(size=(count, 3)).astype(np.float32)
    truth = (dice.random(count) < 1 / (1 + np.exp(1 - 2 * values[:, 0] + values[:, 1]))).astype(float)
    values[dice.random((count, 3)) < 0.05] = np.nan
    return values, truth, np.arange(count)


def test_probabilities_are_frequencies_and_survive_being_written_down():
    values, truth, people = learnable(20_000)
    model = fit_binary(values[:10_000], truth[:10_000], people[:10_000], ("up", "down", "noise"), 1)
    metrics = binary_metrics(truth[10_000:], model.probability(values[10_000:]))
    assert metrics["auc"] > 0.8
    assert metrics["calibration_error"] < 0.03
    again = BinaryModel.from_json(json.loads(json.dumps(model.as_json())))
    np.testing.assert_array_equal(model.probability(values), again.probability(values))
    assert fit_binary(values[:10_000], truth[:10_000], people[:10_000], ("up", "down", "noise"), 1) == model


def test_reasons_are_what_moves_the_score():
    values, truth, people = learnable(8_000)
    features = ("up", "down", "noise")
    model = fit_binary(values, truth, people, features, 1)
    moved = model.contributions(values)
    # Shapley values add up: what is left is the mean of all, the same for everybody.
    rest = np.log(model.probability(values) / (1 - model.probability(values))) - moved.sum(axis=1)
    assert np.ptp(rest) < 1e-3
    assert np.abs(moved[:, 2]).mean() < 0.2 * np.abs(moved[:, 0]).mean()
    some = np.array([[2.0, 0.5, np.nan], [0.0, -2.25, 1.0]], dtype=np.float32)
    said = scoring.reasons(features, some, np.array([[1.5, -0.25, 0.0], [-0.1, 0.756, 0.2]])).to_pylist()
    assert said == [
        "up 2 (+1.5), down 0.5 (-0.25), noise unknown (+0)",
        "down -2.25 (+0.76), noise 1 (+0.2), up 0 (-0.1)",
    ]


def test_the_baseline_knows_only_how_long_ago():
    dice = np.random.default_rng(1)
    days = dice.uniform(0, 100, 5_000)
    truth = (dice.random(5_000) < 1 / (1 + days / 5)).astype(float)
    days[:500], truth[:500] = np.nan, 0.0
    model = fit_recency(days, truth)
    assert model.probability(np.array([np.nan]))[0] < 0.01
    said = model.probability(np.array([0.0, 5.0, 50.0]))
    assert (np.diff(said) < 0).all()
    assert said[1] == pytest.approx(0.5, abs=0.1)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 4)), min_size=30, max_size=80))
def test_metrics_do_not_depend_on_the_order_of_people(pairs: list[tuple[int, int]]):
    truth = np.array([float(one) for one, _ in pairs] + [0.0, 1.0])
    said = np.array([score / 5 for _, score in pairs] + [0.1, 0.1])
    shuffled = np.random.default_rng(0).permutation(len(truth))
    one, other = binary_metrics(truth, said), binary_metrics(truth[shuffled], said[shuffled])
    tenths = one.pop("tenths")
    assert np.array(tenths) == pytest.approx(np.array(other.pop("tenths")))
    assert one == pytest.approx(other)
    # Tenths hold everybody once.
    assert sum(came * count for _, came, count in tenths) == pytest.approx(truth.sum())


def test_a_score_that_says_nothing_lifts_nothing():
    truth = np.array([1.0, 0.0] * 100)
    assert binary_metrics(truth, np.full(200, 0.5))["lift_at_10"] == pytest.approx(1)
    assert binary_metrics(truth, truth * 0.8 + 0.1)["lift_at_10"] == pytest.approx(2)
    money = value_metrics(np.array([0.0, 10.0] * 50), np.full(100, 6.0))
    assert (money["mean_absolute_error"], money["total_error"]) == (5.0, pytest.approx(0.2))


@given(st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(float("nan"))), min_size=1, max_size=60))
def test_nothing_has_drifted_from_itself(values: list[float]):
    found = np.array(values)
    before = drift.distribution(found)
    assert sum(before["shares"]) == pytest.approx(1)
    assert drift.stability_index(before["shares"], drift.count_in_bins(found, np.array(before["edges"]))) == 0


def test_what_has_moved_has_drifted():
    dice = np.random.default_rng(1)
    before = drift.distribution(dice.normal(size=5_000))

    def index(values: np.ndarray) -> float:
        return drift.stability_index(before["shares"], drift.count_in_bins(values, np.array(before["edges"])))

    assert index(dice.normal(size=5_000)) < 0.02
    assert index(dice.normal(1, 1, size=5_000)) > 0.25


def test_segments_are_the_groups_that_there_are_and_say_what_they_are():
    dice = np.random.default_rng(1)
    values = np.vstack([
        dice.poisson((0, 0), (600, 2)), dice.poisson((9, 0), (300, 2)), dice.poisson((0, 9), (100, 2)),
    ]).astype(np.float32)  # fmt: skip
    model = fit_segments(values, ("orders", "refunds"), ("Orders.", "Refunds, in euro."), 3, 1)
    number, closeness = model.assign(values)
    truth = np.repeat([0, 1, 2], [600, 300, 100])
    assert (number == truth).mean() > 0.85
    assert ((closeness >= 0) & (closeness <= 1)).all()
    assert model.names[1].startswith("more orders")
    assert "more refunds" in model.names[2]
    assert len(set(model.names)) == 3


@given(st.integers(2, 6), st.integers(1, 5), st.integers(0, 1000))
def test_names_of_segments_differ(clusters: int, features: int, seed: int):
    differences = np.random.default_rng(seed).choice([-1.0, 0.5], (clusters, features))
    names = name_segments(differences, [f"Feature {place}." for place in range(features)])
    assert len(set(names)) == clusters


def declared(**fields: Any) -> pd.DataFrame:
    definition = {
        "name": "one", "kind": "purchase", "version": "1", "features": ["days", "visits"], "within_days": 30,
        "active_within_days": None, "recency": "days", "clusters": None, "descriptions": [], "random_seed": 1, **fields,
    }  # fmt: skip
    return pd.DataFrame([{"definition": json.dumps(definition), "is_due": True, "as_of": datetime(2026, 6, 1)}])


def examples(count: int) -> pd.DataFrame:
    dice = np.random.default_rng(5)
    days, visits = dice.uniform(1, 100, count), dice.integers(0, 9, count)
    return pd.DataFrame({
        "profile_id": [f"p{number // 2}" for number in range(count)],
        "as_of": [datetime(2026, 5, 2) if number % 2 else datetime(2026, 4, 2) for number in range(count)],
        "days_ago": [30 if number % 2 else 60 for number in range(count)],
        "days": days,
        "visits": visits,
        "label_one": (dice.random(count) < visits * 2 / (10 + days)).astype(float),
    })  # fmt: skip


class Snowpark:
    """A frame as Snowflake's is: lazy, with names in capitals, read with to_pandas or a part at a time."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame.rename(columns=str.upper)
        self.columns = list(self._frame.columns)

    def select(self, *columns: str) -> Snowpark:
        return Snowpark(self._frame[list(columns)])

    def to_pandas(self) -> pd.DataFrame:
        return self._frame

    def to_pandas_batches(self) -> list[pd.DataFrame]:
        half = len(self._frame) // 2
        return [self._frame[:half], self._frame[half:]]


def job(wrap: Any, rows: int = 4_000) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train and score through frames, as the Python models of a warehouse do."""
    given_examples = wrap(examples(rows))
    trained = frames.answer(
        given_examples, training.SCHEMA, training.train(rows_of(given_examples), rows_of(wrap(declared())))
    )
    profiles = wrap(examples(1_000).drop_duplicates("profile_id"))
    seeds = wrap(pd.DataFrame({"prediction": pd.Series([], dtype=str), "profile_id": pd.Series([], dtype=str)}))
    inputs = (rows_of(profiles), rows_of(wrap(declared())), rows_of(wrap(trained)), rows_of(seeds))
    scores = frames.answer(profiles, scoring.SCHEMA, scoring.score(*inputs))
    assert set(frames.answer(profiles, drift.SCHEMA, drift.measure(*inputs))["feature"]) == {
        "days",
        "visits",
        "(score)",
    }
    return trained, scores


def test_frames_of_other_warehouses_give_the_same():
    trained, scores = job(lambda frame: frame)
    assert json.loads(trained["metrics"][0])["model"]["auc"] > 0.6
    assert len(scores) == 500
    assert scores["score"].between(0, 1).all()
    others, other_scores = job(Snowpark)
    pd.testing.assert_frame_equal(trained, others)
    key = ["profile_id"]
    pd.testing.assert_frame_equal(
        scores.sort_values(key, ignore_index=True), other_scores.sort_values(key, ignore_index=True)
    )


def test_too_little_is_said_and_not_learned():
    few = examples(160)
    rows = list(training.train(rows_of(few), rows_of(declared())))
    row = rows[0].to_pylist()[0]
    assert row["model"] is None
    assert "100 of each are needed" in row["reason"]
    none = examples(0)
    assert "reach back" in next(iter(training.train(rows_of(none), rows_of(declared())))).to_pylist()[0]["reason"]


def test_a_matrix_knows_what_is_unknown():
    table = pa.table({"count": pa.array([1, None], pa.int32()), "sum": pa.array([None, 2], pa.decimal128(18, 4))})
    np.testing.assert_array_equal(matrix(table, ["sum", "count"]), np.array([[np.nan, 1], [2, np.nan]], np.float32))
