"""The scheduled job: land, build, validate, sync, with one summary at the end."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from cdi.dbt import DbtResult, NodeResult, run_dbt
from cdi.errors import GateError, UsageError
from cdi.landing import LandingResult, known_sources, land
from cdi.pii import refresh_masks
from cdi.privacy.keep_out import Suppression
from cdi.project import Project
from cdi.sync import SyncResult, sync
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
    """events, profiles, identifiers and merges (profiles absorbed by this run), as they are now."""
    counts_before: dict[str, int] = field(default_factory=dict)
    audiences: list[AudienceSize] = field(default_factory=list)
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


def run(
    project: Project,
    files: Iterable[str] = (),
    as_of: str | None = None,
    full_refresh: bool = False,
    send: bool = True,
    console: Console | None = None,
) -> RunSummary:
    """Land `files`, build and test every model, and send what changed to the tools.

    `files` are `source=path` or folders with one subfolder per source. Each model is tested before what reads it is
    built. Raises GateError at the first part that fails, with what was done so far in its `summary`: nothing later
    has been touched, and running again goes on from there.
    """
    summary = RunSummary(run_id=uuid.uuid4().hex)
    started_at = datetime.now(UTC).replace(tzinfo=None)
    log.info("run started", extra={"run_id": summary.run_id, "target": project.target})
    with _part(summary, "land"):
        for source, path in sources_of(project.root, files):
            summary.landings.append(land(project, source, [path], console))
        with connect(project) as warehouse:
            summary.rows_suppressed = Suppression(project, warehouse).refuse_unbuilt()
    unreadable = [item.problem for result in summary.landings for item in result.unreadable]
    with _part(summary, "build"):
        with connect(project) as warehouse:
            _create_counts(warehouse)
            summary.counts_before = _last_counts(warehouse)
        arguments = ["build", *(["--full-refresh"] if full_refresh else [])]
        if console:
            with console.status("Building and testing the models"):
                result = run_dbt(project, arguments, {"as_of": as_of} if as_of else None)
        else:
            result = run_dbt(project, arguments, {"as_of": as_of} if as_of else None)
    _split_build_time(summary, result)
    summary.warnings = [f"{node.name}: {node.message}" for node in result.nodes if node.status == "warn"]
    failed = [node for node in result.nodes if node.failed]
    if failed or not result.success:
        raise gate_error(failed, summary)
    refresh_masks(project, result.manifest)
    with connect(project) as warehouse:
        _count(warehouse, result, summary)
        _remember(warehouse, summary, started_at)
    if send:
        with _part(summary, "sync"):
            summary.syncs = sync(project, result.manifest, console=console)
    log.info("run finished", extra={"run_id": summary.run_id, **as_log(summary)})
    if unreadable:
        raise UsageError(
            "Some files could not be read: " + "; ".join(unreadable),
            "Everything else was landed, built and sent. Mend the files and run again.",
        )
    return summary


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
        "warnings": summary.warnings,
    }


@contextmanager
def _part(summary: RunSummary, name: str):
    started = time.monotonic()
    log.info("%s started", name, extra={"run_id": summary.run_id, "part": name})
    try:
        yield
    finally:
        summary.seconds[name] = time.monotonic() - started


def _split_build_time(summary: RunSummary, result: DbtResult) -> None:
    """Tests run between the models; their share of the build's time is what validating took."""
    tests = sum(node.seconds for node in result.nodes if node.resource_type in ("test", "unit_test"))
    everything = sum(node.seconds for node in result.nodes) or 1.0
    validate = summary.seconds["build"] * tests / everything
    summary.seconds["build"] -= validate
    summary.seconds["validate"] = validate


_COUNTS = "cdi.run_counts"


def _create_counts(warehouse: Warehouse) -> None:
    warehouse.execute("create schema if not exists cdi")
    warehouse.execute(
        f"create table if not exists {_COUNTS} (run_id text, run_at timestamp, metric text, name text, value bigint)"
    )


def _last_counts(warehouse: Warehouse) -> dict[str, int]:
    rows = warehouse.query(
        f"select metric, name, value from {_COUNTS} where run_at = (select max(run_at) from {_COUNTS})"
    )
    return {f"{metric}.{name}" if metric == "audience" else name: value for metric, name, value in rows}


def _count(warehouse: Warehouse, result: DbtResult, summary: RunSummary) -> None:
    models = _models(result)
    for name in ("events", "profiles"):
        summary.counts[name] = _rows(warehouse, models[name])
    graph = models["identity_graph"]
    summary.counts["identifiers"] = _rows(warehouse, graph)
    summary.counts["merges"] = int(
        warehouse.query(
            f"select coalesce(sum(count_merged_profiles), 0) from {quote(graph[0], graph[1] + '_runs')}"
            " where invocation_id = $invocation_id",
            {"invocation_id": result.invocation_id},
        )[0][0]
    )
    for name, relation in sorted(models.items()):
        if relation[2] == "audiences":
            size = _rows(warehouse, relation)
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
                f"insert into {_COUNTS} values ($run_id, $run_at, $metric, $name, $value)",
                {"run_id": summary.run_id, "run_at": run_at, **row},
            )
