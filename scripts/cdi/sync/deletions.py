"""People whom a tool is to forget: `cdi privacy delete` queued their keys in cdi.deletion_requests."""

from __future__ import annotations

import hashlib
import uuid

import pyarrow as pa

from cdi.errors import mask_secrets
from cdi.project import Project
from cdi.sync.declared import DeclaredSync
from cdi.sync.state import NEXT_RUN, State
from cdi.sync.tools import Batch, RefusedError
from cdi.warehouse import Warehouse, now

_OPEN = "sync = $sync and status in ('INITIALIZED', 'FAILED')"


def deliver_deletions(project: Project, warehouse: Warehouse, declared: DeclaredSync) -> tuple[int, str]:
    """Have the tool of a sync forget who is to be deleted: (how many people, what the tool said if it refused).

    A tool that cannot delete gets the rows removed as any other that left the model (see `let_go`). What was refused is
    tried again by the next run. When it is done the key goes from the warehouse too.
    """
    if not warehouse.relation_exists("cdi", "deletion_requests"):
        return 0, ""
    sync = {"sync": declared.name}
    keys = [
        row[0]
        for row in warehouse.query(f"select distinct key from cdi.deletion_requests where {_OPEN} order by key", sync)
    ]
    if not keys:
        return 0, ""
    batches = warehouse.query(f"select distinct batch_id from cdi.deletion_requests where {_OPEN} order by 1", sync)
    run_id = uuid.uuid4().hex
    state = State(warehouse, declared, run_id)
    tool = declared.open_tool(project.root, run_id, state.sequence(), state.columns())
    if not tool.can_delete:
        let_go(state)
        return 0, ""
    started_at = now()
    try:
        for first in range(0, len(keys), tool.batch_rows):
            page = keys[first : first + tool.batch_rows]
            rows = pa.RecordBatch.from_arrays([pa.array(page, pa.string())], names=[declared.key_field])
            # The same when a run that was killed before it could write it down asks again.
            ids = [hashlib.sha256(repr(("delete", batches, key)).encode()).hexdigest() for key in page]
            outcome = tool.delete(Batch("delete", rows, ids))
            if outcome.failures:
                raise RefusedError(outcome.problem)
        tool.finish()
    except RefusedError as error:
        tool.abandon()
        problem = mask_secrets(error.message)
        warehouse.execute(
            f"update cdi.deletion_requests set status = 'FAILED', message = $problem where {_OPEN}",
            {**sync, "problem": problem},
        )
        return 0, problem
    with warehouse.transaction():
        warehouse.execute(
            "insert into cdi.sync_runs (run_id, number, sync, started_at, finished_at, status, planned_removed,"
            " delivered_removed, failed_removed, planned_added, delivered_added, failed_added, planned_changed,"
            f" delivered_changed, failed_changed, rejected, message) select $run_id, {NEXT_RUN}, $sync,"
            " cast($started_at as timestamp), cast($now as timestamp), 'succeeded', $count, $count, 0,"
            " 0, 0, 0, 0, 0, 0, 0, 'deletion'",
            {**sync, "run_id": run_id, "started_at": started_at, "now": now(), "count": len(keys)},
        )
        _forget(warehouse, declared.name, "FINISHED", _OPEN)
    return len(keys), ""


def let_go(state: State) -> None:
    """Of people whom a tool cannot delete, forget those whom the sync has removed there, or never removes."""
    warehouse, sync = state.warehouse, state.sync.name
    if not warehouse.relation_exists("cdi", "deletion_requests"):
        return
    is_gone = "not exists (select 1 from cdi.sync_state as held where held.sync = $sync and held.key = asked.key)"
    with warehouse.transaction():
        _forget(warehouse, sync, "NOT_SUPPORTED", f"{_OPEN} and {is_gone}" if state.removes else _OPEN)


def _forget(warehouse: Warehouse, sync: str, status: str, which: str) -> None:
    """End deletion requests (SQL: which of `asked`), and let no key of theirs stay."""
    from cdi.privacy.requests import settle

    parameters = {"sync": sync}
    for table in ("sync_rejected", "sync_changes", "sync_state"):
        warehouse.execute(
            f"delete from cdi.{table} where sync = $sync and key in"
            f" (select key from cdi.deletion_requests as asked where {which})",
            parameters,
        )
    warehouse.execute(
        "update cdi.deletion_requests as asked set status = $status, key = null, message = null,"
        f" finished_at = cast($now as timestamp) where {which}",
        {**parameters, "status": status, "now": now()},
    )
    settle(warehouse)
