"""What can be landed: the dbt sources whose YAML says how (meta.landing)."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from pathlib import Path

from cdi.errors import UsageError
from cdi.landing.lines import UnreadableFileError
from cdi.project import read_yaml


@dataclass(frozen=True)
class RawTable:
    """A raw table as its dbt source declares it."""

    system: str
    name: str
    schema: str
    identifier: str
    columns: dict[str, str]
    """Column name to data type: text or json."""
    required: tuple[str, ...] = ()
    """Columns without which a record is rejected."""
    record_column: str | None = None
    """Column that keeps the whole record; without one, the record is spread over columns."""
    accepted_values: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Keys of the record and the values without which it is no event."""
    event_key: tuple[str, ...] = ()
    """Columns whose values the rows of one event share, where an event is made from several rows of a load."""

    @property
    def full_name(self) -> str:
        """The table as people name it: system.table."""
        return f"{self.system}.{self.name}"


def known_sources(root: Path) -> dict[str, list[RawTable]]:
    """The systems that `cdi land` knows and their raw tables, read from models/**/*sources.yml."""
    systems: dict[str, list[RawTable]] = {}
    for path in sorted((root / "models").rglob("*sources.yml")):
        for source in (read_yaml(path) or {}).get("sources") or []:
            if not source.get("config", {}).get("meta", {}).get("landing"):
                continue
            for table in source.get("tables") or []:
                landing = table.get("config", {}).get("meta", {}).get("landing", {})
                systems.setdefault(source["name"], []).append(
                    RawTable(
                        system=source["name"],
                        name=table["name"],
                        schema=source.get("schema", source["name"]),
                        identifier=table.get("identifier", table["name"]),
                        columns={
                            column["name"]: column.get("data_type", "text") for column in table.get("columns", [])
                        },
                        required=tuple(landing.get("required", ())),
                        record_column=landing.get("record_column"),
                        event_key=tuple(landing.get("event_key", ())),
                        accepted_values={
                            key: tuple(map(str, values)) for key, values in landing.get("accepted_values", {}).items()
                        },
                    )
                )
    return systems


def find_tables(root: Path, source: str) -> list[RawTable]:
    """The raw tables of `system` or `system.table`; raises UsageError that lists what there is."""
    systems = known_sources(root)
    system, _, table = source.partition(".")
    tables = [item for item in systems.get(system, []) if table in ("", item.name)]
    if tables:
        return tables
    names = sorted({*systems, *(item.full_name for items in systems.values() for item in items)})
    near = difflib.get_close_matches(source, names, n=1)
    raise UsageError(
        f"There is no source '{source}'.",
        (f"Did you mean {near[0]}? " if near else "")
        + f"Known sources: {', '.join(sorted(systems))}; a single table is named like "
        + f"{next((name for name in names if '.' in name), 'system.table')}.",
    )


def table_of_file(tables: list[RawTable], path: Path) -> RawTable:
    """The raw table a file belongs to, by its name (customers-2026-01.csv) or a folder's (customers/1.csv).

    Raises UnreadableFileError where neither names a table of a system that has several.
    """
    if len(tables) == 1:
        return tables[0]
    for text in (path.name.split(".")[0].lower(), *(folder.name.lower() for folder in path.parents)):
        for table in sorted(tables, key=lambda item: -len(item.name)):
            if text == table.name or text.startswith((f"{table.name}-", f"{table.name}_")):
                return table
    raise UnreadableFileError(
        f"{path}: neither its name nor its folder says which table of {tables[0].system} it is.",
        f"Name it like one of {', '.join(table.name for table in tables)}, or land it as {tables[0].system}.<table>.",
    )
