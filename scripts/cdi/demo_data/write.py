"""Writes the demo data: people by the part, each part by one process, records into files by the day they arrive."""

from __future__ import annotations

import csv
import gzip
import io
import shutil
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

import orjson
from rich.console import Console
from rich.progress import Progress

from cdi.demo_data.journeys import Calendar, Journey, Record, account_records
from cdi.demo_data.people import DAY, Person, make_person
from cdi.errors import UsageError

PART_OF_PEOPLE = 5_000
"""People per part: parts are made side by side, and their number depends on nothing else."""

BROKEN_LINES = [
    b'{"type":"track","event":"Product Vi',
    b"[]",
    b"{}",
    b"not json at all",
    b'{"messageId":"no-type","anonymousId":"x"}',
]


@dataclass
class DemoDataResult:
    """What was written: rows per raw table."""

    folder: Path
    rows: Counter[str] = field(default_factory=Counter)


def write_demo_data(
    folder: Path,
    people: int,
    days: int,
    seed: int = 1,
    end: datetime | None = None,
    processes: int = 2,
    console: Console | None = None,
) -> DemoDataResult:
    """Write raw files for Segment messages, Stripe, Salesforce and tills to folder/raw, and the truth to folder/truth.

    The data covers `days` days up to `end` (UTC, default now). The same arguments give the same files, whatever the
    number of processes. Memory does not grow with people or days. Raises UsageError for arguments that make no sense
    and for a folder that holds something else.
    """
    if people < 1 or days < 1:
        raise UsageError(
            "Demo data needs at least one person and one day.", "Give --people and --days above 0."
        )
    if folder.exists() and any(folder.iterdir()) and not (folder / "truth").exists():
        raise UsageError(f"{folder} holds other files.", "Choose an empty folder with --out.")
    for name in ("raw", "truth"):
        shutil.rmtree(folder / name, ignore_errors=True)
    last = (end or datetime.now(UTC)).replace(microsecond=0)
    last = last.replace(tzinfo=UTC) if last.tzinfo is None else last.astimezone(UTC)
    start = int((last - timedelta(days=days)).timestamp() * 1000)
    parts = [
        (folder, seed, start, days, people, first, min(first + PART_OF_PEOPLE, people))
        for first in range(0, people, PART_OF_PEOPLE)
    ]
    result = DemoDataResult(folder)
    with Progress(console=console, disable=console is None, transient=True) as progress:
        task = progress.add_task("Making people", total=people)
        with ExitStack() as stack:
            if processes > 1 and len(parts) > 1:
                pool = stack.enter_context(ProcessPoolExecutor(processes))
                answers = pool.map(_write_part, parts)
            else:
                answers = map(_write_part, parts)
            for part, rows in zip(parts, answers, strict=True):
                result.rows.update(rows)
                progress.advance(task, part[6] - part[5])
    return result


