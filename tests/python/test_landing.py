"""Landing: what a file holds is in the raw tables, the same in every format and on every warehouse."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import ROOT
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from cdi.cli import main
from cdi.errors import UsageError
from cdi.landing import known_sources, land
from cdi.landing import lines as lines_module
from cdi.landing.check import MAX_COLUMNS, Judge, column_name
from cdi.landing.lines import UnreadableFileError
from cdi.landing.load import land_file
from cdi.landing.read import read_records
from cdi.landing.sources import RawTable, find_tables, table_of_file
from cdi.landing.tables import ensure_tables
from cdi.warehouse import DuckDBWarehouse, PostgresWarehouse, connect

SHOP = ROOT.parent / "shared" / "data" / "online_retail.csv.gz"
CUSTOMERS = [
    {"id": "cus_1", "email": "ann@example.com", "name": "Ann, \"A\"", "phone": None, "metadata": {"n": [1, None]}},
    {"id": "cus_2", "email": "bo@example.com", "name": "Bo\nLine two", "phone": "+49 1", "metadata": {}},
    {"id": "cus_3", "email": "ø@example.com", "name": "日本 😀", "phone": "0", "metadata": {"a": "x"}},
]  # fmt: skip
EVENT = {"type": "track", "event": "Seen"}
JUDGE = Judge()
GZIP = b"\x1f\x8b"


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def write_customers(folder: Path, kind: str) -> Path:
    name = f"customers.{kind}"
    if kind.startswith("parquet"):
        (folder / "customers").mkdir(parents=True, exist_ok=True)
        rows = [{**row, "metadata": json.dumps(row["metadata"])} for row in CUSTOMERS]
        pq.write_table(pa.Table.from_pylist(rows), folder / "customers" / "part-0.parquet")
        return folder / "customers"
    if kind.startswith("csv"):
        text = io.StringIO()
        writer = csv.DictWriter(text, CUSTOMERS[0], quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows([{**row, "metadata": json.dumps(row["metadata"])} for row in CUSTOMERS])
        return write(folder, name, text.getvalue())
    if kind.removesuffix(".gz") == "json":
        return write(folder, name, json.dumps(CUSTOMERS, indent=2))
    return write(folder, name, "".join(json.dumps(row) + "\n" for row in CUSTOMERS))


@pytest.mark.parametrize(
    "kind", ["ndjson", "ndjson.gz", "json", "json.gz", "csv", "csv.gz", "jsonl", "parquet", "unknown"]
)
def test_every_format_lands_the_same_rows(project, tmp_path, kind):
    result = land(project, "stripe", [write_customers(tmp_path, kind)])
    assert (result.rows_landed, result.rows_rejected, result.unreadable) == (3, 0, [])
    with connect(project) as warehouse:
        rows = warehouse.query(
            "select id, email, name, phone, cast(metadata as varchar), source_line from raw.stripe_customers"
            " order by source_line"
        )
    got = [
        {"id": row[0], "email": row[1], "name": row[2], "phone": row[3], "metadata": json.loads(row[4])} for row in rows
    ]
    assert got == CUSTOMERS
    lines = {"csv": [2, 3, 5], "csv.gz": [2, 3, 5]}.get(kind, [1, 2, 3])
    assert [row[5] for row in rows] == lines


def test_landing_again_adds_nothing(project, tmp_path):
    first = write(tmp_path, "a.ndjson", json.dumps(EVENT))
    again = write(tmp_path, "copy of a.ndjson", first.read_bytes())
    other = write(tmp_path, "b.ndjson", json.dumps(EVENT) + "\n{}")
    assert [item.rows_landed for item in land(project, "segment", [tmp_path]).files] == [1, 1, 0]
    result = land(project, "segment", [first, again, other, first])
    assert [(item.path, item.already_landed, item.rows_landed) for item in result.files] == [
        (first, True, 0), (again, True, 0), (other, True, 0),
    ]  # fmt: skip
    with connect(project) as warehouse:
        assert warehouse.query("select count(*) from raw.segment_messages") == [(2,)]
        loads = warehouse.query("select rows_landed, rows_rejected, loaded_at from raw.loads order by loaded_at")
    assert [row[:2] for row in loads] == [(1, 0), (1, 1)]
    assert loads[0][2] < loads[1][2]


def test_loads_arrive_in_order_even_if_the_clock_was_ahead(project, tmp_path):
    land(project, "segment", [write(tmp_path, "a.ndjson", json.dumps(EVENT))])
    with connect(project) as warehouse:
        warehouse.execute("update raw.loads set loaded_at = cast('2999-01-01 00:00:00' as timestamp)")
    land(project, "segment", [write(tmp_path, "b.ndjson", json.dumps(EVENT) + "\n")])
    with connect(project) as warehouse:
        newest = warehouse.query("select max(loaded_at) from raw.segment_messages")[0][0]
        assert newest == warehouse.query("select max(loaded_at) from raw.loads")[0][0]
    assert newest.isoformat() == "2999-01-01T00:00:00.000001"


def test_killed_half_way_and_run_again_is_whole(project, tmp_path):
    messages = [json.dumps({**EVENT, "messageId": str(number)}) for number in range(4000)]
    path = write(tmp_path, "events.ndjson", "\n".join(["broken", *messages]))
    killer = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from cdi.landing import lines, load\n"
        "from cdi.project import load_project\n"
        "lines.CHUNK, kept, count = 16_000, load._append, 0\n"
        "def append(*arguments):\n"
        "    global count\n"
        "    count += 1\n"
        "    if count == 9: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return kept(*arguments)\n"
        "load._append = append\n"
        "load.land(load_project(Path(sys.argv[1]), Path(sys.argv[2])), 'segment', sys.argv[3:])\n"
    )
    command = [sys.executable, "-c", killer, str(project.root), str(project.profiles_dir), str(path)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    if project.dialect == "duckdb":
        # The raw tables were there, and nothing in them.
        with connect(project) as warehouse:
            assert warehouse.query("select count(*) from raw.segment_messages") == [(0,)]
    result = land(project, "segment", [path])
    assert (result.rows_landed, result.rows_rejected) == (4000, 1)
    with connect(project) as warehouse:
        assert warehouse.query("select count(*), count(distinct source_line) from raw.segment_messages") == [
            (4000, 4000)
        ]
        assert warehouse.query("select count(*) from raw.rejected") == [(1,)]
        assert warehouse.query("select count(*) from raw.loads") == [(1,)]


BROKEN_LINES = [
    (b'{"type": "track"', "not JSON"),
    (b"not json", "not JSON"),
    (b'{"type": "track",}', "not JSON"),
    (b'{"type": "track", "a": NaN}', "not JSON"),
    (b'{"type": "track", "a": [1, -Infinity]}', "not JSON"),
    (b'{"type": "track", "a": INF }', "not JSON"),
    (b'{"type": "track", "a": "\\ud800"}', "not JSON"),
    (b"[1, 2]", "not a JSON object"),
    (b'"text"', "not a JSON object"),
    (b"null", "not a JSON object"),
    (b"{}", 'no event: "type" is missing'),
    (b'{"type": null}', 'no event: "type" is missing'),
    (b'{"type": "Track"}', 'no event: "type" is "Track"'),
    (b'{"type": ["track"]}', 'no event: "type" is "[\\"track\\"]"'),
    (b'{"type": "track", "a": "x\\u0000"}', "holds the null character \\u0000"),
    (b'{"type": "track", "\\\\\\u0000": 1}', "holds the null character \\u0000"),
    (b'{"type": "track", "a": 1e200000}', "holds a number that is out of range"),
    (b'{"type": "track", "a": ' + b"9" * 200_000 + b"}", "holds a number that is out of range"),
    (b'{"type": "track", "a": ' + b"[" * 1500 + b"]" * 1500 + b"}", "nested deeper than 1000 levels"),
    (b'{"type": "track", "a": "\xff"}', "not UTF-8 at byte 25 of the line"),
    (b'{"type": "track"}\x00', "holds a null byte"),
]
GOOD_LINES = [
    b'{"type": "track", "a": "\\\\u0000 NaN, ] 1e99999 , }"}',
    b'  {"type": "page", "a": "' + "😀ü\u2028".encode() + b'\\ud83d\\ude00"}  ',
    b'{"type": "track", "a": 123456789012345678901234567890, "b": 1e300}',
    b'{"type": "track", "a": ' + b"[" * 900 + b"]" * 900 + b"}",
    b'{"type": "track", "a": "' + b"[{" * 3000 + b'"}',
    b'{"type": "track", "a": "' + b"x" * 3_000_000 + b'"}',
]


def test_lines_that_are_no_events_are_kept_with_line_reason_and_text(project, tmp_path):
    content, expected, number = [b"\xef\xbb\xbf" + GOOD_LINES[0]], [], 1
    for broken, reason in BROKEN_LINES:
        content += [b"", broken, GOOD_LINES[number % len(GOOD_LINES)] + b"\r"]
        expected.append((number + 2, reason, broken.decode(errors="replace").replace("\x00", "\ufffd")))
        number += 3
    path = write(tmp_path, "events.jsonl", b"\n".join(content) + b"\n \t\r\n\n")
    result = land(project, "segment", [path])
    assert (result.rows_landed, result.rows_rejected) == (len(BROKEN_LINES) + 1, len(BROKEN_LINES))
    with connect(project) as warehouse:
        rejected = warehouse.query("select source_line, reason, text from raw.rejected order by source_line")
        lines = warehouse.query("select source_line from raw.segment_messages order by source_line")
        assert warehouse.query(
            "select distinct r.source, r.source_table, r.source_file, l.rows_rejected"
            " from raw.rejected as r join raw.loads as l on l.load_id = r.load_id and l.loaded_at = r.loaded_at"
        ) == [("segment", "messages", str(path), len(BROKEN_LINES))]
    assert [row[:2] for row in rejected] == [row[:2] for row in expected]
    assert rejected == expected
    assert [row[0] for row in lines] == [1, *range(4, number + 1, 3)]


def test_a_line_of_many_megabytes_lands_and_a_larger_one_does_not_stop_the_rest(project, tmp_path):
    limit = lines_module.MAX_LINE
    large = b'{"type": "track", "a": "%s"}'
    sizes = [limit - 100, limit + 1, 3 * limit]
    path = write(
        tmp_path, "events.ndjson", b"\n".join([*(large % (b"x" * size) for size in sizes), b'{"type":"page"}'])
    )
    result = land(project, "segment", [path])
    assert (result.rows_landed, result.rows_rejected) == (2, 2)
    with connect(project) as warehouse:
        assert warehouse.query("select source_line, reason from raw.rejected order by 1") == [
            (2, "longer than 16 MiB"), (3, "longer than 16 MiB"),
        ]  # fmt: skip
        assert warehouse.query("select max(source_line) from raw.segment_messages") == [(4,)]


def test_columns_appear_when_first_seen(project, tmp_path, monkeypatch):
    monkeypatch.setattr(lines_module, "CHUNK", 64)
    rows = [
        {"Id": "1", "AccountId": "a", "MailingCity": "Rome"},
        {"Id": "2", "CustomField__c": {"x": [1, None]}, "Größe des Hauses " + "ü" * 60: True},
        {"Id": "", "Email": "lost@example.com"},
        {"Id": "3", "load_id": "mine", "ctid": 7, "a/b~c": "d", "Id ": "ignored"},
    ]
    path = write(tmp_path, "Contact.ndjson", "\n".join(json.dumps(row) for row in rows))
    result = land(project, "salesforce", [path])
    assert (result.rows_landed, result.rows_rejected) == (3, 1)
    with connect(project) as warehouse:
        columns = warehouse.column_names("raw", "salesforce_contact")
        long = next(column for column in columns if column.startswith("größe"))
        got = warehouse.query(
            "select id, account_id, mailing_city, custom_field__c, load_id_, ctid_, a_b_c, length(load_id),"
            f' "{long}" from raw.salesforce_contact order by id'
        )
        assert warehouse.query("select source_line, reason from raw.rejected") == [
            (3, "required column id is missing or empty")
        ]
    assert got == [
        ("1", "a", "Rome", None, None, None, None, 32, None),
        ("2", None, None, '{"x":[1,null]}', None, None, None, 32, "true"),
        ("3", None, None, None, "mine", "7", "d", 32, None),
    ]
    # Another file of the same keys finds the columns there.
    again = write(tmp_path, "contact-2.ndjson", "\n".join(json.dumps(row) for row in reversed(rows)))
    assert land(project, "salesforce.contact", [again]).rows_landed == 3


def test_declared_columns_are_added_to_a_table_that_lacks_them(project, tmp_path):
    with connect(project) as warehouse:
        warehouse.execute("create schema raw")
        warehouse.execute("create table raw.stripe_customers (id text, legacy text)")
    land(project, "stripe", [write_customers(tmp_path, "ndjson")])
    with connect(project) as warehouse:
        assert {"legacy", "metadata", "load_id", "source_line"} <= set(
            warehouse.column_names("raw", "stripe_customers")
        )


def test_csv_lines_with_other_fields_than_the_header_are_rejected(project, tmp_path):
    content = (
        "id;email;name\r\n"
        "1;a@example.com;Ann\r\n"
        "2;too few\r\n"
        "\r\n"
        '3;c@example.com;"Ca\nrl"\r\n'
        "4;d@example.com;Dora;too;many\r\n"
        '5;e@example.com;12" nail\r\n'
        ';"f@example.com";"id is missing"\r\n'
        '6;g@example.com;"never closed\r\n'
        "7;h@example.com;Hal"
    )
    result = land(project, "stripe.customers", [write(tmp_path, "export.csv", content)])
    assert (result.rows_landed, result.rows_rejected) == (4, 4)
    with connect(project) as warehouse:
        rows = warehouse.query("select source_line, id, name from raw.stripe_customers order by 1")
        rejected = warehouse.query("select source_line, reason, text from raw.rejected order by 1")
    assert rows == [(2, "1", "Ann"), (5, "3", "Ca\nrl"), (8, "5", '12" nail'), (11, "7", "Hal")]
    assert rejected == [
        (3, "2 fields, the header has 3", "2;too few"),
        (7, "5 fields, the header has 3", "4;d@example.com;Dora;too;many"),
        (9, "required column id is missing or empty", ';"f@example.com";"id is missing"'),
        (10, "a quoted field is not closed", '6;g@example.com;"never closed'),
    ]


def test_typed_parquet_values_become_texts(project, tmp_path):
    from datetime import UTC, date, datetime
    from decimal import Decimal

    table = pa.table(
        {
            "id": [1],
            "Record": [float("nan")],
            "amount": [Decimal("1.50")],
            "created": [datetime(2026, 1, 2, 3, 4, 5, 600)],
            "zoned": pa.array([datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)], pa.timestamp("us", "Europe/Berlin")),
            "day": [date(2026, 1, 2)],
            "paid": [True],
            "metadata": [{"a": [1, 2]}],
        }
    )
    pq.write_table(table, tmp_path / "charges.parquet")
    assert land(project, "stripe", [tmp_path]).rows_landed == 1
    with connect(project) as warehouse:
        row = warehouse.query(
            "select id, record, cast(amount as decimal(9, 2)), created, zoned, day, paid, cast(metadata as varchar)"
            " from raw.stripe_charges"
        )[0]
    assert row[:7] == (
        "1", None, Decimal("1.50"), "2026-01-02T03:04:05.000600", "2026-01-02T03:04:05.000000Z", "2026-01-02", "true",
    )  # fmt: skip
    assert json.loads(row[7]) == {"a": [1, 2]}


def test_records_of_an_array_that_are_no_events_are_rejected_by_position(project, tmp_path):
    path = write(tmp_path, "events.json", json.dumps([EVENT, 7, {"type": "x"}, EVENT]))
    result = land(project, "segment", [path])
    assert (result.rows_landed, result.rows_rejected) == (2, 2)
    with connect(project) as warehouse:
        assert warehouse.query("select source_line, text from raw.rejected order by 1") == [
            (2, "7"), (3, '{"type": "x"}'),
        ]  # fmt: skip


def test_files_that_cannot_be_read_leave_nothing_and_the_others_land(project, tmp_path):
    good = write(tmp_path, "good.ndjson", json.dumps(EVENT))
    zipped = gzip.compress("".join(json.dumps({**EVENT, "n": random.random()}) + "\n" for _ in range(9999)).encode())
    broken = write(tmp_path, "broken.ndjson", zipped[:-4000])
    parquet = write(tmp_path, "broken.parquet", b"PAR1 and nothing else")
    array = write(tmp_path, "array.json", json.dumps([EVENT] * 3)[:-5])
    missing, pattern = tmp_path / "missing.ndjson", f"{tmp_path}/*.nothing"
    result = land(project, "segment", [missing, pattern, broken, parquet, array, good])
    assert result.rows_landed == 1
    assert [item.path for item in result.unreadable] == [missing, Path(pattern), broken, parquet, array]
    for item in result.unreadable:
        assert item.path.name in item.problem
    with connect(project) as warehouse:
        assert warehouse.query("select rows_landed, source_file from raw.loads") == [(1, str(good))]


def test_a_table_that_is_not_ours_is_refused(project, tmp_path):
    path = write(tmp_path, "events.ndjson", json.dumps(EVENT))
    with connect(project) as warehouse:
        warehouse.execute("create schema raw")
        warehouse.execute("create view raw.segment_messages as select 1 as message")
    with pytest.raises(UsageError, match=r"raw\.segment_messages is a view"):
        land(project, "segment", [path])
    with connect(project) as warehouse:
        warehouse.execute("drop view raw.segment_messages")
        warehouse.execute("create table raw.segment_messages (message bigint)")
    with pytest.raises(UsageError, match=r"message is bigint, not json"):
        land(project, "segment", [path])


def test_keys_that_are_values_do_not_become_columns(project, tmp_path):
    path = write(tmp_path, "customers.ndjson", json.dumps({f"user {number}": 1 for number in range(MAX_COLUMNS + 1)}))
    (file,) = land(project, "stripe", [path]).unreadable
    assert "different keys" in file.problem


@pytest.mark.skipif(not SHOP.exists(), reason=f"the data set is not at {SHOP}")
def test_the_real_shop_lands_whole(project):
    result = land(project, "online_retail", [SHOP])
    assert (result.rows_landed, result.rows_rejected) == (541_909, 0)
    with connect(project) as warehouse:
        assert warehouse.query(
            "select count(distinct customer_id), min(source_line), max(source_line), sum(cast(quantity as bigint))"
            " from raw.online_retail_order_lines"
        ) == [(4372, 2, 541_910, 5_176_450)]


# ---------- on no warehouse or on both at once


@pytest.fixture
def warehouses(tmp_path, request):
    """DuckDB and, where there is a server, PostgreSQL, with the raw table of Segment's messages."""
    opened = [DuckDBWarehouse(str(tmp_path / "both.duckdb"))]
    if os.environ.get("CDI_TEST_POSTGRES"):
        opened.append(PostgresWarehouse(**request.getfixturevalue("postgres_database")))
    for warehouse in opened:
        ensure_tables(warehouse, find_tables(ROOT, "segment"))
    yield opened
    for warehouse in opened:
        warehouse.close()


