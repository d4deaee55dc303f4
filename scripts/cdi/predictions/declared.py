"""What is to be predicted, as the YAML of models/predictions declares it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cdi.predictions.frames import Rows


@dataclass(frozen=True)
class Prediction:
    """A declared prediction; macros/predictions/declarations.sql has checked it."""

    name: str
    kind: str
    """purchase, churn, value, lookalike or segments."""
    version: str
    """Hash of all that a trained model depends on."""
    features: tuple[str, ...]
    within_days: int | None
    active_within_days: int | None
    """Of churn: how many days ago the event may have happened last."""
    recency: str | None
    """The feature that says how many days ago the event happened last."""
    clusters: int | None
    """Of segments: how many."""
    descriptions: tuple[str, ...]
    """Of segments: what each feature is, in words."""
    random_seed: int
    is_due: bool
    as_of: datetime

    @property
    def label(self) -> str:
        """The column of training_examples that says what came true."""
        return f"label_{self.name}"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of features that training and scoring read."""
        more = {"value": ORDER_FEATURES}.get(self.kind, ())
        return tuple(dict.fromkeys([*self.features, *([self.recency] if self.recency else []), *more]))


ORDER_FEATURES = (
    "count_orders", "days_since_first_order", "days_since_last_order", "average_order_value", "revenue_365_days",
)  # fmt: skip
"""What is known of a customer's orders, which the models of lifetime value are made from."""


def read_declared(rows: Rows) -> list[Prediction]:
    """The predictions in the table declared_predictions."""
    table = rows.table(["definition", "is_due", "as_of"])
    return [_prediction(row) for row in table.to_pylist()]


def _prediction(row: dict[str, Any]) -> Prediction:
    found = json.loads(row["definition"])
    return Prediction(
        name=found["name"],
        kind=found["kind"],
        version=found["version"],
        features=tuple(found["features"]),
        within_days=found["within_days"],
        active_within_days=found["active_within_days"],
        recency=found["recency"],
        clusters=found["clusters"],
        descriptions=tuple(found["descriptions"]),
        random_seed=found["random_seed"],
        is_due=row["is_due"],
        as_of=row["as_of"],
    )
