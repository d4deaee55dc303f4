"""Gates run: each is a Great Expectations checkpoint over query assets, evaluated in the warehouse.

Only aggregates come out of the warehouse, and of what failed a few keys.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import threading
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cdi.errors import UsageError, mask_secrets
from cdi.gates.results import GateResult, Outcome, ensure_table, last_passed_at, remember
from cdi.gates.suites import Expectation, Table, pii_columns, read_suite
from cdi.project import Project
from cdi.run_counts import ensure_run_counts
from cdi.warehouse import Warehouse, connect

log = logging.getLogger(__name__)

EXAMPLES = 5
STAGING_ROWS = 200_000
"""Staging models parse what landed each time they are read: a gate looks at so many of the new rows."""

_COUNTS_ONLY = {"result_format": "BASIC", "partial_unexpected_count": 0, "exclude_unexpected_values": True}


def import_in_background() -> None:
    """Start importing GX, which takes seconds, while the warehouse is at work."""
    threading.Thread(target=_import_gx, daemon=True).start()


def _import_gx() -> Any:
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    with _quiet():
        import great_expectations as gx
    # Its log is for its own makers: what users need is in the results.
    logger = logging.getLogger("great_expectations")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    return gx


class Gates:
    """The gates of one run: one GX context, however many gates are checked, and one id for what they found."""

    def __init__(self, project: Project, manifest: Any, run_id: str, warn_only: bool = False) -> None:
        self.project = project
        self.manifest = manifest
        self.run_id = run_id
        self.warn_only = warn_only
        self.results: list[GateResult] = []
        self.pages: list[tuple[str, str, Any]] = []
        """(gate, table, GX's result), for Data Docs."""
        self._pii = pii_columns(manifest)
        self._context: Any = None

    def check(self, names: Iterable[str]) -> list[GateResult]:
        """Evaluate gates and keep what was found; raises UsageError where a suite is wrong or a model is not built."""
        suites = {name: read_suite(self.project.root, name, self.manifest) for name in names}
        validated_at = datetime.now(UTC).replace(tzinfo=None)
        results = []
        with connect(self.project) as warehouse:
            ensure_table(warehouse)
            ensure_run_counts(warehouse)
            with self._datasource(warehouse) as datasource:
                for name, expectations in suites.items():
                    started = time.monotonic()
                    outcomes = self._check_gate(name, expectations, datasource, warehouse)
                    results.append(GateResult(name, outcomes, time.monotonic() - started))
            remember(warehouse, self.run_id, validated_at, results)
        self.results += results
        for result in results:
            log.info(
                "gate %s checked", result.gate,
                extra={
                    "run_id": self.run_id, "expectations": len(result.outcomes), "seconds": round(result.seconds, 2),
                    "stopped_by": [str(outcome) for outcome in result.stopped_by],
                    "warnings": [str(outcome) for outcome in result.warnings],
                },
            )  # fmt: skip
        return results

    def write_docs(self) -> Path | None:
        """Write Data Docs of all that was checked; the path of their first page."""
        from cdi.gates.data_docs import write_data_docs

        return write_data_docs(self.project, self.run_id, self.results, self.pages) if self.pages else None

    @contextmanager
    def _datasource(self, warehouse: Warehouse) -> Iterator[Any]:
        gx = _import_gx()
        if self._context is None:
            from great_expectations.data_context.types.base import ProgressBarsConfig

            self._context = gx.get_context(mode="ephemeral")
            self._context.variables.progress_bars = ProgressBarsConfig(globally=False)
        sources = self._context.data_sources
        if self.project.dialect == "duckdb":
            from cdi.gates import duckdb_dialect

            with duckdb_dialect.using(warehouse.connection), _quiet():
                source = sources.add_or_update_sql("warehouse", connection_string=duckdb_dialect.URL)
                try:
                    yield source
                finally:
                    _close(source)
            return
        from sqlalchemy import URL

        credentials = self.project.credentials
        url = URL.create(
            "postgresql+psycopg", credentials.user, credentials.password, credentials.host, credentials.port,
            credentials.database,
        )  # fmt: skip
        with _quiet():
            source = sources.add_or_update_postgres(
                "warehouse", connection_string=url.render_as_string(hide_password=False)
            )
            try:
                yield source
            finally:
                _close(source)

    def _check_gate(
        self, gate: str, expectations: list[Expectation], datasource: Any, warehouse: Warehouse
    ) -> list[Outcome]:
        present = set(warehouse.query("select table_schema, table_name from information_schema.tables"))
        by_table: dict[Table, list[Expectation]] = {}
        for expectation in expectations:
            by_table.setdefault(expectation.table, []).append(expectation)
        outcomes: dict[int, Outcome] = {}
        runnable: list[tuple[Table, str, list[Expectation]]] = []
        for table, group in by_table.items():
            if (table.schema, table.alias) not in present:
                if table.is_model:
                    raise UsageError(
                        f"{table.name} is not built: there is no {table.schema}.{table.alias}.",
                        "Run `dbt build` first.",
                    )
                outcomes |= {id(item): _untested(item, "there is no such table yet") for item in group}
                continue
            query = self._query(gate, table, warehouse)
            if not warehouse.query(f"select 1 from ({query}) as found limit 1"):
                outcomes |= {id(item): _untested(item, "no rows yet") for item in group if item.needs_rows}
                group = [item for item in group if not item.needs_rows]
            if group:
                runnable.append((table, query, group))
        if runnable:
            outcomes |= self._run_checkpoint(gate, runnable, datasource)
        found = [outcomes[id(expectation)] for expectation in expectations]
        if self.warn_only:
            # Whoever lets it through has seen it: the next run starts from here.
            found = [outcome if outcome.success else replace(outcome, severity="warn") for outcome in found]
        return found

    def _query(self, gate: str, table: Table, warehouse: Warehouse) -> str:
        """What a gate reads of a table: all of it; on the floor of staging what landed since the gate was passed."""
        if gate != "staging":
            return f"select * from {table.relation}"
        passed_at = last_passed_at(warehouse, gate)
        since = f" where loaded_at > timestamp '{passed_at - timedelta(days=1):%Y-%m-%d %H:%M:%S}'" if passed_at else ""
        return f"select * from {table.relation}{since} limit {STAGING_ROWS}"

    def _run_checkpoint(
        self, gate: str, tables: list[tuple[Table, str, list[Expectation]]], datasource: Any
    ) -> dict[int, Outcome]:
        import great_expectations as gx

        assert self._context is not None
        definitions, batches = [], {}
        by_id: dict[str, tuple[Expectation, str]] = {}
        for table, query, group in tables:
            name = f"{gate}.{table.name}"
            batches[name] = datasource.add_query_asset(name, query=query).add_batch_definition(name)
            suite = self._context.suites.add(gx.ExpectationSuite(name=name))
            for expectation in group:
                by_id[suite.add_expectation(_as_gx(expectation)).id] = (expectation, name)
            definitions.append(
                self._context.validation_definitions.add(
                    gx.ValidationDefinition(name=name, data=batches[name], suite=suite)
                )
            )
        checkpoint = gx.Checkpoint(name=gate, validation_definitions=definitions, result_format=_COUNTS_ONLY)
        answer = self._context.checkpoints.add(checkpoint).run()
        outcomes = {}
        for result in answer.run_results.values():
            for item in result.results:
                expectation, name = by_id[item.expectation_config.id]
                examples = () if item.success else self._examples(expectation, batches[name])
                outcomes[id(expectation)] = _outcome(expectation, item, examples)
                if examples:
                    item.result["details"] = {"examples": list(examples)}
            self.pages.append((gate, result.suite_name.partition(".")[2], result))
        # Names are free again for the next time.
        self._context.checkpoints.delete(gate)
        for table, *_ in tables:
            name = f"{gate}.{table.name}"
            self._context.validation_definitions.delete(name)
            self._context.suites.delete(name)
            datasource.delete_asset(name)
        return outcomes

    def _examples(self, expectation: Expectation, batch: Any) -> tuple[dict[str, str], ...]:
        """A few rows that break an expectation: the columns of its key, or what its SQL selects; pii masked."""
        by_sql = "unexpected_rows_query" in expectation.arguments
        if not by_sql and not expectation.key:
            return ()
        result_format: dict[str, Any] = {"result_format": "COMPLETE"} if by_sql else {
            "result_format": "SUMMARY", "partial_unexpected_count": EXAMPLES, "exclude_unexpected_values": True,
            "unexpected_index_column_names": list(expectation.key),
        }  # fmt: skip
        answer = batch.get_batch().validate(_as_gx(expectation), result_format=result_format)
        if by_sql:
            rows = (answer.result.get("details") or {}).get("unexpected_rows", [])[:EXAMPLES]
        else:
            listed = answer.result.get("partial_unexpected_index_list") or [{}]
            columns = listed[0]
            rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        shown = [
            {name: "***" if name.lower() in self._pii else _text(value) for name, value in row.items()} for row in rows
        ]
        return tuple(row for place, row in enumerate(shown) if row not in shown[:place])


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _close(datasource: Any) -> None:
    datasource.get_engine().dispose()
    datasource.get_execution_engine().engine.dispose()


def _as_gx(expectation: Expectation) -> Any:
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    place = f"tests/expectations/{expectation.gate}.json: {expectation.type} on {expectation.table.name}"
    # GX prints where others log.
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            return ExpectationConfiguration(
                type=expectation.type,
                kwargs=expectation.arguments,
                meta={"owner": expectation.owner},
                description=expectation.description,
                severity="critical" if expectation.severity == "stop" else "warning",
            ).to_domain_obj()
        except Exception as error:  # GX and pydantic raise what they like
            raise UsageError(f"{place} is wrong: {' '.join(str(error).split())}") from None


def _untested(expectation: Expectation, reason: str) -> Outcome:
    return _outcome_of(expectation, True, reason)


def _outcome_of(
    expectation: Expectation, success: bool, observed: str, count: int | None = None,
    examples: tuple[dict[str, str], ...] = (),
) -> Outcome:  # fmt: skip
    return Outcome(
        gate=expectation.gate,
        table=expectation.table.name,
        column=expectation.column,
        expectation=expectation.type,
        description=expectation.description,
        severity=expectation.severity,
        owner=expectation.owner,
        success=success,
        observed=observed,
        unexpected_count=count,
        examples=examples,
    )


def _outcome(expectation: Expectation, item: Any, examples: tuple[dict[str, str], ...]) -> Outcome:
    """GX's result in our words."""
    problem = _problem(item.exception_info)
    if problem:
        return _outcome_of(expectation, False, f"it cannot be evaluated: {problem}")
    result = item.result or {}
    if "unexpected_count" in result:
        count, rows = int(result["unexpected_count"]), int(result.get("element_count") or 0)
        empty = int(result.get("missing_count") or 0)
        if rows and empty == rows:
            observed = f"nothing to judge yet: {empty:,} values are empty"
        else:
            observed = f"{count:,} of {rows - empty:,} rows" + (f" ({count / (rows - empty):.1%})" if count else "")
            observed += f", {empty:,} empty" if empty else ""
        return _outcome_of(expectation, bool(item.success), observed, count, examples)
    observed = result.get("observed_value")
    if "unexpected_rows_query" in expectation.arguments:
        count = int(observed or 0)
        return _outcome_of(
            expectation, bool(item.success), f"{count:,} row{'' if count == 1 else 's'}", count, examples
        )
    return _outcome_of(expectation, bool(item.success), _text(observed))


def _problem(info: Any) -> str:
    """The message of an exception that GX caught, in either of its two layouts."""
    for entry in [info or {}, *(value for value in (info or {}).values() if isinstance(value, dict))]:
        if entry.get("raised_exception"):
            return mask_secrets(" ".join(str(entry.get("exception_message")).split()))[:500]
    return ""


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "nothing" if value is None else str(value)


def gate_message(results: list[GateResult]) -> str:
    """What stopped a run, in words."""
    failed = [outcome for result in results for outcome in result.stopped_by]
    first, *others = failed
    text = f"Gate {first.gate} failed. {first}"
    if others:
        text += (
            " Failed too: " + "; ".join(f"{item.place}: {item.description} ({item.observed})" for item in others) + "."
        )
    return text
