"""Privacy requests as Segment's regulations, from the call to the last place, whatever interrupts them.

A call is a batch: its requests go together. First a transaction writes down the requests and, in work tables, whom they
mean. Then each place (a raw table, the models, ...) is one transaction that also writes down that it is done; a batch
that was interrupted goes on behind the last of them. At the end the work tables are emptied: what is left of a request
are its hash, its status and counts.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cdi.dbt import load_manifest
from cdi.errors import UsageError
from cdi.identity.tables import IdentityTables
from cdi.privacy.keep_out import CREATE, SUPPRESSED
from cdi.privacy.keys import Hasher
from cdi.privacy.people import WORK_TABLES, read_identifiers, resolve
from cdi.project import Project
from cdi.sync.state import create_state_tables
from cdi.warehouse import Warehouse, connect, now

log = logging.getLogger(__name__)

SUPPRESS, UNSUPPRESS = "SUPPRESS_ONLY", "UNSUPPRESS"
DELETES = ("DELETE_ONLY", "SUPPRESS_WITH_DELETE", "DELETE_INTERNAL", "SUPPRESS_WITH_DELETE_INTERNAL")
REGULATIONS = (SUPPRESS, UNSUPPRESS, *DELETES)
"""Segment's names. The _INTERNAL kinds are for the warehouse alone: tools are not told."""

_TABLES = {
    "privacy_requests": "request_id text, batch_id text, regulation text, identifier_type text, identifier_hash text,"
    " status text, message text, requested_at timestamp, finished_at timestamp",
    "privacy_request_places": "batch_id text, place text, status text, count_rows bigint, message text,"
    " finished_at timestamp",
    "deletion_requests": "batch_id text, sync text, key text, status text, message text, requested_at timestamp,"
    " finished_at timestamp",
    **WORK_TABLES,
}


@dataclass(frozen=True)
class Place:
    """What became of a batch in one place."""

    name: str
    status: str
    rows: int
    message: str = ""


@dataclass
class Answer:
    """What a batch of requests means, and what became of it."""

    batch_id: str
    regulation: str
    requests: int
    status: str = "INITIALIZED"
    unknown: int = 0
    """Requests whose identifier no event ever carried."""
    identifiers: int = 0
    shared: int = 0
    """Of the identifiers, those that other people's events carry too."""
    profiles: int = 0
    events: dict[str, int] = field(default_factory=dict)
    """Events by source."""
    tools: dict[str, int] = field(default_factory=dict)
    """Rows that syncs delivered, by sync."""
    places: list[Place] = field(default_factory=list)


def request(
    project: Project,
    regulation: str,
    identifiers: Iterable[str] = (),
    file: Path | None = None,
    dry_run: bool = False,
    as_of: str | None = None,
) -> Answer:
    """Carry out one regulation for all identifiers; with `dry_run` only say whom it means.

    What an earlier call left unfinished is finished first. Raises UsageError for what is no identifier and where
    CDI_PRIVACY_KEY is missing or another than before; nothing is done then.
    """
    from cdi.privacy.erase import tools_of

    if regulation not in REGULATIONS:
        raise UsageError(f"There is no regulation {regulation}.", f"Known: {', '.join(REGULATIONS)}.")
    hasher = Hasher()
    tables = IdentityTables.of(manifest := load_manifest(project))
    with alone(project):
        if not dry_run:
            resume(project, as_of)
        with session(project, tables) as warehouse:
            _check_key(warehouse, hasher, remember=not dry_run)
            batch_id = uuid.uuid4().hex
            with undone(warehouse) if dry_run else warehouse.transaction():
                named = read_identifiers(warehouse, tables, identifiers, file)
                _write_down(warehouse, batch_id, regulation, hasher.hashes(named))
                if regulation != UNSUPPRESS:
                    resolve(warehouse, tables, batch_id)
                answer = _answer(warehouse, tables, batch_id, regulation)
                answer.tools = tools_of(warehouse, manifest, batch_id)
        if not dry_run:
            _carry_out(project, manifest, tables, batch_id, regulation, as_of)
            with connect(project) as warehouse:
                answer.status, answer.places = status_of(warehouse, batch_id)
    return answer


