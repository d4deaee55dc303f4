"""What is learned from the records: how often people agree by chance, and how often one person's profiles do."""

from __future__ import annotations

import math
from typing import Any

import duckdb

from cdi.identity.matching.comparisons import COMPARISONS

Probabilities = dict[tuple[str, str], float]
"""Comparison and level's label to a probability."""

M_START_PAIRS = 20
"""How many pairs of one person the start values of `m` are worth against what is learned."""
MAX_ITERATIONS = 100
START_RATE = 0.1
"""Second profiles per profile, to begin learning with."""


def estimate_rare_u(engine: duckdb.DuckDBPyConnection) -> Probabilities:
    """How often two different people agree in fields where a random sample would hold no pair that does."""
    found: Probabilities = {}
    for comparison in COMPARISONS:
        if not comparison.is_rare:
            continue
        counted = dict(
            engine.execute(
                f"""
                select level_{comparison.name}, count(*) from pairs
                where first_name_l <> first_name_r or last_name_l <> last_name_r group by all
                """
            ).fetchall()
        )
        # All pairs less those of namesakes.
        pairs = scalar(
            engine,
            f"""
            select coalesce((sum(records) * sum(records) - sum(records * records)) / 2, 0)
            from (
                select cast(count(*) as double) as records
                from records
                where {comparison.columns[0]} is not null and first_name is not null and last_name is not null
                group by first_name, last_name
            )
            """,
        )
        for place, level in enumerate(comparison.levels[:-1]):
            found[comparison.name, level.label] = (counted.get(place, 0) + 1) / (pairs + 1 / comparison.u_start)
        found[comparison.name, comparison.levels[-1].label] = 1 - sum(
            found[comparison.name, level.label] for level in comparison.levels[:-1]
        )
    return found


def estimate_m(engine: duckdb.DuckDBPyConnection, u: Probabilities) -> tuple[Probabilities, float, list[str]]:
    """How often two profiles of one person agree, and how many of all pairs are one person.

    Expectation maximisation over all pairs that are compared, by how many show which levels. splink's own takes a
    level that no pair shows for impossible and breaks on few pairs: here the start values count as M_START_PAIRS pairs
    beside those learned from.
    """
    levels = ", ".join(f"level_{comparison.name}" for comparison in COMPARISONS)
    patterns = [
        (
            [
                (comparison.name, comparison.levels[place].label)
                for comparison, place in zip(COMPARISONS, row[:-1], strict=True)
                if place is not None
            ],
            row[-1],
        )
        for row in engine.execute(f"select {levels}, count(*) from pairs group by all order by all").fetchall()
    ]
    records = scalar(engine, "select cast(count(*) as double) from records")
    pairs = records * (records - 1) / 2
    m = {(comparison.name, level.label): level.m for comparison in COMPARISONS for level in comparison.levels}
    prior = START_RATE * records / pairs
    seen: dict[tuple[str, str], float] = {}
    for _ in range(MAX_ITERATIONS):
        seen, matches = dict.fromkeys(m, 0.0), 0.0
        for known, count in patterns:
            odds = prior / (1 - prior) * math.prod(m[key] / u[key] for key in known)
            matched = count * odds / (1 + odds)
            matches += matched
            for key in known:
                seen[key] += matched
        before, m = m, {}
        for comparison in COMPARISONS:
            learned = sum(seen[comparison.name, level.label] for level in comparison.levels)
            for level in comparison.levels:
                key = (comparison.name, level.label)
                m[key] = (seen[key] + level.m * M_START_PAIRS) / (learned + M_START_PAIRS)
        change = max(abs(m[key] - before[key]) for key in m) + abs(matches / pairs / prior - 1)
        prior = max(matches, 0.1) / pairs
        if change < 1e-4:
            break
    few = [
        comparison.name.replace("_", " ")
        for comparison in COMPARISONS
        if sum(seen[comparison.name, level.label] for level in comparison.levels) < M_START_PAIRS
    ]
    notes = [f"Few pairs to learn from: {', '.join(few)} weigh mostly as their start values say."] if few else []
    return m, prior, notes


def scalar(engine: duckdb.DuckDBPyConnection, sql: str) -> Any:
    """The one value of a query."""
    return engine.execute(sql).fetchall()[0][0]
