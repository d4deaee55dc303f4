"""One sync after the other: compare, send, and move the state for what was taken."""

from __future__ import annotations

import logging
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import FrameType
from typing import Any

from rich.console import Console

from cdi.dbt import load_manifest
from cdi.errors import WarehouseError, mask_secrets
from cdi.gates.results import failed_gates
from cdi.moments import moment_in_utc
from cdi.privacy.keep_out import Suppression
from cdi.project import Project
from cdi.sync.declared import DeclaredSync, declared_syncs
from cdi.sync.deletions import deliver_deletions, let_go
from cdi.sync.history import forget_old_changes, history_days
from cdi.sync.state import Page, Plan, Scope, State, create_state_tables, has_run
from cdi.sync.tools import Batch, Failure, NotSetUpError, Outcome, RefusedError, Tool
from cdi.warehouse import UNAVAILABLE, Warehouse, connect, now, quote

log = logging.getLogger(__name__)

SAMPLE = 5
"""Rows of each kind of change that a dry run with `diff` shows."""


@dataclass(frozen=True)
class SyncResult:
    """What one sync did; planned numbers for a dry run."""

    sync: str
    tool: str
    added: int = 0
    changed: int = 0
    removed: int = 0
    rejected: int = 0
    """Rows that were not sent because their key is null, empty or double."""
    delivered: int = 0
    failed: int = 0
    """Rows that the tool did not take: they are sent again next time, with the values they have then."""
    refused_again: int = 0
    """Rows that it refused again because of what is in them, as it did before: no news, and so no failure."""
    problem: str = ""
    seconds: float = 0.0
    deleted: int = 0
    """People that the tool was asked to forget."""
    resent: int = 0
    """Rows sent again because nobody knew whether they had arrived, to a tool that cannot tell."""
    is_blocked: bool = False
    """Whether a guard kept it from sending anything."""
    is_set_up: bool = True
    """Whether the tool's variables are set; a sync that never ran is passed over without them."""
    sample: list[dict[str, Any]] = field(default_factory=list)
    """Some rows of a dry run: cdi_key, cdi_kind and the fields, personal ones masked."""


@dataclass(frozen=True)
class Asked:
    """What a run of syncs is to do; by default what changed since the last one."""

    dry_run: bool = False
    diff: bool = False
    """Whether a dry run shows some rows."""
    scope: Scope = field(default_factory=Scope)
    ignores_guards: bool = False
    """Whether guards are passed over, by somebody who has looked."""
    ignores_gates: bool = False
    """Whether syncs run although the last check of a gate failed."""
    failed_gates: tuple[str, ...] = ()
    """Gates that failed when they were last checked: nothing is sent, but who is to be forgotten is."""


class Stop:
    """Whether somebody asked the process to stop; the batch in flight is finished first."""

    def __init__(self) -> None:
        self.signal: int | None = None

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Take SIGINT and SIGTERM as requests; a second one stops at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def ask(number: int, frame: FrameType | None) -> None:
            if self.signal is not None:
                raise KeyboardInterrupt
            self.signal = number

        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def sync(
    project: Project,
    manifest: Any = None,
    names: Iterable[str] = (),
    dry_run: bool = False,
    console: Console | None = None,
    asked: Asked | None = None,
) -> list[SyncResult]:
    """Send what changed since each sync's last delivery; with `dry_run`, only say how much that would be.

    All declarations are checked before anything is sent. A sync that never ran is passed over where its environment
    variables are missing, unless `names` asks for it. A tool that refuses rows does not stop the other syncs, nor does
    a guard. Raises UsageError for wrong declarations and missing variables, WarehouseError when the warehouse is taken
    or goes away, KeyboardInterrupt after the batch in flight when the process is asked to stop.
    """
    asked = replace(asked or Asked(), dry_run=dry_run or bool(asked and asked.dry_run))
    if asked.scope.since:
        asked = replace(
            asked, scope=replace(asked.scope, since=moment_in_utc(asked.scope.since, "--since").isoformat(sep=" "))
        )
    kept_days = history_days(project.root)
    syncs = declared_syncs(manifest or load_manifest(project), names, project.root)
    results: list[SyncResult] = []
    stop = Stop()
    with connect(project) as warehouse, stop.watched():
        for declared in list(syncs):
            columns = State(warehouse, declared, "").columns()
            try:
                declared.open_tool(project.root, columns=columns)
            except NotSetUpError as error:
                if names or has_run(warehouse, declared.name):
                    raise
                results.append(SyncResult(declared.name, declared.tool_name, problem=error.message, is_set_up=False))
                syncs.remove(declared)
            if asked.scope.since and not declared.time_column and names:
                raise declared.error("--since goes with mode append and a column `time`.")
        if not asked.dry_run:
            # PostgreSQL fails where two that start at once make the same table.
            with warehouse.lock("tables of syncs", wait=True):
                create_state_tables(warehouse)
                if kept_days is not None:
                    forget_old_changes(warehouse, kept_days)
                Suppression(project, warehouse).hide_built()
        if not asked.ignores_gates:
            asked = replace(asked, failed_gates=tuple(failed_gates(warehouse)))
        for declared in syncs:
            started = time.monotonic()
            with console.status(f"Sending {declared.name}") if console else nullcontext():
                result = run_sync(project, warehouse, declared, asked=asked, stop=stop)
            results.append(replace(result, seconds=time.monotonic() - started))
            log.info("synced %s", declared.name, extra={"sync": {**vars(results[-1]), "sample": None}})
            if stop.signal is not None:
                raise KeyboardInterrupt
    return results


