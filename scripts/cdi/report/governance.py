"""The governance report: aggregates from the warehouse and owners from dbt's manifest, on one page."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from markupsafe import Markup

from cdi.audiences import is_audience
from cdi.dbt import load_manifest
from cdi.errors import UsageError
from cdi.gates.suites import GATES, Table, tables_of
from cdi.project import Project
from cdi.report import charts
from cdi.report.page import Section, Tile, write_page
from cdi.warehouse import Warehouse, connect

TOP = 12
"""Rows of a list; the warehouse has the others."""


def write_report(project: Project, out: Path, days: int = 60) -> Path:
    """Write the page and return its path; sections of what is not in the warehouse are left out.

    Raises UsageError where nothing has been built yet.
    """
    manifest = load_manifest(project)
    with connect(project, read_only=True) as warehouse:
        report = Report(warehouse, manifest, days)
        return write_page(project, out, "Governance report", report.tiles(), report.sections())


class Report:
    """What the page says, asked of one warehouse."""

    def __init__(self, warehouse: Warehouse, manifest: Any, days: int) -> None:
        self.warehouse = warehouse
        self.manifest = manifest
        self.tables = tables_of(manifest)
        if not self._columns("event_counts"):
            raise UsageError("The warehouse has no governance.event_counts yet.", "Run `cdi run` or `dbt build` first.")
        counts = self._relation("event_counts")
        self.today: date = warehouse.query(f"select max(happened_on) from {counts}")[0][0] or datetime.now(UTC).date()
        self.since = self.today - timedelta(days=days - 1)

    def tiles(self) -> list[Tile]:
        """The numbers at the top."""
        counts = self._relation("event_counts")
        recent, before = self.warehouse.query(
            "select coalesce(sum(case when happened_on > $week then count_events else 0 end), 0),"
            " coalesce(sum(case when happened_on <= $week then count_events else 0 end), 0)"
            f" from {counts} where happened_on > $fortnight",
            {"week": self.today - timedelta(days=7), "fortnight": self.today - timedelta(days=14)},
        )[0]
        change = f", {recent / before - 1:+.0%} on the week before" if before else ""
        tiles = [Tile(f"{int(recent):,}", f"events in 7 days{change}")]
        freshness = self._relation("source_freshness")
        late = self.warehouse.query(
            f"select count(*), sum(case when silence_to_usual > 3 then 1 else 0 end) from {freshness}"
        )
        sources, silent = late[0][0], int(late[0][1] or 0)
        tiles.append(Tile(f"{sources - silent} of {sources}", "sources deliver as usual", "warn" if silent else "good"))
        if results := self._latest_results():
            failed = [row for row in results if not row[5]]
            state = "bad" if any(row[4] == "stop" for row in failed) else "warn" if failed else "good"
            tiles.append(
                Tile(f"{len(results) - len(failed)} of {len(results)}", "expectations met in the last run", state)
            )
        if count := self._count_column("violations"):
            broken = self.warehouse.query(f"select coalesce(sum({count}), 0) from {self._relation('violations')}")[0][0]
            tiles.append(Tile(f"{int(broken):,}", "violations of the tracking plan", "warn" if broken else "good"))
        if self._columns("quarantine"):
            held = self.warehouse.query(f"select count(*) from {self._relation('quarantine')}")[0][0]
            tiles.append(Tile(f"{held:,}", "events in quarantine", "warn" if held else "good"))
        return tiles

    def sections(self) -> list[Section]:
        """The parts of the page that there is something to say in."""
        parts = (
            self._gates(), self._events(), self._freshness(), self._violations(), self._violations_over_time(),
            self._quarantine(), self._privacy(), self._tools(), self._owners(),
        )  # fmt: skip
        return [part for part in parts if part]

    def _events(self) -> Section | None:
        rows = self.warehouse.query(
            f"select source, happened_on, sum(count_events) from {self._relation('event_counts')}"
            " where happened_on >= $since group by 1, 2 order by 1, 2",
            {"since": self.since},
        )
        if not rows:
            return None
        # Days without events are zero, not a line from the day before to the day after.
        counted = {(source, day): int(count) for source, day, count in rows}
        sources = sorted({source for source, _ in counted})
        length = (self.today - self.since).days + 1
        every_day = [self.since + timedelta(days=offset) for offset in range(length)]
        first = {source: min(day for name, day in counted if name == source) for source in sources}
        values = [
            {"source": source, "day": day.isoformat(), "events": counted.get((source, day), 0)}
            for source in sources
            for day in every_day
            if day >= first[source]
        ]
        return Section(
            "Events per day", "By source and by when they happened; each source on its own scale.",
            charts.events_by_day(values),
        )  # fmt: skip

    def _freshness(self) -> Section:
        rows = self.warehouse.query(
            "select source, last_event_at, last_loaded_at, hours_silent, usual_gap_days, silence_to_usual"
            f" from {self._relation('source_freshness')} order by coalesce(silence_to_usual, -1) desc, source"
        )
        return Section(
            "Freshness",
            "How long each source has been silent, against the longest it usually is.",
            header=("source", "newest event", "arrived", "silent for", "usual at most", ""),
            rows=tuple(
                (
                    source, _minute(event_at), _minute(loaded_at), _duration(hours),
                    _duration(24 * int(gap)) if gap else "not known yet",
                    _freshness_pill(ratio),
                )
                for source, event_at, loaded_at, hours, gap, ratio in rows
            ),
        )  # fmt: skip

    def _latest_results(self) -> list[tuple[Any, ...]]:
        if not self.warehouse.relation_exists("cdi", "validation_results"):
            return []
        # A run checks gates in several steps.
        return self.warehouse.query(
            "select gate, table_name, column_name, description, severity, success, observed_value, owner"
            " from cdi.validation_results where run_id = (select max(run_id) from cdi.validation_results where"
            " validated_at = (select max(validated_at) from cdi.validation_results)) order by success, severity, gate"
        )

    def _gates(self) -> Section | None:
        latest = self._latest_results()
        if not latest:
            return None
        rows = self.warehouse.query(
            "select gate, cast(validated_at as date),"
            " max(case when success then 0 when severity = 'stop' then 2 else 1 end)"
            " from cdi.validation_results where validated_at >= $since group by 1, 2",
            {"since": datetime.now(UTC).replace(tzinfo=None) - timedelta(days=30)},
        )
        states = list(charts.STATES)
        values = [
            {"gate": gate, "day": day.isoformat(), "state": states[int(worst)]}
            for gate, day, worst in sorted(
                rows, key=lambda row: (GATES.index(row[0]) if row[0] in GATES else 99, row[1])
            )
        ]
        failed = [row for row in latest if not row[5]]
        return Section(
            "Gates",
            "The worst that any run of a day found, over the last thirty days. "
            + ("What the last run found:" if failed else "The last run found nothing."),
            charts.states_by_day(values) if values else None,
            ("", "where", "expected", "seen", "owner") if failed else (),
            tuple(
                (
                    _pill("stopped", "bad") if severity == "stop" else _pill("warning", "warn"),
                    f"{gate}: {table}" + (f".{column}" if column else ""), description, observed, owner or "",
                )
                for gate, table, column, description, severity, _, observed, owner in failed[:TOP]
            ),
        )  # fmt: skip

    def _violations(self) -> Section | None:
        count = self._count_column("violations")
        if not count:
            return None
        relation = self._relation("violations")
        by_event = self.warehouse.query(
            f"select coalesce(event, '(no name)'), coalesce(owner, 'nobody'), sum({count}) from {relation}"
            f" group by 1, 2 order by 3 desc limit {TOP}"
        )
        if not by_event:
            return Section("Violations", "No event breaks the tracking plan.")
        worst = self.warehouse.query(
            f"select coalesce(event, '(no name)'), rule, path, coalesce(owner, 'nobody'), sum({count}),"
            f" min(first_seen_at), max(last_seen_at) from {relation} group by 1, 2, 3, 4 order by 5 desc limit {TOP}"
        )
        return Section(
            "Violations",
            "Events that break the tracking plan, by who owns them.",
            charts.bars(({"name": name, "kind": owner, "count": int(n)} for name, owner, n in by_event), "owner"),
            ("event", "rule", "property", "owner", "count", "first seen", "last seen"),
            tuple(
                (event, rule, path or "", owner, int(n), _minute(first), _minute(last))
                for event, rule, path, owner, n, first, last in worst
            ),
        )

    def _violations_over_time(self) -> Section | None:
        count = self._count_column("violation_observations")
        if not count or "received_on" not in self._columns("violation_observations"):
            return None
        owners = "select event, max(owner) as owner from {} group by 1".format(self._relation("violations"))
        rows = self.warehouse.query(
            f"select seen.received_on, coalesce(owned.owner, 'nobody'), sum(seen.{count})"
            f" from {self._relation('violation_observations')} as seen"
            f" left join ({owners}) as owned on seen.event = owned.event"
            " where seen.received_on >= $since group by 1, 2 order by 1, 2",
            {"since": self.since},
        )
        if not rows:
            return None
        values = self._every_day(rows)
        return Section("Violations over time", "By the day they were received.", charts.stacked_by_day(values, "owner"))

    def _quarantine(self) -> Section | None:
        columns = self._columns("quarantine")
        if not columns:
            return None
        status = next((name for name in ("status", "verdict") if name in columns), "source")
        at = next((name for name in ("quarantined_at", "received_at") if name in columns), None)
        if at is None:
            return None
        relation = self._relation("quarantine")
        rows = self.warehouse.query(
            f"select coalesce(event, '(no name)'), {status}, count(*), min({at}), max({at}) from {relation}"
            f" group by 1, 2 order by 3 desc limit {TOP}"
        )
        if not rows:
            return Section("Quarantine", "No event is kept back.")
        by_day = self.warehouse.query(
            f"select cast({at} as date), {status}, count(*) from {relation} where {at} >= $since"
            " group by 1, 2 order by 1",
            {"since": self.since},
        )
        values = self._every_day(by_day)
        return Section(
            "Quarantine",
            "Events that are kept from profiles and tools until the plan or they are mended.",
            charts.stacked_by_day(values, status) if values else None,
            ("event", status, "events", "oldest", "newest"),
            tuple((event, kind, n, _minute(oldest), _minute(newest)) for event, kind, n, oldest, newest in rows),
        )

    def _privacy(self) -> Section | None:
        columns = self.warehouse.column_names("cdi", "privacy_requests")
        if not {"regulation", "status", "requested_at"} <= set(columns):
            return None
        rows = self.warehouse.query(
            "select regulation, status, count(*), min(requested_at), max(requested_at) from cdi.privacy_requests"
            f" group by 1, 2 order by 5 desc limit {TOP}"
        )
        return Section(
            "Privacy requests",
            "Who asked is nowhere kept." if rows else "Nobody has asked to be suppressed or deleted.",
            header=("request", "status", "identifiers", "first", "last") if rows else (),
            rows=tuple((kind, status, n, _minute(first), _minute(last)) for kind, status, n, first, last in rows),
        )

    def _tools(self) -> Section | None:
        rows = []
        for exposure in sorted(self.manifest.exposures.values(), key=lambda item: item.name):
            for unique_id in sorted(exposure.depends_on.nodes):
                node = self.manifest.nodes.get(unique_id)
                if node is None:
                    continue
                parents = sorted(self._audiences_below(node))
                people = self._people(self.tables[node.name]) if node.name in self.tables else None
                rows.append(
                    (exposure.label or exposure.name, node.name, ", ".join(parents),
                     "" if people is None else people, exposure.owner.name or "")
                )  # fmt: skip
        if not rows:
            return None
        return Section(
            "What tools get", "Each tool, the models it is sent, the audiences they are from, and whose it is.",
            header=("tool", "model", "from", "rows", "owner"), rows=tuple(rows),
        )  # fmt: skip

    def _owners(self) -> Section | None:
        owned: dict[str, dict[str, list[str]]] = {}
        for node in self.manifest.nodes.values():
            if node.resource_type != "model" or not (owner := node.config.meta.get("owner")):
                continue
            kind = "events" if node.config.meta.get("event") else "audiences" if is_audience(node) else "models"
            name = node.config.meta.get("event") or node.name
            owned.setdefault(str(owner), {}).setdefault(kind, []).append(str(name))
        if not owned:
            return None
        return Section(
            "Owners",
            "From `meta.owner` of the models: who to ask, and who is told.",
            header=("owner", "events", "audiences", "other models"),
            rows=tuple(
                (owner, *(", ".join(sorted(kinds.get(kind, []))) for kind in ("events", "audiences", "models")))
                for owner, kinds in sorted(owned.items())
            ),
        )

    def _every_day(self, rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
        """Rows of (day, kind, count) for a chart, the days without any included; empty where there are none."""
        if not rows:
            return []
        last = max(self.today, *(row[0] for row in rows))
        days = [self.since + timedelta(days=offset) for offset in range((last - self.since).days + 1)]
        empty = [(day, rows[0][1], 0) for day in sorted(set(days) - {row[0] for row in rows})]
        return [{"day": day.isoformat(), "kind": kind, "count": int(count)} for day, kind, count in [*rows, *empty]]

    def _audiences_below(self, node: Any) -> set[str]:
        found = set()
        for unique_id in node.depends_on.nodes:
            parent = self.manifest.nodes.get(unique_id)
            if parent is not None and is_audience(parent):
                found.add(parent.name)
        return found

    def _people(self, table: Table) -> int | None:
        if not self.warehouse.relation_exists(table.schema, table.alias):
            return None
        return self.warehouse.query(f"select count(*) from {table.relation}")[0][0]

    def _columns(self, model: str) -> list[str]:
        """The columns of a governance table in the warehouse; none where it is not there."""
        table = self._table(model)
        return self.warehouse.column_names(table.schema, table.alias)

    def _table(self, model: str) -> Table:
        return self.tables.get(model) or Table(model, "governance", model)

    def _relation(self, model: str) -> str:
        return self._table(model).relation

    def _count_column(self, model: str) -> str | None:
        columns = self._columns(model)
        return next((f'"{name}"' for name in ("count_seen", "count") if name in columns), None)


def _pill(text: str, state: str) -> Markup:
    return Markup('<span class="pill {}">{}</span>').format(state, text)


def _freshness_pill(ratio: float | None) -> Markup:
    if ratio is None:
        return _pill("new", "")
    return _pill("late", "warn") if ratio > 3 else _pill("fresh", "good")


def _minute(moment: Any) -> str:
    return moment.strftime("%Y-%m-%d %H:%M") if moment else ""


def _duration(hours: Any) -> str:
    hours = int(hours or 0)
    return f"{hours} h" if hours < 48 else f"{hours // 24} days"
