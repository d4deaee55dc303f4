"""`cdi predict`: what dbt's Python models do, where the adapter runs none: train, score and write the same tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.table import Table

from cdi.dbt import load_manifest
from cdi.errors import UsageError
from cdi.predictions import drift, scoring, training
from cdi.project import Project
from cdi.warehouse import Warehouse, connect, quote

PYTHON_ADAPTERS = ("duckdb", "snowflake", "bigquery", "databricks")
"""As macros/predictions/tables.sql has them."""

Relation = tuple[str, str]
"""Schema and table."""


@dataclass
class Predicted:
    """What one run did: per prediction that was due, its method or why there is none; the number of scores."""

    trained: dict[str, str] = field(default_factory=dict)
    count_scores: int = 0


class TableRows:
    """A table of a warehouse as cdi.predictions.frames.Rows."""

    def __init__(self, warehouse: Warehouse, relation: Relation) -> None:
        self.warehouse = warehouse
        self.relation = quote(*relation)
        self.names = warehouse.column_names(*relation)

    def table(self, columns: Sequence[str], known: str | None = None) -> pa.Table:
        """See Rows."""
        condition = f" where {quote(known)} is not null" if known else ""
        batches = list(self.warehouse.stream(f"{self._select(columns)}{condition}"))
        return pa.Table.from_batches(batches)

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """See Rows."""
        yield from self.warehouse.stream(self._select(columns))

    def _select(self, columns: Sequence[str]) -> str:
        return f"select {', '.join(quote(name) for name in columns)} from {self.relation}"


def runs_python(project: Project) -> bool:
    """Whether dbt itself predicts on the project's target."""
    return project.dialect in PYTHON_ADAPTERS


def predict(project: Project, manifest: Any = None) -> Predicted:
    """Train the predictions that are due, and write scores anew.

    Raises UsageError on a target whose adapter runs Python models, and where the features have not been built.
    """
    if runs_python(project):
        raise UsageError(
            f"On target {project.target} dbt predicts by itself.", "Run `dbt build --select path:models/predictions`."
        )
    manifest = manifest or load_manifest(project)
    relations = {
        node.name: (node.schema, node.alias) for node in manifest.nodes.values() if node.resource_type == "model"
    }
    relations |= {
        node.name: (node.schema, node.identifier)
        for node in manifest.sources.values()
        if node.source_name == "predicted"
    }
    done = Predicted()
    # A query that is being read keeps its connection busy: one reads, the other writes.
    with connect(project) as reading, connect(project) as writing, writing.lock("cdi predict"):
        for name in ("profile_features", "training_examples", "declared_predictions", "trained_models"):
            if not reading.relation_exists(*relations[name]):
                raise UsageError(
                    f"{'.'.join(relations[name])} is not there: it has not been built yet.",
                    "Build it with `cdi run` or `dbt build`.",
                )

        def rows(name: str) -> TableRows:
            return TableRows(reading, relations[name])

        trained = list(training.train(rows("training_examples"), rows("declared_predictions")))
        known = {row[0] for row in writing.query(f"select model_id from {quote(*relations['trained_models'])}")}
        new = [batch for batch in trained if batch.column("model_id")[0].as_py() not in known]
        with writing.transaction():
            writing.append(quote(*relations["trained_models"]), pa.RecordBatchReader.from_batches(training.SCHEMA, new))
        done.trained = {row["prediction"]: row["reason"] or row["method"] for batch in new for row in batch.to_pylist()}
        inputs = [
            rows(name) for name in ("profile_features", "declared_predictions", "trained_models", "prediction_seeds")
        ]
        done.count_scores = _replace(writing, relations["scores"], scoring.SCHEMA, scoring.score(*inputs))
        _replace(writing, relations["prediction_drift"], drift.SCHEMA, drift.measure(*inputs))
    return done


def _replace(warehouse: Warehouse, relation: Relation, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> int:
    """Put rows in the place of all that a table holds, at once; returns their number."""
    with warehouse.transaction():
        warehouse.execute(f"delete from {quote(*relation)}")
        return warehouse.append(quote(*relation), pa.RecordBatchReader.from_batches(schema, batches))


def show_predicted(console: Console, predicted: Predicted) -> None:
    """Print what was trained and how many scores there are."""
    table = Table(box=None, header_style="dim")
    table.add_column("trained")
    table.add_column("by")
    for name, method in predicted.trained.items():
        table.add_row(name, method)
    if predicted.trained:
        console.print(table)
    else:
        console.print("No prediction was due to be trained.")
    console.print(f"{predicted.count_scores:,} scores.")