texts = st.text(st.characters(exclude_categories=()), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)
objects = st.builds(
    lambda type_, rest, escaped: json.dumps({**type_, **rest}, ensure_ascii=escaped).encode(errors="surrogatepass"),
    st.sampled_from([{"type": "track"}, {"type": "identify"}, {"type": "TRACK"}, {}]),
    st.dictionaries(texts, values, max_size=4).filter(lambda rest: "type" not in rest),
    st.booleans(),
)
mutated = st.builds(
    lambda line, position, byte: line[: position % (len(line) + 1)] + byte + line[position % (len(line) + 1) :],
    objects,
    st.integers(0, 200),
    st.binary(max_size=2) | st.sampled_from([b",", b'"', b"\\", b"}", b"\\u0000", b"e9999", b"NaN", b"\xf0\x9f"]),
)
lines_of_files = st.lists(
    objects
    | mutated
    | st.binary(max_size=10)
    | st.sampled_from([line for line, _ in BROKEN_LINES] + GOOD_LINES[:-1])
    | st.sampled_from([b"", b" \t", b"\r"]),
    max_size=12,
)


def is_event(line: bytes) -> bool:
    """What RFC 8259, Segment's specification and PostgreSQL's jsonb together say of a line."""

    def unique(pairs):
        return dict(reversed(pairs))

    def refuse(constant):
        raise ValueError(constant)

    def strings(value):
        if isinstance(value, dict):
            return [text for item in value.items() for part in item for text in strings(part)]
        if isinstance(value, list):
            return [text for part in value for text in strings(part)]
        return [value] if isinstance(value, str) else []

    try:
        record = json.loads(
            line.decode(), parse_constant=refuse, object_pairs_hook=unique, parse_int=str, parse_float=str
        )
        for text in strings(record):
            if re.search(r"[\x00\ud800-\udfff]", text):
                return False
    except (ValueError, RecursionError):
        return False
    if len(re.sub(r'"(\\.|[^"\\])*"', "", line.decode()).split("[")) > 1000:
        return False
    if re.search(r"[eE][+-]?[0-9]{4}|[0-9]{1000}", re.sub(r'"(\\.|[^"\\])*"', "", line.decode())):
        return False
    return isinstance(record, dict) and record.get("type") in ("track", "identify", "page", "screen", "group", "alias")


