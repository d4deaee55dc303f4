"""One sync after the other: compare, send in batches, and move the state for what was taken."""

from __future__ import annotations

import hashlib
import logging
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from cdi.dbt import load_manifest
from cdi.project import Project
from cdi.sync.declared import DeclaredSync, declared_syncs
from cdi.sync.state import HASH, KEY, State, create_state_tables
from cdi.sync.tools import Batch, RefusedError
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
    """Rows that were not sent because their key is null or double."""
    delivered: int = 0
    failed: int = 0
    """Rows that the tool did not take: they are sent again next time, with the values they have then."""
    problem: str = ""
    seconds: float = 0.0


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
        create_state_tables(warehouse)
        for declared in syncs:
            started = time.monotonic()
            if console:
                with console.status(f"Sending {declared.name}"):
                    result = run_sync(project, warehouse, declared, dry_run)
            else:
                result = run_sync(project, warehouse, declared, dry_run)
            results.append(SyncResult(**{**vars(result), "seconds": time.monotonic() - started}))
            log.info("synced %s", declared.name, extra={"sync": vars(results[-1])})
    return results


def run_sync(project: Project, warehouse: Warehouse, declared: DeclaredSync, dry_run: bool = False) -> SyncResult:
    """Run one sync on an open warehouse."""
    run_id = uuid.uuid4().hex
    state = State(warehouse, declared, run_id)
    with warehouse.lock(f"sync {declared.name}"):
        plan = state.plan()
        planned = {
            "sync": declared.name,
            "tool": declared.tool.__module__.rsplit(".", 1)[-1],
            "added": plan.added,
            "changed": plan.changed,
            "removed": plan.removed,
            "rejected": plan.rejected,
        }
        tool = declared.tool(declared.name, declared.options, project.root, run_id, state.sequence())
        if dry_run or not (plan.total or plan.rejected):
            return SyncResult(**planned)
        state.start_run(plan)
        position = delivered = failed = refused_in_a_row = 0
        problem = ""
        try:
            while position < plan.total and refused_in_a_row < PATIENCE:
                table, operation, last = state.page(plan, position, tool.batch_rows)
                keys, hashes = table.column(KEY).to_pylist(), table.column(HASH).to_pylist()
                digest = hashlib.sha256(repr((declared.name, operation, keys, hashes)).encode()).hexdigest()
                rows = table.drop_columns([KEY, HASH]).combine_chunks().to_batches()[0]
                try:
                    tool.send(Batch(operation, rows, digest))
                except RefusedError as error:
                    if not tool.commits_batches:
                        raise
                    refused_in_a_row += 1
                    failed += rows.num_rows
                    problem = error.message
                else:
                    refused_in_a_row = 0
                    if tool.commits_batches:
                        state.delivered(position + 1, last)
                        delivered += rows.num_rows
                state.progress(delivered, failed)
                position = last
            failed = plan.total - delivered if tool.commits_batches else 0
            tool.finish()
            if not tool.commits_batches and plan.total:
                state.delivered(1, plan.total)
                delivered = plan.total
        except RefusedError as error:
            tool.abandon()
            problem, failed = error.message, plan.total - delivered
        except BaseException:
            tool.abandon()
            raise
        state.progress(delivered, failed)
        state.finish_run("failed" if failed else "succeeded", problem)
    return SyncResult(**planned, delivered=delivered, failed=failed, problem=problem)