def run_sync(
    project: Project,
    warehouse: Warehouse,
    declared: DeclaredSync,
    dry_run: bool = False,
    asked: Asked | None = None,
    stop: Stop | None = None,
) -> SyncResult:
    """Run one sync on an open warehouse that has the state tables; a dry run needs none."""
    asked = asked or Asked(dry_run=dry_run)
    run_id = uuid.uuid4().hex
    columns = State(warehouse, declared, run_id).columns()
    tool = declared.open_tool(project.root, columns=columns)
    state = State(warehouse, declared, run_id, tool.knows_repeats)
    with warehouse.lock(f"sync {declared.name}"):
        if asked.dry_run:
            try:
                return _dry_run(warehouse, state, asked)
            except UNAVAILABLE as error:
                raise WarehouseError(
                    f"The warehouse went away or was busy while {declared.name} was compared ({type(error).__name__}).",
                    "Nothing was sent: run again when it works.",
                ) from None
        # The limits of an account hold for all of its syncs together.
        with warehouse.lock(f"account {tool.account}", wait=True) if tool.account else nullcontext():
            try:
                return _run(project, state, columns, asked, stop or Stop())
            except UNAVAILABLE as error:
                raise WarehouseError(
                    f"The warehouse went away or cannot write while {declared.name} was sent ({type(error).__name__}).",
                    "What the tool took is known or sent once more: run again when the warehouse works and has room.",
                ) from None


def _dry_run(warehouse: Warehouse, state: State, asked: Asked) -> SyncResult:
    with _undone(warehouse):
        create_state_tables(warehouse)
        state.settle()
        plan = state.plan(asked.scope)
        sample = _masked(state.sync, state.sample(plan, SAMPLE)) if asked.diff else []
        problem = _guarded(warehouse, state.sync, plan, asked)
        return replace(_planned(state.sync, plan), sample=sample, problem=problem, is_blocked=bool(problem))


def _run(project: Project, state: State, columns: dict[str, str], asked: Asked, stop: Stop) -> SyncResult:
    warehouse, declared, run_id = state.warehouse, state.sync, state.names["run_id"]
    with warehouse.transaction():
        state.settle()
    # Before anything else: the key of somebody who is deleted may be another person's from now on.
    deleted, refused = deliver_deletions(project, warehouse, declared)
    # The model may be built anew meanwhile.
    with warehouse.transaction(snapshot=True):
        plan = state.plan(asked.scope)
    state.forget_solved(asked.scope)
    result = replace(_planned(declared, plan), deleted=deleted, problem=refused, failed=1 if refused else 0)
    if problem := _guarded(warehouse, declared, plan, asked):
        state.start_run(plan)
        state.finish_run("blocked", problem)
        return replace(result, problem=problem, is_blocked=True)
    if not (plan.total or plan.rejected):
        return result
    tool = declared.open_tool(project.root, run_id, state.sequence(), columns)
    state.start_run(plan, asked.scope.full)
    tool.start(plan.added, plan.changed, plan.removed)
    try:
        delivered, problem = _send(state, plan, tool, stop)
    except BaseException:
        tool.abandon()
        raise
    problem = problem or refused
    ending = "stopped" if stop.signal is not None else "failed"
    refused_again, resent = state.finish_run(ending, problem, getattr(tool, "resent", 0))
    if not tool.can_delete:
        let_go(state)
    failed = plan.total - delivered - refused_again + result.failed
    return replace(
        result, delivered=delivered, failed=failed, refused_again=refused_again, problem=problem, resent=resent
    )


def _send(state: State, plan: Plan, tool: Tool, stop: Stop) -> tuple[int, str]:
    """Send the plan page by page: (rows delivered, what the tool said last if it refused some)."""
    send = _send_pages if tool.commits_batches else _send_whole
    return send(state, plan, tool, stop)


