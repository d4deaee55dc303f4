"""Pairs of profiles that are probably one person though no event links them: mistyped e-mails, a second account.

A probabilistic matcher (splink, after Fellegi and Sunter) compares profiles field by field. Each level of agreement has
two numbers: `m`, how often two profiles of one person show it, and `u`, how often two different people do. A pair's
weight is the sum of log2(m / u) over the fields that both profiles know. Pairs are only proposed, in
`raw.identity_proposals`; the identity models take them as links where var('match_threshold') says so.

The profiles leave the warehouse as Arrow and are compared in a DuckDB in memory. The same profiles give the same pairs:
sampling goes by hashes, learning runs on one thread, and what is written is rounded.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec

import duckdb

from cdi.dbt import load_manifest
from cdi.errors import CdiError, UsageError
from cdi.identity.matching import pairs, records
from cdi.identity.matching.comparisons import COMPARISONS
from cdi.identity.matching.proposals import Proposal, make_proposals, read_proposals, write_proposals
from cdi.identity.tables import IdentityTables
from cdi.project import Project
from cdi.warehouse import connect

log = logging.getLogger(__name__)

MIN_PROFILES = 100
"""Fewer profiles than this say nothing about how often people share a name."""


@dataclass(frozen=True)
class Matching:
    """What the matcher read, found (the likeliest first) and wrote."""

    profiles: int
    """Profiles with an e-mail or a name."""
    proposals: list[Proposal]
    matcher: str
    table: str
    is_dry_run: bool
    notes: list[str] = field(default_factory=list)

    @property
    def new(self) -> int:
        """How many pairs were not proposed before."""
        return sum(proposal.is_new for proposal in self.proposals)


def match(project: Project, dry_run: bool = False, tables: IdentityTables | None = None) -> Matching:
    """Compare the profiles of the project's warehouse and add pairs that were not proposed before to the raw table.

    A pair of profiles that is in the table keeps its row, weight and `loaded_at` as they were first written; `dry_run`
    writes nothing. Raises UsageError where splink or the tables are missing, or where there is too little to learn
    from; nothing is written then.
    """
    if find_spec("splink") is None:
        raise UsageError(
            "cdi identity match needs splink, which is not installed.", "Install it with `pip install 'cdi[match]'`."
        )
    tables = tables or IdentityTables.of(load_manifest(project))
    with connect(project) as warehouse, warehouse.lock("cdi identity match"), duckdb.connect() as engine:
        tables.require(warehouse, "profiles", "identity_graph", "identity_refused_links", "identity_proposals")
        engine.execute("set memory_limit = $limit", {"limit": _memory_limit(project)})
        count = records.read_records(warehouse, engine, tables)
        log.info("profiles to match", extra={"profiles": count})
        if count < MIN_PROFILES:
            raise UsageError(
                f"Only {count} profiles have an e-mail or a name: too few to learn how people differ.",
                f"The matcher needs {MIN_PROFILES}. Nothing was written.",
            )
        notes = _compare(engine)
        proposals = read_proposals(engine)
        answer = Matching(count, proposals, _matcher(), ".".join(tables.relation("identity_proposals")), dry_run, notes)
        if answer.new and not dry_run:
            write_proposals(warehouse, engine, tables, answer.matcher)
    log.info("proposed pairs", extra={"pairs": len(proposals), "new": answer.new, "is_dry_run": dry_run})
    return answer


def _compare(engine: duckdb.DuckDBPyConnection) -> list[str]:
    """Fill `proposals` of the engine from `records`; returns notes for the reader."""
    # splink takes its time to import: only a command that matches pays for it.
    from splink.internals.exceptions import SplinkException

    from cdi.identity.matching.scoring import score

    try:
        pairs.find_pairs(engine)
        predictions, notes = score(engine)
        make_proposals(engine, predictions)
    except (SplinkException, duckdb.Error, ArithmeticError, ValueError) as error:
        # Its text may hold values: only its kind is told.
        raise CdiError(
            f"The matcher could not learn from these profiles ({type(error).__name__}). Nothing was written."
        ) from None
    return notes


def _matcher() -> str:
    """The matcher's name: splink's version, and a hash of what is compared and how."""
    rules = repr((COMPARISONS, pairs.BLOCKS, records.RECORDS))
    return f"splink {version('splink')} {hashlib.sha256(rules.encode()).hexdigest()[:8]}"


def _memory_limit(project: Project) -> str:
    """As much memory as the DuckDB profile allows itself, else 4 GB."""
    return str((getattr(project.credentials, "settings", None) or {}).get("memory_limit", "4GB"))