def _write_part(part: tuple[Path, int, int, int, int, int, int]) -> Counter[str]:
    folder, seed, start, days, people, first, last = part
    calendar = Calendar(start, days)
    name = f"{first // PART_OF_PEOPLE:04d}"
    with Files(folder, name, calendar) as files:
        if first == 0:
            for record in account_records(max(1, people // 50), calendar):
                files.write(record)
        for line in BROKEN_LINES if days else []:
            files.write_broken(line)
        for number in range(first, last):
            person = make_person(seed, number, people, days)
            for record in Journey(person, calendar).run():
                files.write(record)
            files.tell_truth(person)
        return files.rows


class Files:
    """The open files of one part; Segment's messages have one for each day."""

    def __init__(self, folder: Path, part: str, calendar: Calendar) -> None:
        self.folder = folder
        self.part = part
        self.calendar = calendar
        self.rows: Counter[str] = Counter()
        self.stack = ExitStack()
        self.days: dict[int, IO[bytes]] = {}
        self.open: dict[str, IO[bytes]] = {}
        self.writers: dict[str, csv.DictWriter] = {}

    def __enter__(self) -> Files:
        self.stack.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.stack.__exit__(*error)  # type: ignore[arg-type]

    def write(self, record: Record) -> None:
        """Put a record into the file of its table."""
        self.rows[record.table] += 1
        if record.table == "segment":
            self._day(record.at).write(orjson.dumps(record.content, option=orjson.OPT_APPEND_NEWLINE))
        elif record.table.startswith("stripe/"):
            self._file(f"raw/{record.table}-{self.part}.ndjson").write(
                orjson.dumps(record.content, option=orjson.OPT_APPEND_NEWLINE)
            )
        else:
            self._csv(
                f"raw/{record.table}-{self.part}.csv{'.gz' if 'till' in record.table else ''}", record.content
            )

    def write_broken(self, line: bytes) -> None:
        """Put a line that is no event into the first day's messages."""
        self._day(self.calendar.start).write(line + b"\n")

    def tell_truth(self, person: Person) -> None:
        """Write down whose identifiers are whose, where no raw file has it."""
        self._csv(
            f"truth/people-{self.part}.csv.gz",
            {
                "person_id": person.number, "first_name": person.first_name, "last_name": person.last_name,
                "is_registered": person.user_id is not None,
            },
        )  # fmt: skip
        found = [
            ("email", person.email, person.email_note),
            ("stripe_customer_id", f"cus_{person.number:08d}", ""),
        ]
        found.append(("email", person.email.replace("example.com", "exmaple.com"), "typing error"))
        found.append(("stripe_customer_id", f"cus_{person.number:08d}b", ""))
        if person.user_id:
            found.append(("user_id", person.user_id, ""))
        if person.loyalty_id:
            found.append(("loyalty_id", person.loyalty_id, ""))
        if person.is_contact:
            found.append(("salesforce_contact_id", f"003{person.number:012d}", ""))
        found += [
            ("anonymous_id", device.anonymous_id, "kiosk" if device.kind == "kiosk" else "")
            for device in person.devices
        ]
        for kind, value, note in found:
            self._csv(
                f"truth/identifiers-{self.part}.csv.gz",
                {
                    "person_id": person.number,
                    "identifier_type": kind,
                    "identifier_value": value,
                    "note": note,
                },
            )

    def _day(self, at: int) -> IO[bytes]:
        day = (at - self.calendar.start) // DAY
        file = self.days.get(day)
        if file is None:
            date = datetime.fromtimestamp((self.calendar.start + day * DAY) / 1000, UTC).date()
            file = self.days[day] = self._file(f"raw/segment/messages-{date}-{self.part}.ndjson.gz")
        return file

    def _file(self, name: str) -> IO[bytes]:
        file = self.open.get(name)
        if file is None:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if name.endswith(".gz"):
                raw = self.stack.enter_context(path.open("wb"))
                # Without name and time in the header, the same data is the same bytes.
                zipped = gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=1, mtime=0)
                file = self.stack.enter_context(io.BufferedWriter(zipped, 256 * 1024))  # type: ignore[arg-type]
                self.stack.callback(zipped.close)
                self.stack.callback(file.flush)
            else:
                file = self.stack.enter_context(path.open("wb"))
            self.open[name] = file
        return file

    def _csv(self, name: str, row: dict) -> None:
        writer = self.writers.get(name)
        if writer is None:
            text = io.TextIOWrapper(self._file(name), encoding="utf-8", newline="", write_through=True)
            # The file below is closed by its own owner.
            self.stack.callback(text.detach)
            writer = self.writers[name] = csv.DictWriter(text, list(row), lineterminator="\n")
            writer.writeheader()
        writer.writerow(row)


def raw_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """(source, folder of raw files) of demo data, in the order to land them."""
    for path in sorted((folder / "raw").iterdir()):
        yield path.name, path
