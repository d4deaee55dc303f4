"""Records judged: which land, as the columns of their raw table, and which are rejected, and why.

A DuckDB in memory does it for every target, so that all warehouses hold the same rows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from cdi.landing.lines import MAX_DEPTH, STRING, SUSPECT, UnreadableFileError
from cdi.landing.sources import RawTable
from cdi.warehouse import quote

MAX_COLUMNS = 1000
"""PostgreSQL has 1600; a file with more keys uses keys as values."""

METADATA = {"load_id": "text", "loaded_at": "timestamp", "source_file": "text", "source_line": "bigint"}
"""Columns that landing itself writes, and their types."""

# PostgreSQL keeps these names for itself.
_TAKEN = {*METADATA, "tableoid", "xmin", "cmin", "xmax", "cmax", "ctid", "oid", "rowid"}


@dataclass(frozen=True)
class Judged:
    """A batch of records, judged.

    `landed` has source_line and columns of the raw table, `rejected` has source_line, reason and text.
    """

    landed: pa.Table
    rejected: pa.Table


class Judge:
    """Judges the batches of files for one raw table each; keeps nothing between them."""

    def __init__(self) -> None:
        self.engine = duckdb.connect(config={"threads": "1"})

    def judge(self, batch: pa.RecordBatch, table: RawTable, path: Path) -> Judged:
        """Judge a batch of RECORDS from the file `path`.

        Raises UnreadableFileError where its keys cannot all be columns.
        """
        reasons = self._reasons(batch)
        good = _without(batch, reasons)
        rejected = _rejected(batch, reasons)
        landed, reasons = self._whole(good, table) if table.record_column else self._spread(good, table, path)
        if reasons.null_count < len(reasons):
            rejected = pa.concat_tables([rejected, _rejected(good, reasons)]).sort_by("source_line")
        return Judged(_without(landed, reasons), rejected)

    def _reasons(self, batch: pa.RecordBatch) -> pa.StringArray:
        """Why records are no JSON object that every warehouse takes."""
        return self._query(
            r"""
            select case
                when problem is not null then problem
                when not json_valid(record) then 'not JSON'
                when not starts_with(record, '{') then 'not a JSON object'
                when suspect and regexp_matches(
                    regexp_replace(record, $string, '""', 'g'), ',\s*[}\]]|[nN][aA][nN]|[iI][nN][fF]'
                ) then 'not JSON'
                when suspect and regexp_matches(record, '(^|[^\\])(\\\\)*\\u0000')
                    then 'holds the null character \u0000'
                when suspect and regexp_matches(
                    regexp_replace(record, $string, '""', 'g'), '[eE][+-]?[0-9]{4}|[0-9]{1000}'
                ) then 'holds a number that is out of range'
                end as reason
            from batch
            """,
            {"string": STRING},
            batch=batch,
        )["reason"].combine_chunks()

    def _whole(self, good: pa.RecordBatch, table: RawTable) -> tuple[pa.Table, pa.StringArray]:
        """Records in one column, and why some still cannot land."""
        parameters: dict[str, object] = {}
        rules = []
        for number, (key, accepted) in enumerate(table.accepted_values.items()):
            # DuckDB may evaluate what several branches share before it looks at the branches' conditions.
            value = f"json_extract_string(case when json_valid(record) then record end, $key_{number})"
            parameters |= {
                f"key_{number}": _pointer(key),
                f"accepted_{number}": list(accepted),
                f"missing_{number}": f'no event: "{key}" is missing',
                f"unknown_{number}": f'no event: "{key}" is ',
            }
            rules.append(
                f"when not coalesce(list_contains($accepted_{number}, {value}), false) then case"
                f" when {value} is null then $missing_{number}"
                f" else $unknown_{number} || to_json(left({value}, 100)) end"
            )
        for number, key in enumerate(table.required):
            parameters |= {f"required_{number}": _pointer(key), f"lacking_{number}": _lacking(key)}
            rules.append(
                f"when trim(coalesce(json_extract_string(record, $required_{number}), '')) = '' then $lacking_{number}"
            )
        landed = pa.table({"source_line": good["source_line"], table.record_column: good["record"]})
        if not rules:
            return landed, pa.nulls(len(landed), pa.string())
        reasons = self._query(f"select case {' '.join(rules)} end as reason from batch", parameters, batch=good)
        return landed, reasons["reason"].combine_chunks()

    def _spread(self, good: pa.RecordBatch, table: RawTable, path: Path) -> tuple[pa.Table, pa.StringArray]:
        """Records as columns, and why some still cannot land."""
        keys = sorted(
            self._query("select distinct unnest(json_keys(record)) as key from batch", batch=good)["key"].to_pylist()
        )
        columns: dict[str, list[int]] = {}
        for position, key in enumerate(keys, 1):
            columns.setdefault(column_name(key), []).append(position)
        if len(columns) > MAX_COLUMNS:
            raise UnreadableFileError(
                f"{path} cannot land: its records have {len(columns):,} different keys, and each would become"
                f" a column of {table.schema}.{table.identifier}.",
                "Keep records whole in one JSON column: name it as record_column in the source's YAML.",
            )
        parameters: dict[str, object] = {"paths": [_pointer(key) for key in keys]}
        values = {
            column: "coalesce({})".format(
                ", ".join(
                    _JSON_VALUE.format(n) if table.columns.get(column) == "json" else f"v[{n}]" for n in positions
                )
            )
            for column, positions in columns.items()
        }
        rules = []
        for number, column in enumerate(table.required):
            parameters[f"lacking_{number}"] = _lacking(column)
            rules.append(f"when trim(coalesce({values.get(column, 'null')}, '')) = '' then $lacking_{number}")
        reason = f"case {' '.join(rules)} end" if rules else "null::varchar"
        selected = "".join(f", {value} as {quote(column)}" for column, value in values.items())
        has_json = any(table.columns.get(column) == "json" for column in columns)
        if has_json:
            parameters["suspect"] = SUSPECT
        spread = self._query(
            f"select {reason} as cdi_reason, source_line{selected} from (select source_line,"
            " json_extract_string(record, $paths::varchar[]) as v"
            f"{', json_extract(record, $paths::varchar[]) as j' if has_json else ''} from batch)",
            parameters,
            batch=good,
        )
        return spread.drop_columns("cdi_reason"), spread["cdi_reason"].combine_chunks()

    def _query(self, sql: str, parameters: dict[str, object] | None = None, **tables: pa.RecordBatch) -> pa.Table:
        for name, rows in tables.items():
            self.engine.register(name, pa.Table.from_batches([rows]))
        return self.engine.sql(sql, params=parameters).to_arrow_table()


# A text that holds JSON counts as what it holds: CSV has no other way to say it. One that parsers may disagree on
# stays a text.
_JSON_VALUE = (
    "case json_type(j[{0}]) when 'NULL' then null when 'VARCHAR' then case when json_valid(v[{0}])"
    " and not regexp_matches(v[{0}], $suspect)"
    f" and strlen(v[{{0}}]) - strlen(translate(v[{{0}}], '{{{{[', '')) < {MAX_DEPTH}"
    " then v[{0}] else j[{0}]::varchar end else j[{0}]::varchar end"
)


def column_name(key: str) -> str:
    """A key or header as a column: CustomerID is customer_id, SystemModstamp is system_modstamp."""
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", key.strip())
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    name = re.sub(r"\W+", "_", name).strip("_").lower() or "unnamed"
    # PostgreSQL cuts names after 63 bytes.
    name = name.encode()[:60].decode(errors="ignore")
    return f"{name}_" if name in _TAKEN else name


def _without(rows: pa.RecordBatch | pa.Table, reasons: pa.StringArray) -> Any:
    return rows.filter(pc.is_null(reasons)) if reasons.null_count < len(reasons) else rows


def _rejected(batch: pa.RecordBatch, reasons: pa.StringArray) -> pa.Table:
    mask = pc.is_valid(reasons)
    return pa.table(
        {
            "source_line": batch["source_line"].filter(mask),
            "reason": reasons.filter(mask),
            "text": batch["text"].filter(mask),
        }
    )


def _lacking(column: str) -> str:
    return f"required column {column} is missing or empty"


def _pointer(key: str) -> str:
    return "/" + key.replace("~", "~0").replace("/", "~1")
