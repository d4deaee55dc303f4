"""The scheduled job: land, build, validate, sync, with one summary at the end."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterable, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from cdi.audiences import is_audience
from cdi.dbt import DbtResult, NodeResult, load_manifest, run_dbt
from cdi.errors import GateError, UsageError
from cdi.gates import GateResult, OnFailure
from cdi.gates.checkpoints import Gates, gate_message, import_in_background
from cdi.landing import LandingResult, known_sources, land
from cdi.moments import moment_in_utc
from cdi.pii import refresh_masks
from cdi.predict import predict, runs_python
from cdi.privacy.keep_out import Suppression
from cdi.project import Project
from cdi.run_counts import RUN_COUNTS, ensure_run_counts
from cdi.sync import Asked, SyncResult, sync
from cdi.warehouse import Warehouse, connect, quote

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AudienceSize:
    """How many people an audience holds, and how many it held after the last run that got this far."""

    name: str
    size: int
    size_before: int | None


@dataclass
class RunSummary:
    """What one run did."""

    run_id: str
    landings: list[LandingResult] = field(default_factory=list)
    rows_suppressed: int = 0
    """Rows of suppressed people that others than `cdi land` had put into raw tables."""
    counts: dict[str, int] = field(default_factory=dict)
    """events, profiles, identifiers, violations of the plan, quarantined (events) and merges (profiles absorbed by this
    run), as they are now."""
    counts_before: dict[str, int] = field(default_factory=dict)
    audiences: list[AudienceSize] = field(default_factory=list)
    gates: list[GateResult] = field(default_factory=list)
    syncs: list[SyncResult] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def rows_landed(self) -> int:
        """Rows that came in."""
        return sum(result.rows_landed for result in self.landings)

    @property
    def rows_rejected(self) -> int:
        """Lines that were kept in raw.rejected instead."""
        return sum(result.rows_rejected for result in self.landings)


@dataclass(frozen=True)
class Step:
    """Floors that are built together, and the gates that must be passed before anything above them is."""

    title: str
    selection: list[str]
    gates: tuple[str, ...]
    predicts: bool = False
    """Whether what dbt's Python models do on other targets follows it."""


def _and_above(*floors: str) -> list[str]:
    return [f"path:models/{floor}+" for floor in floors]


# Every model and test is in exactly one step. Identity is where bad events could no longer be taken back, audiences are
# what tools see.
STEPS = (
    Step(
        "events",
        ["--exclude", *_and_above("identity", "profiles", "predictions", "audiences", "activation")],
        ("staging", "events"),
    ),
    Step(
        "profiles",
        [
            "--select",
            *_and_above("identity", "profiles"),
            "--exclude",
            *_and_above("predictions", "audiences", "activation"),
        ],
        ("identity", "profiles"),
    ),
    Step(
        "predictions",
        ["--select", "path:models/predictions"],
        (),
        predicts=True,
    ),
    Step(
        "audiences",
        # Predictions read who was in an audience after the last run, and so stand above a source of theirs.
        ["--select", *_and_above("audiences", "activation"), "--exclude", "path:models/predictions"],
        ("audiences", "activation"),
    ),
)


def run(
    project: Project,
    files: Iterable[str] = (),
    as_of: str | None = None,
    full_refresh: bool = False,
    send: bool = True,
    console: Console | None = None,
    on_failure: OnFailure = OnFailure.STOP,
) -> RunSummary:
    """Land `files`, build and test every model floor by floor, and send what changed to the tools.

    `files` are `source=path` or folders with one subfolder per source. Each model is tested before what reads it is
    built, and each floor's gate is checked before the next floor is. Raises GateError at the first part that fails,
    with what was done so far in its `summary`: nothing later has been touched, and running again goes on from there.
    """
    summary = RunSummary(run_id=uuid.uuid4().hex)
    started_at = datetime.now(UTC).replace(tzinfo=None)
    moment = started_at if as_of is None else moment_in_utc(as_of, "--as-of")
    log.info("run started", extra={"run_id": summary.run_id, "target": project.target})
    if on_failure != OnFailure.IGNORE:
        import_in_background()
    with _part(summary, "land"):
        for source, path in sources_of(project.root, files):
            summary.landings.append(land(project, source, [path], console))
        with connect(project) as warehouse:
            summary.rows_suppressed = Suppression(project, warehouse).refuse_unbuilt()
    unreadable = [item.problem for result in summary.landings for item in result.unreadable]
    with _part(summary, "build"), connect(project) as warehouse:
        ensure_run_counts(warehouse)
        summary.counts_before = _last_counts(warehouse)
    # One moment for all steps.
    variables = {"as_of": moment.strftime("%Y-%m-%d %H:%M:%S")}
    results = _build(project, variables, full_refresh, on_failure, summary, console)
    refresh_masks(project, results[-1].manifest)
    with connect(project) as warehouse:
        _count(warehouse, results, summary)
        _remember(warehouse, summary, started_at)
    if send:
        with _part(summary, "sync"):
            asked = Asked(ignores_gates=on_failure != OnFailure.STOP)
            summary.syncs = sync(project, results[0].manifest, console=console, asked=asked)
    log.info("run finished", extra={"run_id": summary.run_id, **as_log(summary)})
    if unreadable:
        raise UsageError(
            "Some files could not be read: " + "; ".join(unreadable),
            "Everything else was landed, built and sent. Mend the files and run again.",
        )
    return summary