@settings(max_examples=40)
@given(lines=lines_of_files)
@example(lines=[line for line, _ in BROKEN_LINES] + GOOD_LINES)
def test_all_lines_are_landed_or_rejected_and_the_same_on_both_warehouses(warehouses, tmp_path, lines):
    content = b"\n".join(lines)
    assume(not content.startswith(GZIP))
    path = write(tmp_path, "generated.ndjson", content)
    expected = {
        number: is_event(line.strip(b" \t\r\v\f"))
        for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1)
        if line.strip(b" \t\r\v\f")
    }
    seen = []
    for warehouse in warehouses:
        for table in ("segment_messages", "rejected", "loads"):
            warehouse.execute(f"delete from raw.{table}")
        landing = land_file(warehouse, JUDGE, find_tables(ROOT, "segment")[0], path)
        landed = warehouse.query("select source_line, cast(message as varchar) from raw.segment_messages order by 1")
        rejected = warehouse.query("select source_line, reason, text from raw.rejected order by 1")
        assert (landing.rows_landed, landing.rows_rejected) == (len(landed), len(rejected))
        assert {**{row[0]: True for row in landed}, **{row[0]: False for row in rejected}} == expected
        assert len(landed) + len(rejected) == len(expected)
        seen.append((sorted(row[0] for row in landed), rejected))
    assert all(item == seen[0] for item in seen)