def resume(project: Project, as_of: str | None = None) -> list[str]:
    """Finish what earlier calls left unfinished; returns the ids of those batches."""
    with connect(project) as warehouse:
        if not warehouse.relation_exists("cdi", "privacy_requests"):
            return []
        batches = warehouse.query(
            "select distinct batch_id, regulation, requested_at from cdi.privacy_requests"
            " where status = 'INITIALIZED' order by requested_at"
        )
    if batches:
        manifest = load_manifest(project)
        for batch_id, regulation, _ in batches:
            log.info("resuming", extra={"batch_id": batch_id})
            _carry_out(project, manifest, IdentityTables.of(manifest), batch_id, regulation, as_of)
    return [batch_id for batch_id, _, _ in batches]


def status_of(warehouse: Warehouse, batch_id: str) -> tuple[str, list[Place]]:
    """The status of a batch and of its places."""
    status = warehouse.query(
        "select max(status) from cdi.privacy_requests where batch_id = $batch", {"batch": batch_id}
    )
    rows = warehouse.query(
        "select place, status, count_rows, coalesce(message, '') from cdi.privacy_request_places"
        " where batch_id = $batch order by finished_at, place",
        {"batch": batch_id},
    )
    return status[0][0], [Place(*row) for row in rows]


def all_requests(project: Project) -> list[dict[str, Any]]:
    """All batches of requests, newest first, with the places that are not finished."""
    with connect(project) as warehouse:
        if not warehouse.relation_exists("cdi", "privacy_requests"):
            return []
        open_places: dict[str, list[str]] = {}
        for batch_id, place in warehouse.query(
            "select batch_id, place from cdi.privacy_request_places where status <> 'FINISHED' order by 1, 2"
        ):
            open_places.setdefault(batch_id, []).append(place)
        rows = warehouse.query(
            "select batch_id, regulation, count(*), max(status), min(requested_at), max(finished_at)"
            " from cdi.privacy_requests group by 1, 2 order by 5 desc"
        )
    names = ("batch_id", "regulation", "requests", "status", "requested_at", "finished_at")
    return [{**dict(zip(names, row, strict=True)), "not_finished": open_places.get(row[0], [])} for row in rows]


@contextmanager
def alone(project: Project) -> Iterator[None]:
    """One privacy command at a time. An open DuckDB file would lock out dbt; there, its own lock is what there is."""
    if project.dialect == "duckdb":
        yield
        return
    with connect(project) as warehouse, warehouse.lock("privacy"):
        yield


@contextmanager
def session(project: Project, tables: IdentityTables) -> Iterator[Warehouse]:
    """An open warehouse that has the tables of requests, with nobody landing meanwhile."""
    with connect(project) as warehouse, warehouse.lock("land"):
        tables.require(warehouse, "events", "identity_graph", "arrival_identifiers")
        create_state_tables(warehouse)
        for name, columns in _TABLES.items():
            warehouse.execute(f"create table if not exists cdi.{name} ({columns})")
        warehouse.execute(CREATE)
        yield warehouse


def _check_key(warehouse: Warehouse, hasher: Hasher, remember: bool) -> None:
    """Raise UsageError where the key is another than the one that everybody suppressed was hashed with."""
    check = hasher.hash("cdi:privacy")
    before = (
        warehouse.query("select value from cdi.privacy_key")
        if (warehouse.relation_exists("cdi", "privacy_key"))
        else []
    )
    if not before:
        if remember:
            warehouse.execute("create table if not exists cdi.privacy_key (value text)")
            warehouse.execute("insert into cdi.privacy_key values ($check)", {"check": check})
    elif before[0][0] != check:
        raise UsageError(
            "CDI_PRIVACY_KEY is another key than the one that suppressed people were hashed with.",
            "Set it to that key: with another one they would come in again.",
        )


