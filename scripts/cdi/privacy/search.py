"""The proof: every text and JSON column of every table, and the files that the project writes, searched for values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import md5
from pathlib import Path

import duckdb

from cdi.errors import UsageError
from cdi.privacy.people import spellings
from cdi.project import Project
from cdi.warehouse import Warehouse, connect, quote

FOLDERS = ("logs", "target", "output")
_SYSTEM = ("information_schema", "pg_catalog", "pg_toast")
# What can hold no text: everything else is looked at as text, lists and objects included.
_NO_TEXT = (
    "boolean", "tinyint", "smallint", "integer", "bigint", "hugeint", "utinyint", "usmallint", "uinteger", "ubigint",
    "decimal", "numeric", "real", "float", "double", "date", "time", "interval",
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """A column or a file that holds a value."""

    place: str
    kind: str
    """value, or hash: the plain hash of the identifier, which only whoever knows the value can tell."""
    count: int
    """Rows or lines."""


@dataclass
class Proof:
    """What was searched, and what was found."""

    findings: list[Finding] = field(default_factory=list)
    tables: int = 0
    columns: int = 0
    rows: int = 0
    files: int = 0


def prove(project: Project, identifiers: Iterable[str]) -> Proof:
    """Search for identifiers (`type=value`) in the whole database of the target and in logs/, target/ and output/.

    A value counts where it stands as a word of its own, in any case. A telephone number is looked for by its digits
    too, however it is written. In tables, so is the plain hash of the identifier, as identity_graph has it.
    """
    given = [text.partition("=") for text in identifiers]
    for kind, equals, value in given:
        if not equals or not kind or not value.strip():
            raise UsageError("An identifier is written as type=value, such as email=jane@example.com.")
    values = {value.strip() for _, _, value in given}
    digits = {re.sub(r"\D", "", value).lstrip("0") for kind, _, value in given if kind == "phone"}
    hashes = {
        md5(f"{kind}:{spelling}".encode()).hexdigest()
        for kind, _, value in given
        for spelling in (value.strip(), value.strip().lower())
    }
    proof = Proof()
    with connect(project) as warehouse:
        for (schema, table), columns in _text_columns(warehouse).items():
            _search_table(warehouse, schema, table, columns, values, digits, hashes, proof)
    _search_files(project.root, values, proof)
    return proof


def _text_columns(warehouse: Warehouse) -> dict[tuple[str, str], list[str]]:
    rows = warehouse.query(
        "select columns.table_schema, columns.table_name, columns.column_name, lower(columns.data_type)"
        " from information_schema.columns as columns inner join information_schema.tables as tables"
        " on columns.table_schema = tables.table_schema and columns.table_name = tables.table_name"
        " where tables.table_type in ('BASE TABLE', 'LOCAL TEMPORARY') order by 1, 2, columns.ordinal_position"
    )
    found: dict[tuple[str, str], list[str]] = {}
    for schema, table, column, kind in rows:
        if schema not in _SYSTEM and (kind.endswith("]") or not kind.startswith(_NO_TEXT)):
            found.setdefault((schema, table), []).append(column)
    return found


def _search_table(
    warehouse: Warehouse,
    schema: str,
    table: str,
    columns: list[str],
    values: set[str],
    digits: set[str],
    hashes: set[str],
    proof: Proof,
) -> None:
    matches = "regexp_matches" if warehouse.dialect == "duckdb" else "cdi_matches"
    parameters: dict[str, str] = {}
    counts = []

    def contains(text: str, words: Iterable[str]) -> str:
        """SQL for whether a text holds one of the words; a quick look comes before the pattern."""
        tests = []
        for word in sorted(words):
            name = f"p{len(parameters)}"
            parameters[f"w{name}"] = word.lower()
            parameters[name] = f"(^|[^a-z0-9]){re.escape(word.lower())}($|[^a-z0-9])"
            pattern = f"{text} ~ ${name}" if matches == "cdi_matches" else f"regexp_matches({text}, ${name})"
            tests.append(f"(strpos({text}, $w{name}) > 0 and {pattern})")
        return " or ".join(tests)

    for column in columns:
        text = f"lower(cast({quote(column)} as text))"
        tests = contains(text, values)
        for number in sorted(digits):
            name = f"d{len(parameters)}"
            parameters[name] = number
            bare = f"regexp_replace({text}, '[^0-9a-z\"]', '', 'g')"
            tests += f" or strpos({bare}, ${name}) > 0"
        counts.append(f"count(case when {tests} then 1 end)")
        counts.append(f"count(case when {contains(text, hashes)} then 1 end)")
    numbers = warehouse.query(f"select count(*), {', '.join(counts)} from {quote(schema, table)}", parameters)[0]
    proof.tables += 1
    proof.columns += len(columns)
    proof.rows += numbers[0]
    for position, column in enumerate(columns):
        for kind, count in zip(("value", "hash"), numbers[1 + 2 * position : 3 + 2 * position], strict=True):
            if count:
                proof.findings.append(Finding(f"{schema}.{table}.{column}", kind, count))


def _search_files(root: Path, values: set[str], proof: Proof) -> None:
    pattern = spellings(values)
    for folder in FOLDERS:
        for path in sorted(item for item in (root / folder).rglob("*") if item.is_file()):
            proof.files += 1
            if count := sum(bool(pattern.search(line)) for line in _lines(path)):
                proof.findings.append(Finding(str(path.relative_to(root)), "value", count))


def _lines(path: Path) -> Iterator[str]:
    if path.suffix == ".parquet":
        with duckdb.connect() as engine:
            rows = engine.execute("select cast(rows as text) from read_parquet($path) as rows", {"path": str(path)})
            while batch := rows.fetchmany(10_000):
                yield from (row[0] for row in batch)
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        yield from file