def _send_pages(state: State, plan: Plan, tool: Tool, stop: Stop) -> tuple[int, str]:
    """As `_send`, to a tool that has taken a page when it answers; the next page is made while it is waited for."""
    delivered = 0
    problem = ""
    with ThreadPoolExecutor(1) as ahead:

        def make(first: int) -> Future[tuple[Page, Callable[[], Outcome]]] | None:
            return ahead.submit(_prepared, state, plan, tool, first) if first <= plan.total else None

        coming = make(1) if stop.signal is None else None
        if coming:
            state.sending(coming.result()[0].last)
        while coming:
            page, send = coming.result()
            coming = make(page.last + 1)
            outcome = _answer(page, send)
            failures = _failures(page, outcome)
            delivered += page.rows.num_rows - len(failures)
            problem = mask_secrets(outcome.problem) or problem
            if coming:
                # The connection to the warehouse is one.
                wait([coming])
            if outcome.is_over or stop.signal is not None:
                coming = None
            leaves_next = coming is not None and coming.exception() is None
            state.settled(page.last, failures, coming.result()[0].last if leaves_next else None)
    tool.finish()
    return delivered, problem


def _prepared(state: State, plan: Plan, tool: Tool, first: int) -> tuple[Page, Callable[[], Outcome]]:
    page = state.page(plan, first, tool.batch_rows)
    return page, tool.prepared(Batch(page.operation, page.rows, page.message_ids, page.unchanged))


def _send_whole(state: State, plan: Plan, tool: Tool, stop: Stop) -> tuple[int, str]:
    """As `_send`, to a tool that has taken nothing before it has got everything."""
    position = 0
    while position < plan.total and stop.signal is None:
        page, send = _prepared(state, plan, tool, position + 1)
        if failures := _failures(page, _answer(page, send)):
            tool.abandon()
            # One row kept all of them out, and which of them the tool would have taken nobody knows.
            failure = replace(next(iter(failures.values())), is_rejected=False)
            state.settled(page.last, dict.fromkeys(range(1, page.last + 1), failure))
            return 0, failure.reason
        position = page.last
    if stop.signal is not None:
        tool.abandon()
        return 0, "stopped before the end"
    state.sending(plan.total)
    try:
        tool.finish()
    except RefusedError as error:
        tool.abandon()
        failure = Failure(mask_secrets(error.message), error.in_doubt)
        state.settled(plan.total, dict.fromkeys(range(1, plan.total + 1), failure))
        return 0, failure.reason
    state.settled(plan.total, {})
    return plan.total, ""


def _answer(page: Page, send: Callable[[], Outcome]) -> Outcome:
    try:
        return send()
    except RefusedError as error:
        return Outcome.of_all(page.rows.num_rows, error)


def _failures(page: Page, outcome: Outcome) -> dict[int, Failure]:
    """What was not taken, by its number in the plan."""
    return {
        page.first + index: replace(failure, reason=mask_secrets(failure.reason))
        for index, failure in outcome.failures.items()
    }


def _guarded(warehouse: Warehouse, declared: DeclaredSync, plan: Plan, asked: Asked) -> str:
    """Why nothing may be sent; empty where nothing speaks against it."""
    if not plan.total:
        return ""
    if asked.failed_gates:
        return f"gate {', '.join(asked.failed_gates)} failed when it was last checked; mend it and run cdi validate"
    if asked.ignores_guards:
        return ""
    age: timedelta | None = None
    if declared.guards.fresh_within is not None and warehouse.relation_exists(*declared.events):
        newest = warehouse.query(f"select max(loaded_at) from {quote(*declared.events)}")[0][0]
        age = now() - newest.replace(tzinfo=None) if newest else None
    sent = (plan.added, plan.changed, plan.removed)
    problems = declared.guards.problems(sent, plan.differences, plan.held, age)
    return "guard: " + "; ".join(problems) if problems else ""


def _masked(declared: DeclaredSync, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows to show, without what the model's YAML calls personal."""
    sources = {item.name: item.column for item in declared.fields}
    hidden = {name for row in rows for name in row if sources.get(name, name) in declared.pii}
    if declared.key in declared.pii:
        hidden.add("cdi_key")
    return [
        {name: "***" if name in hidden and value is not None else value for name, value in row.items()} for row in rows
    ]


def _planned(declared: DeclaredSync, plan: Plan) -> SyncResult:
    return SyncResult(declared.name, declared.tool_name, plan.added, plan.changed, plan.removed, plan.rejected)


class _UndoneError(Exception):
    pass


@contextmanager
def _undone(warehouse: Warehouse) -> Iterator[None]:
    """Whatever happens inside leaves the warehouse as it was."""
    try:
        with warehouse.transaction(snapshot=True):
            yield
            raise _UndoneError
    except _UndoneError:
        pass
