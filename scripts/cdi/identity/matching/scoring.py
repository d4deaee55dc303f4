"""How likely it is that pairs are one person: splink's model, with what was learned."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb
from splink import DuckDBAPI, Linker, SettingsCreator
from splink.blocking_rule_library import CustomRule
from splink.comparison_level_library import CustomLevel
from splink.comparison_library import CustomComparison

from cdi.identity.matching.comparisons import COMPARISONS, Comparison
from cdi.identity.matching.learning import Probabilities, estimate_m, estimate_rare_u

LOWEST_PROBABILITY = 0.5
"""Pairs less likely than this are not kept."""
SEED = 1
"""Of the random pairs."""
U_PAIRS = 3_000_000
"""Random pairs that the `u` of names, birthdays and places are counted on."""


def score(engine: duckdb.DuckDBPyConnection) -> tuple[str, list[str]]:
    """Score the `pairs` of `records`; returns the table of those likely enough, and notes for the reader.

    The same records give the same scores.
    """
    with _quiet_splink():
        # One thread adds up numbers in one order.
        engine.execute("set threads = 1")
        api = DuckDBAPI(connection=engine)
        engine.execute("create table people as select * from records where is_first order by unique_id")
        u = _estimate_common_u(api.register("people")) | estimate_rare_u(engine)
        m, prior, notes = estimate_m(engine, u)
        engine.execute("reset threads")
        linker = Linker(api.register("records"), _settings(COMPARISONS, m, u, prior), log_level=None)
        engine.execute(
            "create table keys as select id_l as join_key_l, id_r as join_key_r, '0' as match_key from pairs"
        )
        linker.table_management.register_blocked_pairs_for_predict(api.register("keys"))
        predictions = linker.inference.predict(threshold_match_probability=LOWEST_PROBABILITY, warning_mode="never")
    return predictions.physical_name, notes


def _settings(comparisons: Sequence[Comparison], m: Probabilities, u: Probabilities, prior: float) -> SettingsCreator:
    """The comparisons as splink's settings; `m` and `u` are {(comparison, level's label): probability}."""
    return SettingsCreator(
        link_type="dedupe_only",
        unique_id_column_name="unique_id",
        probability_two_random_records_match=prior,
        comparisons=[
            CustomComparison(
                output_column_name=comparison.name,
                comparison_levels=[
                    CustomLevel(comparison.unknown, "unknown").configure(is_null_level=True),
                    *(
                        CustomLevel(level.condition, level.label).configure(
                            m_probability=m.get((comparison.name, level.label), level.m),
                            u_probability=u.get((comparison.name, level.label)),
                            tf_adjustment_column=level.frequency_of,
                        )
                        for level in comparison.levels
                    ),
                ],
            )
            for comparison in comparisons
        ],
        # The pairs are chosen by BLOCKS; splink wants to hear a rule all the same.
        blocking_rules_to_generate_predictions=[CustomRule("l.unique_id = r.unique_id")],
        additional_columns_to_retain=["profile_id"],
        retain_intermediate_calculation_columns=True,
    )


def _estimate_common_u(records: Any) -> Probabilities:
    """How often two different people agree in fields where many do, counted on random pairs."""
    common = [comparison for comparison in COMPARISONS if not comparison.is_rare]
    linker = Linker(records, _settings(common, {}, {}, 1e-4), log_level=None)
    linker.training.estimate_u_using_random_sampling(
        max_pairs=U_PAIRS, seed=SEED, min_count_per_level=None, num_chunks=1
    )
    return {
        key: max(value, 1e-6) for key, value in _parameters(linker.misc.save_model_to_json(), "u_probability").items()
    }


def _parameters(model: Mapping[str, Any], kind: str) -> Probabilities:
    """The probabilities of a model, {(comparison, level's label): value}; 0 for a level that was never seen."""
    return {
        (comparison["output_column_name"], level["label_for_charts"]): value if isinstance(value, float) else 0.0
        for comparison in model["comparisons"]
        for level in comparison["comparison_levels"]
        if not level.get("is_null_level")
        for value in [level.get(kind)]
    }


@contextmanager
def _quiet_splink() -> Iterator[None]:
    """Keep splink's log to itself: it tells of settings and statements that a user of cdi did not write."""
    logger = logging.getLogger("splink")
    before = logger.disabled, logger.level, logger.propagate
    logger.setLevel(logging.CRITICAL + 1)
    logger.propagate = False
    try:
        yield
    finally:
        logger.disabled, logger.level, logger.propagate = before