def _build(
    project: Project,
    variables: Mapping[str, Any],
    full_refresh: bool,
    on_failure: OnFailure,
    summary: RunSummary,
    console: Console | None,
) -> list[DbtResult]:
    """Build step by step with a gate after each; what each step's dbt said."""
    with _part(summary, "build"):
        manifest = load_manifest(project)
    gates = Gates(project, manifest, summary.run_id, warn_only=on_failure == OnFailure.WARN)
    results: list[DbtResult] = []
    try:
        for step in STEPS:
            seconds_before = summary.seconds["build"]
            with _part(summary, "build"), _status(console, f"Building {step.title}"):
                arguments = ["build", *step.selection, *(["--full-refresh"] if full_refresh else [])]
                results.append(run_dbt(project, arguments, variables, manifest))
            _split_build_time(summary, results[-1], summary.seconds["build"] - seconds_before)
            nodes = results[-1].nodes
            summary.warnings += [f"{node.name}: {node.message}" for node in nodes if node.status == "warn"]
            failed = [node for node in nodes if node.failed]
            if failed or not results[-1].success:
                raise gate_error(failed, summary)
            if step.predicts and not runs_python(project):
                with _part(summary, "predict"), _status(console, "Predicting"):
                    predict(project, manifest)
            if on_failure == OnFailure.IGNORE or not step.gates:
                continue
            with _part(summary, "validate"), _status(console, f"Checking the gates {' and '.join(step.gates)}"):
                checked = gates.check(step.gates)
            summary.gates += checked
            summary.warnings += [str(outcome) for result in checked for outcome in result.warnings]
            if any(result.stopped_by for result in checked):
                raise GateFailedError(
                    gate_message(checked),
                    "Nothing above it was rebuilt, and nothing was sent. Mend the data or the expectation, or let it "
                    "through once with --on-failure warn: docs/gates.md.",
                    summary,
                )
    finally:
        with _part(summary, "validate"):
            gates.write_docs()
    return results


class GateFailedError(GateError):
    """A model or a test failed; `summary` says what had been done."""

    def __init__(self, message: str, hint: str, summary: RunSummary) -> None:
        super().__init__(message, hint)
        self.summary = summary


def gate_error(failed: list[NodeResult], summary: RunSummary) -> GateFailedError:
    """The error for nodes that failed: the first in words, the others by name."""
    if not failed:
        return GateFailedError("dbt did not finish.", "See logs/dbt.log.", summary)
    first, *others = failed
    kind = "Test" if first.resource_type == "test" else first.resource_type.capitalize()
    reason = " ".join(first.message.split())
    message = f"{kind} {first.name} failed: {reason}"
    if others:
        message += f" Failed too: {', '.join(node.name for node in others)}."
    hint = "Nothing that depends on it was rebuilt, and nothing was sent. "
    if first.resource_type == "test":
        hint += f"See the rows with: dbt show --select {first.name}"
    else:
        hint += "See logs/dbt.log for the statement."
    return GateFailedError(message, hint, summary)


def sources_of(root: Path, files: Iterable[str]) -> list[tuple[str, str]]:
    """(source, path) for `source=path` and for folders with one subfolder per source."""
    known = known_sources(root)
    found: list[tuple[str, str]] = []
    for item in files:
        source, equals, path = item.partition("=")
        if equals:
            found.append((source, path))
            continue
        folder = Path(item)
        if not folder.is_dir():
            raise UsageError(f"{item} is no folder.", "Give source=path, or a folder with one subfolder per source.")
        inside = [(child.name, str(child)) for child in sorted(folder.iterdir()) if child.is_dir()]
        if unknown := [name for name, _ in inside if name not in known]:
            raise UsageError(
                f"{folder} has subfolders that are no source: {', '.join(unknown)}.",
                f"Known sources: {', '.join(sorted(known))}.",
            )
        if not inside:
            raise UsageError(f"{folder} has no subfolder.", "Each source's files go into a subfolder of its name.")
        found += inside
    return found