def _write_down(warehouse: Warehouse, batch_id: str, regulation: str, hashed: pa.Table) -> None:
    count = hashed.num_rows
    ids = pa.array([f"{batch_id}-{number}" for number in range(1, count + 1)])
    batch = pa.repeat(batch_id, count)
    identifiers = hashed["identifier"].combine_chunks()
    requests = pa.table(
        {
            "request_id": ids,
            "batch_id": batch,
            "regulation": pa.repeat(regulation, count),
            "identifier_type": pc.replace_substring_regex(identifiers, "(?s):.*", ""),
            "identifier_hash": hashed["identifier_hash"],
            "status": pa.repeat("INITIALIZED", count),
            "requested_at": pa.repeat(pa.scalar(now(), pa.timestamp("us")), count),
        }
    )
    warehouse.append("cdi.privacy_requests", requests.to_reader())
    named = pa.table({"batch_id": batch, "request_id": ids, "identifier": identifiers})
    warehouse.append("cdi.privacy_identifiers", named.to_reader())
    warehouse.execute(
        "update cdi.privacy_identifiers set is_named = true, is_shared = false, identifier_id = md5(identifier)"
        " where batch_id = $batch",
        {"batch": batch_id},
    )


def _answer(warehouse: Warehouse, tables: IdentityTables, batch_id: str, regulation: str) -> Answer:
    batch = {"batch": batch_id}
    found = warehouse.query(
        f"""
        select
            count(distinct request_id),
            count(distinct named.identifier),
            count(distinct case when is_shared then named.identifier end),
            count(distinct graph.profile_id)
        from cdi.privacy_identifiers as named
        left join {tables["identity_graph"]} as graph on named.identifier = graph.identifier
        where batch_id = $batch
        """,
        batch,
    )[0]
    events = warehouse.query(
        "select source, count(distinct event_id) from cdi.privacy_events where batch_id = $batch group by 1 order by 1",
        batch,
    )
    unknown = warehouse.query(
        "select count(*) from cdi.privacy_identifiers as named where batch_id = $batch and is_named"
        f" and not exists (select 1 from {tables['identity_graph']} as k where k.identifier = named.identifier)",
        batch,
    )[0][0]
    return Answer(
        batch_id, regulation, requests=found[0], unknown=unknown, identifiers=found[1], shared=found[2],
        profiles=found[3], events=dict(events),
    )  # fmt: skip


def _carry_out(
    project: Project, manifest: object, tables: IdentityTables, batch_id: str, regulation: str, as_of: str | None
) -> None:
    from cdi.privacy import erase

    with session(project, tables) as warehouse:
        if regulation == UNSUPPRESS:
            erase.place(warehouse, batch_id, "suppression", lambda: _lift(warehouse, batch_id))
        elif "SUPPRESS" in regulation:
            erase.place(
                warehouse, batch_id, "suppression", lambda: _suppress(warehouse, batch_id, regulation in DELETES)
            )
        if regulation in DELETES:
            erase.before_models(project, warehouse, manifest, tables, batch_id, regulation.endswith("_INTERNAL"))
    if regulation in DELETES:
        erase.models(project, tables, batch_id, as_of)
    with session(project, tables) as warehouse:
        if regulation in DELETES:
            erase.after_models(project, warehouse, batch_id)
        with warehouse.transaction():
            # Nothing but the hash is kept of a deleted person; until here it was hidden from tools by its plain hash.
            if regulation in DELETES:
                warehouse.execute(
                    f"update {SUPPRESSED} set identifier_id = null where identifier_id in"
                    " (select identifier_id from cdi.privacy_identifiers where batch_id = $batch)",
                    {"batch": batch_id},
                )
                warehouse.execute(f"delete from {SUPPRESSED} where identifier_id is null and identifier_hash is null")
            for table in WORK_TABLES:
                warehouse.execute(f"delete from cdi.{table} where batch_id = $batch", {"batch": batch_id})
            warehouse.execute(
                "update cdi.privacy_requests set status = 'RUNNING' where batch_id = $batch", {"batch": batch_id}
            )
            settle(warehouse)
        erase.scrub(warehouse)
    log.info("privacy request done", extra={"batch_id": batch_id, "regulation": regulation})


