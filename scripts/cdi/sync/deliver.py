"""One sync after the other: compare, send in batches, and move the state for what was taken."""

from __future__ import annotations

import hashlib
import logging
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console

from cdi.dbt import load_manifest
from cdi.errors import mask_secrets
from cdi.privacy.keep_out import Suppression
from cdi.project import Project
from cdi.sync.declared import DeclaredSync, declared_syncs
from cdi.sync.deletions import deliver_deletions
from cdi.sync.state import Plan, State, create_state_tables
from cdi.sync.tools import Batch, RefusedError, Tool
from cdi.warehouse import Warehouse, connect

log = logging.getLogger(__name__)

PATIENCE = 3
"""Batches refused one after the other before a run gives up on the tool."""


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
    problem: str = ""
    seconds: float = 0.0
    deleted: int = 0
    """People that the tool was asked to forget."""


def sync(
    project: Project,
    manifest: Any = None,
    names: Iterable[str] = (),
    dry_run: bool = False,
    console: Console | None = None,
) -> list[SyncResult]:
    """Send what changed since each sync's last delivery; with `dry_run`, only say how much that would be.

    All declarations are checked before anything is sent. A tool that refuses rows does not stop the other syncs.
    Raises UsageError for wrong declarations and missing environment variables, WarehouseError when the warehouse is
    taken.
    """
    syncs = declared_syncs(manifest or load_manifest(project), names)
    results = []
    with connect(project) as warehouse:
        for declared in syncs:
            declared.open_tool(project.root)
            State(warehouse, declared, "").columns()
        if not dry_run:
            create_state_tables(warehouse)
            Suppression(project, warehouse).hide_built()
        for declared in syncs:
            started = time.monotonic()
            with console.status(f"Sending {declared.name}") if console else nullcontext():
                result = run_sync(project, warehouse, declared, dry_run)
            results.append(replace(result, seconds=time.monotonic() - started))
            log.info("synced %s", declared.name, extra={"sync": vars(results[-1])})
    return results


def run_sync(project: Project, warehouse: Warehouse, declared: DeclaredSync, dry_run: bool = False) -> SyncResult:
    """Run one sync on an open warehouse that has the state tables; a dry run needs none."""
    run_id = uuid.uuid4().hex
    state = State(warehouse, declared, run_id)
    with warehouse.lock(f"sync {declared.name}"):
        if dry_run:
            with _undone(warehouse):
                create_state_tables(warehouse)
                state.settle()
                return _planned(declared, state.plan())
        with warehouse.transaction():
            in_doubt = state.settle()
        # Before anything else: the key of somebody who is deleted may be another person's from now on.
        deleted, refused = deliver_deletions(project, warehouse, declared)
        plan = state.plan()
        tool = declared.open_tool(project.root, run_id, state.sequence())
        result = replace(_planned(declared, plan), deleted=deleted, problem=refused, failed=1 if refused else 0)
        if not (plan.total or plan.rejected):
            return result
        state.start_run(plan)
        try:
            delivered, problem = _send(state, plan, tool, in_doubt)
        except BaseException:
            tool.abandon()
            raise
        failed = plan.total - delivered
        problem = problem or refused
        state.finish_run("failed" if failed else "succeeded", problem)
    return replace(result, delivered=delivered, failed=failed + result.failed, problem=problem)


def _send(state: State, plan: Plan, tool: Tool, in_doubt: dict[str, str]) -> tuple[int, str]:
    """Send the plan page by page: (rows delivered, what the tool said last if it refused some).

    `in_doubt` has the idempotency keys of the batches that the run before left in flight.
    """
    position = delivered = refused_in_a_row = 0
    problem = ""
    while position < plan.total and refused_in_a_row < PATIENCE:
        page = state.page(plan, position + 1, tool.batch_rows)
        content = _digest(page.operation, page.keys, page.hashes)
        # Only a batch that may have arrived keeps its key: a row that changes and changes back is news to the tool.
        idempotency_key = in_doubt.get(content) or _digest(tool.delivery.run_id, content)
        if tool.commits_batches:
            state.sending(page.first, page.last, content, idempotency_key)
        try:
            tool.send(Batch(page.operation, page.rows, idempotency_key))
        except RefusedError as error:
            problem = mask_secrets(error.message)
            if not tool.commits_batches:
                tool.abandon()
                state.refused(page.first, page.last, problem, in_doubt=False)
                return 0, problem
            refused_in_a_row += 1
            state.refused(page.first, page.last, problem, error.in_doubt)
        else:
            refused_in_a_row = 0
            if tool.commits_batches:
                state.delivered(page.first, page.last)
                delivered += page.rows.num_rows
        position = page.last
    if tool.commits_batches:
        tool.finish()
        return delivered, problem
    state.sending(1, plan.total)
    try:
        tool.finish()
    except RefusedError as error:
        tool.abandon()
        problem = mask_secrets(error.message)
        state.refused(1, plan.total, problem, error.in_doubt)
        return 0, problem
    state.delivered(1, plan.total)
    return plan.total, ""


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _planned(declared: DeclaredSync, plan: Plan) -> SyncResult:
    return SyncResult(declared.name, declared.tool_name, plan.added, plan.changed, plan.removed, plan.rejected)


class _UndoneError(Exception):
    pass


@contextmanager
def _undone(warehouse: Warehouse) -> Iterator[None]:
    """Whatever happens inside leaves the warehouse as it was."""
    try:
        with warehouse.transaction():
            yield
            raise _UndoneError
    except _UndoneError:
        pass
