"""The predictions report: how good each prediction is, what it hangs on, whether people have changed, who moved."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from markupsafe import Markup

from cdi.audiences import is_audience
from cdi.dbt import load_manifest
from cdi.errors import UsageError
from cdi.project import Project
from cdi.report import charts
from cdi.report.page import Section, Tile, write_page
from cdi.warehouse import Warehouse, connect, quote

TOP = 12
"""Features of a list; the tables have the others."""
MUCH = 0.25
"""The stability index from which people have changed much."""
DAYS = 60
"""How far back it is shown who moved."""


def write_report(project: Project, out: Path) -> Path:
    """Write the page and return its path.

    Raises UsageError where nothing has been trained yet.
    """
    manifest = load_manifest(project)
    with connect(project, read_only=True) as warehouse:
        report = Report(warehouse, manifest)
        return write_page(project, out, "Predictions", report.tiles(), report.sections())


class Report:
    """What the page says, asked of one warehouse."""

    def __init__(self, warehouse: Warehouse, manifest: Any) -> None:
        self.warehouse = warehouse
        self.manifest = manifest
        nodes = [node for node in manifest.nodes.values() if node.resource_type == "model"]
        sources = [node for node in manifest.sources.values() if node.source_name in ("predicted", "memberships")]
        self.relations = {node.name: (node.schema, node.alias) for node in nodes}
        self.relations |= {node.name: (node.schema, node.identifier) for node in sources}
        self.declared = {node.name: node for node in nodes if "prediction" in node.config.meta}
        self.runs = self._newest_runs()
        if not self.runs:
            raise UsageError(
                "The warehouse has no predictions yet.",
                "Build them with `cdi run`, or `dbt build --select path:models/predictions` and, on PostgreSQL,"
                " `cdi predict`.",
            )

    def tiles(self) -> list[Tile]:
        """The numbers at the top."""
        scored = dict(
            self.warehouse.query(f"select prediction, count(*) from {self._table('scores')} group by prediction")
        )
        better = sum(bool(run["is_better"]) for run in self.runs.values())
        changed = [name for name, features in self._drift().items() if features.get("(score)", 0) > MUCH]
        return [
            Tile(f"{sum(scored.values()):,}", "scores"),
            Tile(f"{better} of {len(self.runs)}", "predictions better than their baseline",
                 "good" if better == len(self.runs) else "warn"),
            Tile(f"{len(changed)}", "predictions whose scores have drifted", "warn" if changed else "good"),
        ]  # fmt: skip

    def sections(self) -> list[Section]:
        """The parts of the page."""
        drift = self._drift()
        parts = [self._overview()]
        for name, run in self.runs.items():
            if run["metrics"]:
                parts += self._prediction(name, run, drift.get(name, {}))
        return [*parts, *self._moved()]

    def _newest_runs(self) -> dict[str, dict[str, Any]]:
        schema, table = self.relations["trained_models"]
        if not self.warehouse.relation_exists(schema, table):
            return {}
        rows = self.warehouse.query(
            "select prediction, method, is_better_than_baseline, reason, count_examples, data_from, data_to,"
            f" trained_at, metrics from {self._table('trained_models')} order by trained_at"
        )
        names = ("method", "is_better", "reason", "examples", "data_from", "data_to", "trained_at", "metrics")
        found: dict[str, dict[str, Any]] = {}
        for prediction, *values in rows:
            run = dict(zip(names, values, strict=True))
            run["metrics"] = json.loads(run["metrics"] or "{}")
            # A training without a model leaves the one before it in use.
            if prediction in self.declared and (run["metrics"] or not found.get(prediction, {}).get("metrics")):
                found[prediction] = run
        return dict(sorted(found.items()))

    def _overview(self) -> Section:
        rows = []
        for name, run in self.runs.items():
            state = "no model" if not run["metrics"] else "better" if run["is_better"] else "baseline is used"
            rows.append((
                name, _pill(state, "good" if run["is_better"] else "warn"), run["method"] or "", run["examples"],
                _lines(f"{run['data_from']:%Y-%m-%d}", f"{run['data_to']:%Y-%m-%d}") if run["data_from"] else "",
                _lines(f"{run['trained_at']:%Y-%m-%d}"), run["reason"] or _in_short(run["metrics"]),
            ))  # fmt: skip
        return Section(
            "Predictions", "The newest training of each. What it is worth was measured on people or a time that it had"
            " not learned from.",
            header=("prediction", "", "by", "examples", "data from and to", "trained", ""), rows=tuple(rows),
        )  # fmt: skip

    def _prediction(self, name: str, run: dict[str, Any], drift: dict[str, float]) -> list[Section]:
        metrics, parts = run["metrics"], []
        model = metrics["model"]
        if "tenths" in model:
            tenths = [
                {"tenth": number, "said": said, "came": came}
                for number, (said, came, _) in enumerate(model["tenths"], start=1)
            ]
            money = "root_mean_squared_error" in model
            chart = charts.money_by_tenth(tenths) if money else charts.lift_and_calibration(tenths)
            columns = _MONEY if money else _PROBABILITY
            compared = [
                (run["method"] if key == "model" else key, values)
                for key, values in metrics.items()
                if key != "importance" and key != run["method"]
            ]
            parts.append(Section(
                name, self.declared[name].description, chart, ("", *(title for title, _, _ in columns)),
                tuple((who, *(form.format(values[key]) for _, key, form in columns)) for who, values in compared),
            ))  # fmt: skip
        if "sizes" in model:
            parts.append(Section(
                name, self.declared[name].description, header=("segment", "profiles"),
                rows=tuple(model["sizes"].items()),
            ))  # fmt: skip
        if metrics.get("importance"):
            values = [{"name": key, "value": share} for key, share in list(metrics["importance"].items())[:TOP]]
            parts.append(Section(
                f"{name}: what it hangs on", "How far each feature moves scores in mean, as a share of all.",
                charts.shares(values, f"Importance of features of {name}"),
            ))  # fmt: skip
        if drift:
            most = sorted(drift.items(), key=lambda pair: -pair[1])[:TOP]
            values = [{"name": key, "value": index} for key, index in most]
            parts.append(Section(
                f"{name}: drift", "How far people today are from those that it was judged by: the population stability"
                f" index, above {MUCH} much.",
                charts.shares(values, f"Drift of {name}", limits=(0.1, MUCH), form=".2f"),
            ))  # fmt: skip
        return parts

    def _drift(self) -> dict[str, dict[str, float]]:
        schema, table = self.relations["prediction_drift"]
        if not self.warehouse.relation_exists(schema, table):
            return {}
        found: dict[str, dict[str, float]] = {}
        for prediction, feature, index in self.warehouse.query(
            f"select prediction, feature, stability_index from {self._table('prediction_drift')}"
        ):
            found.setdefault(prediction, {})[feature] = float(index)
        return found

    def _moved(self) -> list[Section]:
        """Who came into audiences that use scores, and who left."""
        predictions = {node.unique_id for node in self.declared.values()}
        audiences = [
            node.name
            for node in self.manifest.nodes.values()
            if is_audience(node) and predictions & set(node.depends_on.nodes)
        ]
        history = self.relations["audience_membership_history"]
        if not audiences or not self.warehouse.relation_exists(*history):
            return []
        since = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=DAYS)
        rows = [
            row
            for row in self.warehouse.query(
                "select audience, count(case when exited_at is null then 1 end),"
                " count(case when entered_at >= $since then 1 end), count(case when exited_at >= $since then 1 end)"
                f" from {quote(*history)} group by audience order by audience",
                {"since": since},
            )
            if row[0] in audiences
        ]
        return [
            Section(
                "Who moved", f"Audiences that use scores: who is in, who came and who left in {DAYS} days. Each person"
                " is in audiences.audience_membership_history.",
                header=("audience", "in it", "came", "left"), rows=tuple(tuple(row) for row in rows),
            )
        ] if rows else []  # fmt: skip

    def _table(self, name: str) -> str:
        return quote(*self.relations[name])


_PROBABILITY = (
    ("AUC", "auc", "{:.3f}"), ("lift at 10%", "lift_at_10", "{:.2f}"), ("log loss", "log_loss", "{:.3f}"),
    ("calibration error", "calibration_error", "{:.3f}"), ("came true", "base_rate", "{:.1%}"),
    ("people", "count", "{:,}"),
)  # fmt: skip
_MONEY = (
    ("absolute error", "mean_absolute_error", "{:,.2f}"), ("squared error", "root_mean_squared_error", "{:,.2f}"),
    ("total", "total_error", "{:+.1%}"), ("rank correlation", "rank_correlation", "{:.3f}"),
    ("the top tenth's share", "top_tenth_share", "{:.1%}"), ("people", "count", "{:,}"),
)  # fmt: skip


def _in_short(metrics: dict[str, Any]) -> str:
    model = metrics["model"]
    if "auc" in model:
        other = f" against {metrics['recency']['auc']:.3f} of recency" if "recency" in metrics else ""
        return f"AUC {model['auc']:.3f}{other}"
    if "mean_absolute_error" in model:
        return f"{model['mean_absolute_error']:,.0f} euro off a head, {model['total_error']:+.0%} in all"
    return f"separation {model['separation']:.2f}"


def _lines(*texts: str) -> Markup:
    """Texts below each other, none of which is broken."""
    return Markup("<br>").join(Markup('<span style="white-space: nowrap">{}</span>').format(text) for text in texts)


def _pill(text: str, state: str) -> Markup:
    return Markup('<span class="pill {}">{}</span>').format(state, text)