fields = st.text(st.sampled_from("ab ,;\"\n\r'é"), max_size=6)


@settings(max_examples=50)
@given(
    rows=st.lists(st.tuples(st.text("xyz1", min_size=1, max_size=3), fields, fields), min_size=1, max_size=20),
    separator=st.sampled_from(",;\t|"),
    ending=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    chunk=st.integers(20, 200),
)
def test_csv_of_any_content_comes_back_with_its_lines(tmp_path, rows, separator, ending, quoting, chunk):
    text = io.StringIO(newline="")
    if quoting == csv.QUOTE_MINIMAL:
        # Python does not quote a lone carriage return, which RFC 4180 asks for.
        rows = [tuple(field.replace("\r", "") for field in row) for row in rows]
    writer = csv.writer(text, delimiter=separator, lineterminator=ending, quoting=quoting)
    writer.writerow(["id", "email", "name"])
    expected = []
    for row in rows:
        expected.append((text.getvalue().count("\n") + 1, *(field or None for field in row)))
        writer.writerow(row)
    path = write(tmp_path, "customers.csv", text.getvalue())
    (table,) = find_tables(ROOT, "stripe.customers")
    got = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines_module, "CHUNK", chunk)
        for batch in read_records(path):
            judged = JUDGE.judge(batch, table, path)
            assert judged.rejected.num_rows == 0
            # A column of which a batch has only nulls is known all the same.
            got += [(row["source_line"], row["id"], row["email"], row["name"]) for row in judged.landed.to_pylist()]
    assert got == expected


