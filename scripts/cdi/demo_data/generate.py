"""Run a made-up shop: people in chunks, on several processes, written in order so that files never differ."""

from __future__ import annotations

import csv
import io
import multiprocessing
import shutil
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from cdi.demo_data import dirt, salesforce, till
from cdi.demo_data.assortment import STORES
from cdi.demo_data.behaviour import live
from cdi.demo_data.messages import Outbox
from cdi.demo_data.persons import MAX_PEOPLE, make_kiosk, make_person
from cdi.demo_data.world import DATES, DAY, World, iso
from cdi.errors import UsageError
from cdi.moments import moment_in_utc

MARKER = "demo_data.json"
_MAX_DAYS = 3650
_CHUNK_PERSON_DAYS = 40_000
"""A chunk is what is in memory at a time: about 20,000 messages."""

_TRUTH_IDENTIFIERS = ("person_id", "identifier_type", "identifier_value", "kind")
_TRUTH_PEOPLE = (
    "person_id",
    "first_name",
    "last_name",
    "email",
    "user_id",
    "loyalty_id",
    "birthday",
    "street",
    "postal_code",
    "city",
    "country",
    "household_id",
    "account_id",
    "store_id",
    "joined_at",
    "left_at",
    "is_newsletter_subscriber",
    "consent_advertising",
)
_CSV_COLUMNS = {
    "raw/till/receipt_lines.csv.gz": till.COLUMNS,
    "truth/identifiers.csv.gz": _TRUTH_IDENTIFIERS,
    "truth/people.csv.gz": _TRUTH_PEOPLE,
    **{f"raw/{table}.csv": columns for table, columns in salesforce.COLUMNS.items()},
}
_JSON_TABLES = ("stripe/customers", "stripe/charges", "stripe/refunds", "stripe/invoices")


@dataclass(frozen=True)
class DemoData:
    """What was written: records per kind (`segment/messages`, `stripe/charges`, ...) and where."""

    folder: Path
    end: datetime
    counts: dict[str, int] = field(default_factory=dict)


def parse_end(text: str | None) -> datetime:
    """The end of the window: a date (its midnight), an ISO time (UTC if it has no offset), or now for None.

    Raises UsageError where the text is neither.
    """
    if text is None:
        return datetime.now(UTC).replace(microsecond=0)
    return moment_in_utc(text, "--end").replace(tzinfo=UTC)


def generate(
    people: int,
    days: int,
    seed: int,
    folder: Path,
    end: datetime,
    processes: int = 2,
    progress: Callable[[int], None] = lambda _: None,
) -> DemoData:
    """Write the raw files and the truth of `people` persons over the `days` before `end` into `folder`.

    The content depends on people, days, seed and end alone; memory on none of them. Earlier demo data in the
    folder is replaced once the new is whole. `progress` is told how many people were written since last told.
    Raises UsageError for numbers out of range and for a folder that holds anything else.
    """
    _check("--people", people, 1, MAX_PEOPLE)
    _check("--days", days, 1, _MAX_DAYS)
    _check("--seed", seed, 0, 2**63)
    _check("--processes", processes, 1, 256)
    _check_folder(folder)
    world = World(people=people, days=days, seed=seed, end=int(end.timestamp()) * 1000)
    try:
        counts = _write(world, folder, processes, progress)
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be written to: {error.strerror}.",
            "Make room, or name another folder with --out.",
        ) from None
    return DemoData(folder=folder, end=end, counts=counts)


