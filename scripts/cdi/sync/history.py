"""What syncs did, read back from the warehouse for as long as it is kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cdi.errors import UsageError
from cdi.project import Project, read_yaml
from cdi.sync.declared import declared_syncs
from cdi.sync.state import DELIVERIES
from cdi.warehouse import Warehouse, connect, now, quote


@dataclass(frozen=True)
class SyncStatus:
    """How a sync stands."""

    sync: str
    tool: str
    schedule: str
    held: int = 0
    """Rows that the tool confirmed to hold."""
    in_doubt: int = 0
    """Rows of which nobody is sure that the tool holds them as they are."""
    rejected: int = 0
    """Rows that the tool does not have, with a reason in cdi.sync_rejected."""
    last_run_at: datetime | None = None
    status: str = "never ran"
    message: str = ""


@dataclass(frozen=True)
class Sent:
    """One thing that was sent about a key, or that was not taken."""

    at: datetime
    sync: str
    operation: str
    outcome: str
    """delivered; sent, not confirmed; answered (it is not written down yet how); or the reason why not."""


def history_days(root: Path) -> int | None:
    """How many days of cdi.sync_changes are kept: var sync_history_days of dbt_project.yml; None where all are.

    Raises UsageError where it is no whole number up to 36500, a hundred years.
    """
    days = (read_yaml(root / "dbt_project.yml").get("vars") or {}).get("sync_history_days")
    if days in (None, ""):
        return None
    if type(days) is not int or not 0 <= days <= 36_500:
        raise UsageError(
            f"dbt_project.yml: var sync_history_days is {days!r}, but must be a whole number of days, 36500 at most.",
            "Leave it empty to keep everything.",
        )
    return days


def forget_old_changes(warehouse: Warehouse, days: int) -> None:
    """Remove from cdi.sync_changes what was delivered more than `days` ago: no plan of a sync reads it."""
    warehouse.execute(
        "delete from cdi.sync_changes where delivered_at < cast($kept_since as timestamp)",
        {"kept_since": now() - timedelta(days=days)},
    )


def sync_statuses(project: Project, manifest: Any) -> list[SyncStatus]:
    """How every declared sync stands, by name; nothing is changed."""
    syncs = declared_syncs(manifest, root=project.root)
    with connect(project, read_only=True) as warehouse:
        if not warehouse.relation_exists("cdi", "sync_changes"):
            return [SyncStatus(item.name, item.tool_name, item.schedule) for item in syncs]
        held = dict(
            warehouse.query(
                "select sync, count(*) from cdi.sync_state where delivered_at is not null and row_hash <> '' group by 1"
            )
        )
        doubt = dict(
            warehouse.query(
                "select sync, count(distinct key) from (select planned.sync, planned.key"
                " from cdi.sync_state as planned inner join cdi.sync_runs as run on planned.run_id = run.run_id"
                " and planned.number > coalesce(run.settled_to, 0) and planned.number <= run.sent_to"
                " union all select sync, key from cdi.sync_state where row_hash = '') as unsure group by 1"
            )
        )
        rejected = dict(warehouse.query("select sync, sum(count_rows) from cdi.sync_rejected group by 1"))
        last = {
            row[0]: row[1:]
            for row in warehouse.query(
                "select sync, started_at, status, coalesce(message, '') from (select *, row_number() over"
                " (partition by sync order by number desc) as place from cdi.sync_runs) as runs where place = 1"
            )
        }
    return [
        SyncStatus(
            item.name,
            item.tool_name,
            item.schedule,
            held.get(item.name, 0),
            doubt.get(item.name, 0),
            int(rejected.get(item.name, 0)),
            *last.get(item.name, (None, "never ran", "")),
        )
        for item in syncs
    ]


def sent_about(project: Project, key: str, graph: tuple[str, str] = ("identity", "identity_graph")) -> list[Sent]:
    """What was sent about a key as far as it is kept, oldest first: what the tools hold always is.

    A key is a row's key in any sync (a profile_id, say), or an identifier such as email:jane@example.com, which stands
    for its profile in `graph` (schema and table).
    """
    with connect(project, read_only=True) as warehouse:
        if not warehouse.relation_exists("cdi", "sync_changes"):
            return []
        keys = "select cast($key as text) as key"
        if warehouse.relation_exists(*graph):
            keys += f" union select profile_id from {quote(*graph)} where identifier = $key"
        rows = warehouse.query(
            f"with keys as ({keys})"
            f" select delivered_at, sync, operation, 'delivered' from ({DELIVERIES}) as deliveries where key in"
            " (select key from keys) union all"
            " select coalesce(run.settled_at, run.started_at), planned.sync, case when planned.kind = 'removed' then"
            " 'remove' else 'upsert' end, case when planned.number <= run.settled_to then 'answered' else 'sent, not"
            " confirmed' end from cdi.sync_state as planned inner join cdi.sync_runs as run on planned.run_id ="
            " run.run_id and planned.number <= run.sent_to where planned.key in (select key from keys) union all"
            " select (select max(started_at) from cdi.sync_runs as run where run.sync = held.sync and sent_to is not"
            " null), sync, case when sent_hash = 'removed' then 'remove' else 'upsert' end, 'sent, not confirmed'"
            " from cdi.sync_state as held where row_hash = '' and sent_hash is not null and key in (select key from"
            " keys) union all"
            " select rejected_at, sync, operation, reason from cdi.sync_rejected where key in (select key from keys)"
            " order by 1, 2",
            {"key": key},
        )
    return [Sent(*row) for row in rows]
