"""How good a prediction was: what was said beside what came true."""

from __future__ import annotations

from typing import Any

import numpy as np

BINS = 10


def binary_metrics(truth: np.ndarray, probability: np.ndarray) -> dict[str, Any]:
    """Of probabilities against what came true (0 or 1).

    auc: how often somebody with is placed above somebody without. log_loss, brier: errors of the probabilities.
    calibration_error: how far probability and frequency are apart, in mean over tenths of people. lift_at_10: how many
    more of the tenth with the highest scores have it than of all. tenths: of each tenth, the highest first, the mean
    probability, the frequency and the number of people.
    """
    from sklearn.metrics import log_loss, roc_auc_score

    clipped = np.clip(probability.astype(float), 1e-6, 1 - 1e-6)
    tenths = _tenths(truth, clipped)
    base = float(truth.mean())
    return {
        "auc": float(roc_auc_score(truth, probability)),
        "log_loss": float(log_loss(truth, clipped)),
        "brier": float(np.mean((clipped - truth) ** 2)),
        "calibration_error": sum(abs(said - came) * count for said, came, count in tenths) / len(truth),
        "lift_at_10": tenths[0][1] / base if base else 0.0,
        "base_rate": base,
        "count": len(truth),
        "tenths": tenths,
    }


def value_metrics(truth: np.ndarray, expected: np.ndarray) -> dict[str, Any]:
    """Of expected amounts against what was spent, in the same money.

    mean_absolute_error and root_mean_squared_error a person; total_error: the sum that was expected less what was
    spent, as a share of it; rank_correlation (Spearman); top_tenth_share: the share of all that was spent which the
    tenth with the highest expectation spent; tenths as in binary_metrics, in money.
    """
    from scipy.stats import spearmanr

    total = float(truth.sum())
    tenths = _tenths(truth, expected)
    varies = len(truth) > 1 and np.ptp(expected) > 0 and np.ptp(truth) > 0
    return {
        "mean_absolute_error": float(np.abs(expected - truth).mean()),
        "root_mean_squared_error": float(np.sqrt(np.mean((expected - truth) ** 2))),
        "total_error": float(expected.sum()) / total - 1 if total else 0.0,
        "rank_correlation": float(spearmanr(truth, expected).statistic) if varies else 0.0,
        "top_tenth_share": tenths[0][1] * tenths[0][2] / total if total else 0.0,
        "mean": float(truth.mean()),
        "count": len(truth),
        "tenths": tenths,
    }


def _tenths(truth: np.ndarray, said: np.ndarray) -> list[tuple[float, float, int]]:
    # Of equal scores none is better than the others: each place has the mean of what came true among its equals.
    values, group = np.unique(said, return_inverse=True)
    came = np.bincount(group, truth) / np.bincount(group, minlength=len(values))
    order = np.argsort(-said, kind="stable")
    parts = [part for part in np.array_split(order, BINS) if len(part)]
    return [(float(said[part].mean()), float(came[group[part]].mean()), len(part)) for part in parts]