def _write(world: World, folder: Path, processes: int, progress: Callable[[int], None]) -> dict[str, int]:
    new = folder / ".new"
    shutil.rmtree(new, ignore_errors=True)
    for name in ("raw/segment", "raw/stripe", "raw/salesforce", "raw/till", "truth"):
        (new / name).mkdir(parents=True)
    counts: Counter[str] = Counter()
    for name, columns in _CSV_COLUMNS.items():
        _append(new / name, _packed(name, _csv([columns])))
    for table in _JSON_TABLES:
        (new / f"raw/{table}.ndjson.gz").write_bytes(_packed(".gz", b""))
    for written, files, chunk_counts in _chunks(world, processes):
        for name, content in files.items():
            _append(new / name, content)
        counts.update(chunk_counts)
        progress(written)
    arguments = {"people": world.people, "days": world.days, "seed": world.seed, "end": iso(world.end)}
    # From here on the folder is ours to replace, even if we are stopped half-way.
    (folder / MARKER).write_bytes(orjson.dumps(arguments, option=orjson.OPT_INDENT_2) + b"\n")
    for name in ("raw", "truth"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (new / name).rename(folder / name)
    new.rmdir()
    return dict(sorted(counts.items()))


def _check(option: str, value: int, lowest: int, highest: int) -> None:
    if not lowest <= value <= highest:
        raise UsageError(f"{option} is {value}.", f"Give a number from {lowest} to {highest}.")


def _check_folder(folder: Path) -> None:
    """Only an empty folder or one of ours is written to, because what it holds is replaced."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = {path.name for path in folder.iterdir()} - {".new"}
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be written to: {error.strerror}.", "Name another folder with --out."
        ) from None
    if held and MARKER not in held:
        raise UsageError(f"{folder} holds files that are no demo data.", "Empty it, or name another folder with --out.")


def _append(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)


Chunk = tuple[int, dict[str, bytes], Counter[str]]


def _chunks(world: World, processes: int) -> Iterator[Chunk]:
    """The chunks in their order, whoever made them; only a few are made ahead."""
    size = min(max(_CHUNK_PERSON_DAYS // world.days, 10), 2000)
    starts = iter(range(0, world.people, size))
    if processes == 1 or world.people <= size:
        yield from (make_chunk(world, start, size) for start in starts)
        return
    # Spawned, not forked: a fork would copy whatever the command holds open, its threads' locks included.
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        ahead: list[Future[Chunk]] = [
            pool.submit(make_chunk, world, start, size) for start in islice(starts, processes * 2)
        ]
        while ahead:
            yield ahead.pop(0).result()
            if (start := next(starts, None)) is not None:
                ahead.append(pool.submit(make_chunk, world, start, size))


def make_chunk(world: World, start: int, size: int) -> Chunk:
    """The parts of all files for `size` people from number `start` on: people, file name to bytes, counts."""
    outbox = Outbox(world)
    kiosks = {store: make_kiosk(world.seed, store) for store in STORES}
    stop = min(start + size, world.people)
    for index in range(start, stop):
        person = make_person(world, index)
        outbox.begin(person)
        live(world, person, outbox, kiosks)
        outbox.end()
        outbox.people.append(
            (
                person.person_id,
                person.first_name,
                person.last_name,
                person.email,
                person.user_id,
                person.loyalty_id,
                person.birthday,
                person.home.street,
                person.home.postal_code,
                person.city[0],
                person.city[2],
                person.household_id,
                person.account.account_id if person.account else None,
                person.store,
                iso(person.joins_at),
                iso(person.leaves_at),
                person.is_subscribed,
                (person.consent or {}).get("Advertising") if person.has_answered else None,
            )
        )
        if line := dirt.broken_line(index):
            outbox.add_line(world.start + int(person.rng.random() * world.days * DAY), line)
    return stop - start, _files(outbox), outbox.counts


def _files(outbox: Outbox) -> dict[str, bytes]:
    """The chunk's part of every file, in the order of time and not of people, who would be told by it."""
    files: dict[str, bytes] = {}
    for day, lines in sorted(outbox.messages.items()):
        lines.sort()
        name = f"raw/segment/messages-{DATES[day]}.ndjson.gz"
        files[name] = _packed(name, b"\n".join([line for _, line in lines]) + b"\n")
    for table, records in outbox.tables.items():
        records.sort(key=lambda record: record[0])
        values = [record for _, record in records]
        if table in _JSON_TABLES:
            name = f"raw/{table}.ndjson.gz"
            files[name] = _packed(name, b"".join(orjson.dumps(value) + b"\n" for value in values))
        else:
            name = f"raw/{table}.csv" if table in salesforce.COLUMNS else f"raw/{table}.csv.gz"
            files[name] = _packed(name, _csv(values))
    files["truth/identifiers.csv.gz"] = _packed(".gz", _csv(outbox.identifiers))
    files["truth/people.csv.gz"] = _packed(".gz", _csv(outbox.people))
    return files


def _csv(rows: list[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _packed(name: str, content: bytes) -> bytes:
    """A gzip file of its own, as gzip files may follow each other in one; no time in it, to be repeatable."""
    return zlib.compress(content, 1, wbits=31) if name.endswith(".gz") else content