def as_log(summary: RunSummary) -> dict[str, Any]:
    """The summary as plain values, for the log."""
    return {
        "rows_landed": summary.rows_landed,
        "rows_rejected": summary.rows_rejected,
        **summary.counts,
        "audiences": {item.name: item.size for item in summary.audiences},
        "sent": {item.sync: item.delivered for item in summary.syncs},
        "failed": {item.sync: item.failed for item in summary.syncs if item.failed},
        "seconds": {part: round(seconds, 2) for part, seconds in summary.seconds.items()},
        "expectations": sum(len(result.outcomes) for result in summary.gates),
        "warnings": summary.warnings,
    }


@contextmanager
def _part(summary: RunSummary, name: str):
    started = time.monotonic()
    log.info("%s started", name, extra={"run_id": summary.run_id, "part": name})
    try:
        yield
    finally:
        summary.seconds[name] = summary.seconds.get(name, 0.0) + time.monotonic() - started


@contextmanager
def _status(console: Console | None, text: str):
    with console.status(text) if console else nullcontext():
        yield


def _split_build_time(summary: RunSummary, result: DbtResult, seconds: float) -> None:
    """Tests run between the models; their share of a build's time is what validating took."""
    tests = sum(node.seconds for node in result.nodes if node.resource_type in ("test", "unit_test"))
    everything = sum(node.seconds for node in result.nodes) or 1.0
    validate = seconds * tests / everything
    summary.seconds["build"] -= validate
    summary.seconds["validate"] = summary.seconds.get("validate", 0.0) + validate


def _last_counts(warehouse: Warehouse) -> dict[str, int]:
    rows = warehouse.query(
        f"select metric, name, value from {RUN_COUNTS} where run_at = (select max(run_at) from {RUN_COUNTS})"
    )
    return {f"{metric}.{name}" if metric == "audience" else name: value for metric, name, value in rows}


def _count(warehouse: Warehouse, results: list[DbtResult], summary: RunSummary) -> None:
    models = _models(results[0])
    for name in ("events", "profiles"):
        summary.counts[name] = _rows(warehouse, models[name])
    summary.counts["violations"] = int(
        warehouse.query(f"select coalesce(sum(count_seen), 0) from {quote(*models['violations'][:2])}")[0][0]
    )
    summary.counts["quarantined"] = _rows(warehouse, models["quarantine"])
    graph = models["identity_graph"]
    summary.counts["identifiers"] = _rows(warehouse, graph)
    summary.counts["merges"] = sum(
        int(
            warehouse.query(
                f"select coalesce(sum(count_merged_profiles), 0) from {quote(graph[0], graph[1] + '_runs')}"
                " where invocation_id = $invocation_id",
                {"invocation_id": result.invocation_id},
            )[0][0]
        )
        for result in results
    )
    for name in sorted(node.name for node in results[0].manifest.nodes.values() if is_audience(node)):
        size = _rows(warehouse, models[name])
        summary.audiences.append(AudienceSize(name, size, summary.counts_before.get(f"audience.{name}")))


def _models(result: DbtResult) -> dict[str, tuple[str, str, str]]:
    """Model name to (schema, table, floor)."""
    return {
        node.name: (node.schema, node.alias, node.fqn[1])
        for node in result.manifest.nodes.values()
        if node.resource_type == "model"
    }


def _rows(warehouse: Warehouse, relation: tuple[str, str, str]) -> int:
    return warehouse.query(f"select count(*) from {quote(*relation[:2])}")[0][0]


def _remember(warehouse: Warehouse, summary: RunSummary, run_at: datetime) -> None:
    rows: list[Mapping[str, Any]] = [
        {"metric": "count", "name": name, "value": value} for name, value in summary.counts.items()
    ]
    rows += [{"metric": "audience", "name": item.name, "value": item.size} for item in summary.audiences]
    with warehouse.transaction():
        for row in rows:
            warehouse.execute(
                f"insert into {RUN_COUNTS} values ($run_id, $run_at, $metric, $name, $value)",
                {"run_id": summary.run_id, "run_at": run_at, **row},
            )