@settings(max_examples=50)
@given(text=st.text(st.sampled_from('aab,,""\n\n\r\0é'), max_size=60), chunk=st.integers(10, 100))
def test_csv_that_is_none_gives_every_record_once_wherever_it_is_cut(tmp_path, text, chunk):
    path = write(tmp_path, "broken.csv", "x,y\n" + text)
    whole = [row for batch in read_records(path) for row in batch.to_pylist()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines_module, "CHUNK", chunk)
        cut = [row for batch in read_records(path) for row in batch.to_pylist()]
    assert cut == whole
    numbers = [row["source_line"] for row in whole]
    assert numbers == sorted(set(numbers))


@settings(max_examples=60)
@given(lines=lines_of_files, chunk=st.integers(4, 300))
def test_where_a_file_is_cut_for_reading_does_not_matter(tmp_path, lines, chunk):
    content = b"\n".join(lines)
    assume(not content.startswith(GZIP))
    path = write(tmp_path, "generated.ndjson", content)
    whole = [row for batch in read_records(path) for row in batch.to_pylist()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines_module, "CHUNK", chunk)
        cut = [row for batch in read_records(path) for row in batch.to_pylist()]
    assert cut == whole


@pytest.mark.parametrize(
    ("key", "column"),
    [
        ("InvoiceNo", "invoice_no"),
        ("CustomerID", "customer_id"),
        ("AccountId", "account_id"),
        ("SystemModstamp", "system_modstamp"),
        ("HTTPStatus2", "http_status2"),
        (" Unit Price (€) ", "unit_price"),
        ("loaded_at", "loaded_at_"),
        ("%", "unnamed"),
    ],
)
def test_keys_become_snake_case(key, column):
    assert column_name(key) == column


