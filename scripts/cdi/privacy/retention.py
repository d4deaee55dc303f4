"""Raw rows older than a number of days go; what was built from them stays, profile ids above all."""

from __future__ import annotations

from datetime import timedelta

from cdi.dbt import load_manifest
from cdi.identity.tables import IdentityTables
from cdi.landing.sources import known_sources
from cdi.privacy.requests import alone, session
from cdi.project import Project
from cdi.warehouse import now, quote

RETENTION = "raw.retention"
"""One row per call that removed something; `events` refuses to be built from its beginning while there is any."""


def retain(project: Project, days: int, dry_run: bool = False) -> dict[str, int]:
    """Remove raw rows and rejected lines that landed more than `days` ago; returns how many, by table.

    Only what `events` has seen is removed, so that nothing waits in vain. With `dry_run` nothing is.
    """
    kept_since = now() - timedelta(days=days)
    tables = IdentityTables.of(load_manifest(project))
    removed: dict[str, int] = {}
    with alone(project), session(project, tables) as warehouse, warehouse.transaction():
        old = (
            "loaded_at < cast($kept_since as timestamp)"
            f" and loaded_at <= (select max(loaded_at) from {tables['checked_events']})"
        )
        names = [(table.schema, table.identifier) for found in known_sources(project.root).values() for table in found]
        for schema, table in [*names, ("raw", "rejected")]:
            if warehouse.relation_exists(schema, table):
                count = warehouse.query(
                    f"select count(*) from {quote(schema, table)} where {old}", {"kept_since": kept_since}
                )[0][0]
                removed[f"{schema}.{table}"] = count
                if count and not dry_run:
                    warehouse.execute(f"delete from {quote(schema, table)} where {old}", {"kept_since": kept_since})
        if any(removed.values()) and not dry_run:
            warehouse.execute(
                f"create table if not exists {RETENTION}"
                " (kept_since timestamp, removed_at timestamp, count_rows bigint)"
            )
            warehouse.execute(
                f"insert into {RETENTION} values ($kept_since, $now, $rows)",
                {"kept_since": kept_since, "now": now(), "rows": sum(removed.values())},
            )
    return removed