def settle(warehouse: Warehouse) -> None:
    """Bring the status of tools and of requests up to what their deletions came to."""
    warehouse.execute(
        """
        update cdi.privacy_request_places set
            status = case
                when exists (
                    select 1 from cdi.deletion_requests as asked
                    where asked.batch_id = privacy_request_places.batch_id and asked.status = 'NOT_SUPPORTED'
                        and privacy_request_places.place = 'tool: ' || asked.sync
                ) then 'NOT_SUPPORTED' else 'FINISHED' end,
            finished_at = cast($now as timestamp)
        where status = 'RUNNING' and place like 'tool: %' and not exists (
            select 1 from cdi.deletion_requests as asked
            where asked.batch_id = privacy_request_places.batch_id and asked.status in ('INITIALIZED', 'FAILED')
                and privacy_request_places.place = 'tool: ' || asked.sync
        )
        """,
        {"now": now()},
    )
    warehouse.execute(
        """
        update cdi.privacy_requests set
            status = case
                when exists (
                    select 1 from cdi.privacy_request_places as places
                    where places.batch_id = privacy_requests.batch_id and places.status = 'NOT_SUPPORTED'
                ) then 'PARTIAL_SUCCESS' else 'FINISHED' end,
            finished_at = cast($now as timestamp)
        where status = 'RUNNING' and not exists (
            select 1 from cdi.privacy_request_places as places
            where places.batch_id = privacy_requests.batch_id and places.status = 'RUNNING'
        )
        """,
        {"now": now()},
    )


def _suppress(warehouse: Warehouse, batch_id: str, is_delete: bool) -> int:
    """Keep out the identifiers that are the person's alone; hide the profile from tools by all of them."""
    rows = pa.Table.from_batches(
        warehouse.fetch(
            "select request_id, identifier, identifier_id, is_shared from cdi.privacy_identifiers"
            " where batch_id = $batch",
            {"batch": batch_id},
        )
    )
    hashed = Hasher().hashes(rows)
    alone = pc.invert(hashed["is_shared"])
    hidden = pa.table(
        {
            "identifier_hash": pc.if_else(alone, hashed["identifier_hash"], pa.scalar(None, pa.string())),
            "identifier_id": hashed["identifier_id"],
            "request_id": hashed["request_id"],
            "suppressed_at": pa.repeat(pa.scalar(now(), pa.timestamp("us")), hashed.num_rows),
        }
    )
    return warehouse.append(SUPPRESSED, hidden.to_reader())


def _lift(warehouse: Warehouse, batch_id: str) -> int:
    """Let in again whoever was suppressed by a request that covers one of the identifiers, with all of theirs."""
    return warehouse.execute(
        f"""
        delete from {SUPPRESSED} where request_id in (
            select covered.request_id from {SUPPRESSED} as covered
            inner join {SUPPRESSED} as same on covered.identifier_hash = same.identifier_hash
            inner join {SUPPRESSED} as named on same.request_id = named.request_id
            inner join cdi.privacy_requests as asked
                on named.identifier_hash = asked.identifier_hash and asked.batch_id = $batch
        )
        """,
        {"batch": batch_id},
    )


class _UndoneError(Exception):
    pass


@contextmanager
def undone(warehouse: Warehouse) -> Iterator[None]:
    """Whatever happens inside leaves the warehouse as it was."""
    try:
        with warehouse.transaction():
            yield
            raise _UndoneError
    except _UndoneError:
        pass