def test_file_names_and_folders_tell_the_table():
    tables = known_sources(ROOT)["stripe"]
    names = {
        "customers.ndjson.gz": "customers",
        "Charges-2026-01.csv": "charges",
        "refunds/2026/part-0.parquet": "refunds",
        "customers/invoices_1.csv": "invoices",
    }
    assert {name: table_of_file(tables, Path(name)).name for name in names} == names
    with pytest.raises(UnreadableFileError, match="which table of stripe"):
        table_of_file(tables, Path("export.csv"))


def test_unknown_sources_are_named_with_what_there_is():
    with pytest.raises(UsageError) as error:
        find_tables(ROOT, "segmnt")
    assert "Did you mean segment?" in error.value.hint
    assert "stripe" in error.value.hint


def test_sources_come_from_the_yaml_alone(tmp_path):
    landing = {"meta": {"landing": {"label": "Shop"}}}
    shop = {"name": "shop", "config": landing, "schema": "raw", "tables": [{"name": "orders"}]}
    source = {"sources": [{"name": "other", "tables": [{"name": "t"}]}, shop]}
    write(tmp_path, "models/staging/shop/_shop__sources.yml", yaml.safe_dump(source))
    assert known_sources(tmp_path) == {"shop": [RawTable("shop", "orders", "raw", "orders", {})]}


def test_the_command_names_what_failed_without_a_traceback(tmp_path, monkeypatch, capsys):
    output = {"type": "duckdb", "path": str(tmp_path / "t.duckdb"), "schema": "cdi"}
    (tmp_path / "profiles.yml").write_text(yaml.safe_dump({"cdi": {"target": "d", "outputs": {"d": output}}}))
    good = write(tmp_path, "good[1].ndjson", json.dumps(EVENT) + "\nbroken")

    def cdi_land(*arguments):
        options = ["--project-dir", str(ROOT), "--profiles-dir", str(tmp_path)]
        monkeypatch.setattr(sys, "argv", ["cdi", *options, "land", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code or 0, *capsys.readouterr()

    code, printed, error = cdi_land("segment", good, tmp_path / "gone[1].csv")
    assert code == 1
    assert error.startswith("Error: No file matches ")
    assert "gone[1].csv" in error
    assert "raw.rejected" in printed
    code, printed, error = cdi_land("segment", good)
    assert (code, error) == (0, "")
    assert "had landed before" in printed
    code, _, error = cdi_land("segmnt", good)
    assert code == 2
    assert error.startswith("Error: There is no source 'segmnt'.")
    assert "Did you mean segment?" in error
