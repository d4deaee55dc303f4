"""Meta, Google Ads, PostgreSQL and tools declared in YAML hold what the model holds, whatever they say on the way."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from types import SimpleNamespace

import psycopg
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.ads.datamanager_v1.types import IngestAudienceMembersRequest, RemoveAudienceMembersRequest
from google.protobuf import json_format
from support import activation_table, simulated

from cdi.errors import UsageError
from cdi.simulator import acme_crm, google_ads, meta
from cdi.sync import Asked
from cdi.sync.declared import DeclaredSync, Field, declared_syncs
from cdi.sync.deliver import run_sync
from cdi.sync.state import Scope
from cdi.sync.tools import http, normalise, postgres, templates, tools_of
from cdi.sync.tools.http import RowError

COLUMNS = "profile_id text, email text, phone text, tier text, revenue numeric(18, 2), seen_at timestamp"


@pytest.fixture
def tools(monkeypatch):
    found = SimpleNamespace(meta=meta.Meta(), google_ads=google_ads.GoogleAds(), acme_crm=acme_crm.AcmeCrm())
    with simulated(monkeypatch, *vars(found).values()):
        # Rates are the core's, and its tests'.
        monkeypatch.setattr(http, "limiter", lambda account, endpoint: None)
        yield found


@pytest.fixture
def warehouse_kind() -> str:
    """What differs between warehouses is tested in test_sync."""
    return "duckdb"


@pytest.fixture
def people(project):
    with activation_table(project, COLUMNS, in_memory=True) as warehouse:
        yield warehouse


def declare(tool: str, mode: str, fields: dict[str, str], skips=(), tools=None, **options) -> DeclaredSync:
    """The key is the first field."""
    declared = tuple(Field(name, column, name in skips) for name, column in fields.items())
    given = {"tools": tools} if tools else {}
    return DeclaredSync("people_sync", "activation", "people", "people.yml", tool, declared[0].column, options,
                        mode=mode, fields=declared, **given)  # fmt: skip


def fill(warehouse, rows: dict[str, dict]) -> None:
    """Rows by their profile_id; the other columns are null where they are not given."""
    warehouse.execute("delete from activation.people")
    names = ("email", "phone", "tier", "revenue", "seen_at")
    if rows:
        warehouse.connection.executemany(
            "insert into activation.people values (?, ?, ?, ?, ?, ?)",
            [[key, *(row.get(name) for name in names)] for key, row in rows.items()],
        )


def many(count: int, first: int = 0) -> dict[str, dict]:
    return {
        f"p{number:04d}": {"email": f"q{number:04d}@example.com", "tier": "gold", "revenue": number}
        for number in range(first, first + count)
    }


def change_at_random(warehouse, sync: Callable[[], object], check: Callable[[dict[str, dict]], None]) -> None:
    """Sync after random additions, changes and removals; the tool is checked after each, and is in a bad way before."""
    chance = random.Random(7)
    rows = many(30)
    for _ in range(5):
        fill(warehouse, rows)
        sync()
        sync()
        check(rows)
        rows = {key: row for key, row in rows.items() if chance.random() < 0.7}
        rows |= {key: row | {"tier": chance.choice("ab")} for key, row in rows.items() if chance.random() < 0.3}
        rows |= many(chance.randrange(20), first=chance.randrange(60))


def rejected(warehouse) -> dict[str, str]:
    return dict(warehouse.query("select key, reason from cdi.sync_rejected"))


def everything_kept(warehouse) -> str:
    return repr(warehouse.query("select reason from cdi.sync_rejected union all select message from cdi.sync_runs"))


def to_be_forgotten(warehouse, which: str) -> None:
    """As `cdi privacy delete` leaves it."""
    warehouse.execute(
        "create table cdi.deletion_requests (batch_id text, sync text, key text, status text, message text,"
        " requested_at timestamp, finished_at timestamp)"
    )
    warehouse.execute(
        "insert into cdi.deletion_requests (batch_id, sync, key, status)"
        f" select 'b', sync, key, 'INITIALIZED' from cdi.sync_state where key {which}"
    )
    for name in ("privacy_requests", "privacy_request_places"):
        warehouse.execute(
            f"create table cdi.{name} (batch_id text, place text, status text, regulation text,"
            " finished_at timestamp, message text)"
        )


# Normal forms


@pytest.mark.parametrize(
    ("normal", "value", "expected"),
    [
        (normalise.email, "  Jane.Doe@Example.COM ", "jane.doe@example.com"),
        (normalise.email, None, ""),
        (normalise.google_email, "Jane.Doe+news@GMAIL.com", "janedoe@gmail.com"),
        (normalise.google_email, "j.d+x@googlemail.com", "jd@googlemail.com"),
        (normalise.google_email, "Jane.Doe+news@example.com", "jane.doe+news@example.com"),
        (normalise.google_email, "", ""),
        (normalise.phone, "+1 (800) 555-0100", "18005550100"),
        (normalise.phone, "+39 06 1234 5678", "390612345678"),
        (normalise.phone, None, ""),
        (lambda value: normalise.phone(value, "de"), "0151 2345 6789", "4915123456789"),
        (lambda value: normalise.phone(value, "de"), "+44 20 7946 0958", "442079460958"),
        (normalise.name, " Mary-Jane  O'Neil ", "mary-jane  o'neil"),
        (normalise.name, "Vale\u0301ry", "val\u00e9ry"),
        (normalise.letters, "St. John's, Newfoundland", "stjohnsnewfoundland"),
        (normalise.postal_code, "94035-1234", "94035"),
        (normalise.postal_code, "SW1A 1AA", "sw1a1aa"),
        (normalise.country, " DE ", "de"),
    ],
)
def test_normal_forms(normal, value, expected):
    assert normal(value) == expected


@pytest.mark.parametrize(
    ("normal", "value"),
    [
        (normalise.email, "nobody"),
        (normalise.email, "a b@example.com"),
        (normalise.email, "a@example"),
        (normalise.google_email, "+x@gmail.com"),
        (normalise.phone, "+0000000000"),
        (normalise.phone, "0151 2345 6789"),
        (normalise.phone, "ask me"),
        (normalise.phone, "+1 23"),
        (normalise.country, "Germany"),
    ],
)
def test_what_has_no_normal_form_is_named_without_its_value(normal, value):
    with pytest.raises(RowError) as caught:
        normal(value)
    assert value.lower() not in str(caught.value).lower()


def test_hashes_are_those_that_the_vendors_document():
    # https://developers.google.com/data-manager/api/get-started/quickstart
    dana = "07e2f1394b0ea80e2adca010ea8318df697001a005ba7452720edda4b0ce57b3"
    assert normalise.hashed("dana@example.com", normalise.google_email) == dana
    assert normalise.hashed(dana.upper(), normalise.google_email) == dana
    assert normalise.hashed(" ", normalise.google_email) == ""
    assert normalise.without_hashes(f"{dana} is bad") == "*** is bad"


# Meta

MEMBERS = {"EMAIL": "email"}


def audience(fields=MEMBERS, **options) -> DeclaredSync:
    return declare("meta", "audience", fields, **{"audience": meta.AUDIENCE} | options)


def hashes(rows: dict[str, dict]) -> set[str]:
    return {normalise.sha256_hex(row["email"]) for row in rows.values()}


def test_a_meta_audience_holds_the_model(project, people, tools):
    def sync():
        tools.meta.faults.answers = ["drop", None, 500]
        run_sync(project, people, audience())

    def check(rows):
        assert tools.meta.members.identifiers == hashes(rows)

    change_at_random(people, sync, check)


def test_a_bad_phone_is_rejected_before_the_others_are_sent(project, people, tools):
    fill(people, many(20) | {"bad": {"email": "bad@example.com", "phone": "+0000000000"}})
    result = run_sync(project, people, audience({"EMAIL": "email", "PHONE": "phone"}))
    assert (result.delivered, result.failed) == (20, 1)
    assert rejected(people) == {"bad@example.com": "the phone is no phone number"}
    assert tools.meta.counts["requests"] == 1


def test_meta_names_no_invalid_row_so_halves_find_it(project, people, tools):
    rows = {f"p{number:02d}": {"email": f"{number:08d}-0000-0000-0000-000000000000"} for number in range(16)}
    fill(people, rows | {"p07": {"email": "no device"}})
    result = run_sync(project, people, audience({"MADID": "email"}))
    assert (result.delivered, result.failed) == (15, 1)
    assert rejected(people) == {"no device": "invalid, by num_invalid_entries"}
    assert len(tools.meta.members) == 15


def test_whom_meta_took_beside_an_invalid_row_can_still_be_removed(project, people, tools):
    rows = {f"p{number:02d}": {"email": f"{number:08d}-0000-0000-0000-000000000000"} for number in range(4)}
    fill(people, rows | {"p04": {"email": "no device"}})
    # The first request takes four; then Meta lets nobody in.
    tools.meta.faults.answers = [None, 403]
    assert run_sync(project, people, audience({"MADID": "email"})).delivered == 0
    assert len(tools.meta.members) == 4
    fill(people, {})
    run_sync(project, people, audience({"MADID": "email"}))
    assert len(tools.meta.members) == 0


def test_a_request_that_is_too_large_is_halved(project, people, tools):
    fill(people, many(4))
    tools.meta.faults.answers = [413]
    assert run_sync(project, people, audience()).delivered == 4


def test_meta_compares_all_fields_in_their_normal_form(project, people, tools):
    fields = {"EXTERN_ID": "profile_id", "EMAIL": "email", "PHONE": "phone", "COUNTRY": "tier"}
    fill(people, {"p1": {"email": " A@Example.com", "phone": "0151 23456789", "tier": "DE"}})
    run_sync(project, people, audience(fields))
    assert tools.meta.members.identifiers == {
        "p1", normalise.sha256_hex("a@example.com"), normalise.sha256_hex("4915123456789"),
    }  # fmt: skip
    # Who goes goes with everything, by the key alone.
    fill(people, {})
    assert run_sync(project, people, audience(fields)).removed == 1
    assert len(tools.meta.members) == 0


def test_a_phone_that_is_the_key_is_removed_as_it_was_added(project, people, tools):
    for tool, sync in (
        (tools.meta, audience({"PHONE": "phone", "COUNTRY": "tier"}, region="AT")),
        (tools.google_ads, customers({"phone_number": "phone"}, region="AT")),
    ):
        people.execute("delete from cdi.sync_state")
        fill(people, {"p1": {"phone": "0664 1234567", "tier": "DE"}})
        run_sync(project, people, sync)
        fill(people, {})
        assert (len(tool.members), run_sync(project, people, sync).removed, len(tool.members)) == (1, 1, 0)


def test_more_rows_than_meta_takes_at_once(project, people, tools):
    people.execute(
        "insert into activation.people (profile_id, email)"
        " select 'p' || i, i || '@example.com' from range(10500) as r(i)"
    )
    assert run_sync(project, people, audience()).delivered == 10_500
    assert (len(tools.meta.members), tools.meta.counts["requests"]) == (10_500, 2)


@pytest.mark.parametrize(
    ("prepare", "options", "words"),
    [
        (lambda tool: setattr(tool, "is_throttled", True), {}, "code 80003"),
        (lambda tool: setattr(tool, "is_flagged", True), {}, "code 100"),
        (lambda tool: None, {"audience": "1"}, "does not exist"),
    ],
)
def test_what_no_row_is_the_reason_of_ends_the_sync(project, people, tools, prepare, options, words):
    # Meta says 400 to all of these, as it does to a bad row.
    prepare(tools.meta)
    fill(people, many(40))
    result = run_sync(project, people, audience(**options))
    assert (result.delivered, result.failed, tools.meta.counts["requests"]) == (0, 40, 1)
    assert words in result.problem
    tools.meta.is_throttled = tools.meta.is_flagged = False
    assert run_sync(project, people, audience()).delivered == 40


def test_a_refusal_after_an_answer_that_never_came_leaves_the_rows_in_doubt(project, people, tools, monkeypatch):
    fill(people, many(3))
    tools.meta.faults.answers = ["drop", 403]
    assert run_sync(project, people, audience()).delivered == 0
    assert len(tools.meta.members) == 3
    # They are there, though nobody said so: they can still be removed.
    fill(people, {})
    run_sync(project, people, audience())
    assert len(tools.meta.members) == 0


def test_no_token_and_no_address_in_what_is_kept(project, people, tools, monkeypatch, caplog):
    caplog.set_level("DEBUG", logger="cdi")
    fill(people, many(3) | {"p9": {"email": "nobody"}})
    tools.meta.faults.answers = [400]
    tools.meta.faults.words = json.dumps(
        {
            "error": {
                "code": 100,
                "message": f"{normalise.sha256_hex('q0000@example.com')} {meta.TOKEN} q0000@example.com",
            }
        }
    )
    result = run_sync(project, people, audience())
    kept = everything_kept(people) + repr(result) + caplog.text
    for secret in (meta.TOKEN, "q0000@example.com", normalise.sha256_hex("q0000@example.com")):
        assert secret not in kept
    monkeypatch.delenv("CDI_META_TOKEN")
    with pytest.raises(UsageError, match="token_env: the environment variable CDI_META_TOKEN is not set"):
        run_sync(project, people, audience())


@pytest.mark.parametrize(
    ("fields", "options", "words"),
    [
        ({"FN": "tier"}, {}, "identifies rows by EMAIL or PHONE"),
        ({"EMAIL": "email", "NAME": "tier"}, {}, "Meta knows no field 'NAME'"),
        (MEMBERS, {"audience": "vip"}, "audience is not the number"),
        (MEMBERS, {"batch_size": 20_000}, "batch_size must be"),
    ],
)
def test_a_wrong_declaration_of_meta_is_found_before_anything_is_sent(project, people, tools, fields, options, words):
    with pytest.raises(UsageError, match=words):
        run_sync(project, people, audience(fields, **options))
    assert tools.meta.counts["requests"] == 0


# Google Ads

CUSTOMERS = {"email_address": "email"}


def customers(fields=CUSTOMERS, **options) -> DeclaredSync:
    given = {"account": "123-456-7890", "audience": google_ads.AUDIENCE, "customer_match_terms": "accepted"}
    return declare("google_ads", "audience", fields, **given | options)


def are_googles(bodies) -> None:
    """Every request is one that Google's own messages can hold; unknown names raise."""
    for method, body in bodies:
        message = IngestAudienceMembersRequest if method == "ingest" else RemoveAudienceMembersRequest
        json_format.ParseDict(body, message.pb()())


def test_a_google_audience_holds_the_model(project, people, tools):
    def sync():
        tools.google_ads.faults.answers = ["drop", None, 503]
        run_sync(project, people, customers())

    def check(rows):
        assert tools.google_ads.members.identifiers == hashes(rows)

    change_at_random(people, sync, check)
    assert {method for method, _ in tools.google_ads.bodies} == {"ingest", "remove"}
    are_googles(tools.google_ads.bodies)


def test_all_that_is_known_of_somebody_goes_to_google(project, people, tools):
    people.execute(
        "create or replace table activation.people as select 'p1' as profile_id, 'J.Doe+x@gmail.com' as email,"
        " ['+1 800 555 0100', '0151 23456789'] as phones, 'Jane' as first, 'O''Doe' as last, 'de' as country,"
        " ' 10115 ' as zip"
    )
    fields = CUSTOMERS | {"phone_number": "phones", "given_name": "first", "family_name": "last"}
    fields |= {"region_code": "country", "postal_code": "zip"}
    given = {"login_account": "999", "ad_user_data": "granted", "ad_personalization": "denied"}
    assert run_sync(project, people, customers(fields, **given)).delivered == 1
    ((_, body),) = tools.google_ads.bodies
    are_googles(tools.google_ads.bodies)
    names = [normalise.sha256_hex(name) for name in ("jane", "o'doe")]
    assert tools.google_ads.members.identifiers == {
        normalise.sha256_hex("jdoe@gmail.com"), normalise.sha256_hex("+18005550100"),
        normalise.sha256_hex("+4915123456789"), f"{names[0]} {names[1]} DE 10115",
    }  # fmt: skip
    assert body["consent"] == {"adUserData": "CONSENT_GRANTED", "adPersonalization": "CONSENT_DENIED"}
    assert body["destinations"][0]["loginAccount"] == {"accountType": "GOOGLE_ADS", "accountId": "999"}


def test_rows_that_google_names_are_rejected_and_the_others_taken(project, people, tools):
    fill(people, many(50))
    tools.google_ads.bad = {normalise.sha256_hex(f"q{number:04d}@example.com") for number in (7, 30)}
    result = run_sync(project, people, customers())
    assert (result.delivered, result.failed) == (48, 2)
    assert rejected(people) == dict.fromkeys(["q0007@example.com", "q0030@example.com"], "INVALID_AUDIENCE_MEMBER")
    assert tools.google_ads.counts["requests"] == 2


def test_google_may_name_fewer_rows_than_there_are(project, people, tools):
    fill(people, many(40))
    tools.google_ads.most_violations = 1
    tools.google_ads.bad = {normalise.sha256_hex(f"q{number:04d}@example.com") for number in range(12)}
    result = run_sync(project, people, customers())
    assert (result.delivered, result.failed) == (28, 12)
    assert set(rejected(people)) == {f"q{number:04d}@example.com" for number in range(12)}


def test_a_bad_phone_is_rejected_before_google_refuses_all(project, people, tools):
    fill(people, many(5) | {"bad": {"email": "bad@example.com", "phone": "+0000000000"}})
    result = run_sync(project, people, customers(CUSTOMERS | {"phone_number": "phone"}))
    assert (result.delivered, rejected(people)) == (5, {"bad@example.com": "the phone is no phone number"})


@pytest.mark.parametrize(
    ("options", "words"),
    [({"audience": "1"}, "INVALID_USER_LIST_ID"), ({"account": "1"}, "HTTP 403"), ({"token_env": "OTHER"}, "HTTP 401")],
)
def test_a_destination_that_google_refuses_ends_the_sync(project, people, tools, monkeypatch, options, words):
    monkeypatch.setenv("OTHER", "a-wrong-token")
    fill(people, many(40))
    result = run_sync(project, people, customers(**options))
    assert (result.delivered, tools.google_ads.counts["requests"]) == (0, 1)
    assert words in result.problem
    assert "a-wrong-token" not in result.problem + everything_kept(people)


def test_a_service_accounts_tokens_are_renewed(project, people, tools, monkeypatch, tmp_path):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    account = {
        "type": "service_account",
        "client_email": "syncs@example.iam.gserviceaccount.com",
        "token_uri": os.environ["CDI_GOOGLE_ADS_URL"] + "/token",
        "private_key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
    }
    (tmp_path / "account.json").write_text(json.dumps(account))
    monkeypatch.delenv("CDI_GOOGLE_ADS_TOKEN")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
    # They are over before the next request.
    tools.google_ads.token_seconds = 1
    fill(people, many(3))
    for _ in range(2):
        assert run_sync(project, people, customers(), asked=Asked(scope=Scope(full=True))).delivered == 3
    assert tools.google_ads.counts["tokens"] == 2
    (tmp_path / "account.json").write_text(json.dumps(account | {"token_uri": os.environ["CDI_META_URL"]}))
    result = run_sync(project, people, customers(), asked=Asked(scope=Scope(full=True)))
    assert (result.delivered, result.problem) == (0, "Google gives no access token (RefreshError)")
    (tmp_path / "account.json").write_text("{}")
    with pytest.raises(UsageError, match="names cannot be read as Google's credentials"):
        run_sync(project, people, customers())


@pytest.mark.parametrize(
    ("fields", "options", "words"),
    [
        ({"given_name": "tier"}, {}, "identifies rows by email_address or phone_number"),
        (CUSTOMERS | {"given_name": "tier"}, {}, "an address has given_name, family_name"),
        (CUSTOMERS | {"EMAIL": "tier"}, {}, "Google knows no field 'EMAIL'"),
        (CUSTOMERS, {"account": "acme"}, "account is not the number"),
        (CUSTOMERS, {"customer_match_terms": "yes"}, "customer_match_terms 'yes' is not one of accepted"),
        (CUSTOMERS, {"token_env": "CDI_NOT_SET"}, "nor is CDI_NOT_SET"),
    ],
)
def test_a_wrong_declaration_of_google_is_found_before_anything_is_sent(project, people, tools, fields, options, words):
    with pytest.raises(UsageError, match=words):
        run_sync(project, people, customers(fields, **options))


# PostgreSQL

ROW = {"id": "profile_id", "email": "email", "tier": "tier", "revenue": "revenue", "seen_at": "seen_at"}


@pytest.fixture
def other(people, postgres_database, monkeypatch):
    """Another database, and its address in the variable."""
    address = psycopg.conninfo.make_conninfo(**postgres_database)
    monkeypatch.setenv("CDI_POSTGRES_URL", address)
    with psycopg.connect(address, autocommit=True) as connection:
        yield connection


def table(mode: str = "mirror", fields=ROW, skips=(), **options) -> DeclaredSync:
    return declare("postgres", mode, fields, skips, **{"table": "people", "create_table": True} | options)


def test_a_table_holds_the_model_and_what_others_put_there(project, people, other):
    fill(people, many(1))
    run_sync(project, people, table())
    other.execute("insert into people (id, email) values ('theirs', 'x@example.com')")

    def check(rows):
        held = {row[0]: row[1:] for row in other.execute("select id, email, tier, revenue from people").fetchall()}
        assert held.pop("theirs") == ("x@example.com", None, None)
        assert held == {key: (row["email"], row["tier"], row["revenue"]) for key, row in rows.items()}

    change_at_random(people, lambda: run_sync(project, people, table()), check)


def test_types_are_kept(project, people, other):
    people.execute(
        """
        create or replace table activation.people as select 'p1' as id, true as yes, 1::tinyint as tiny,
            2::integer as whole, 3::bigint as large, 4::hugeint as huge, 1.25::decimal(9, 3) as price,
            0.5::float as half, 0.1::double as tenth, date '2026-01-31' as day,
            timestamp '2026-01-31 12:00:00' as moment,
            timestamptz '2026-01-31 12:00:00+02' as zoned, [1, 2] as list, {'a': 'x"y'} as parts, E'a\\tb\\\\N' as text,
            null::text as nothing
        """
    )
    sync = DeclaredSync("people_sync", "activation", "people", "people.yml", "postgres", "id",
                        {"table": "people", "schema": "crm", "create_table": True})  # fmt: skip
    assert run_sync(project, people, sync).delivered == 1
    types = dict(
        other.execute(
            "select column_name, data_type from information_schema.columns where table_schema = 'crm'"
        ).fetchall()
    )
    assert types == {
        "id": "text", "yes": "boolean", "tiny": "smallint", "whole": "integer", "large": "bigint", "huge": "numeric",
        "price": "numeric", "half": "real", "tenth": "double precision", "day": "date",
        "moment": "timestamp without time zone", "zoned": "timestamp without time zone", "list": "jsonb",
        "parts": "jsonb", "text": "text", "nothing": "text",
    }  # fmt: skip
    assert other.execute("select * from crm.people").fetchone() == (
        "p1", True, 1, 2, 3, 4, Decimal("1.250"), 0.5, 0.1, date(2026, 1, 31), datetime(2026, 1, 31, 12),
        datetime(2026, 1, 31, 10), [1, 2], {"a": 'x"y'}, "a\tb\\N", None,
    )  # fmt: skip


def test_the_tables_own_types_and_columns_count(project, people, other):
    other.execute("set timezone = 'UTC'")
    other.execute(
        "create table people (id text primary key, tier varchar(4), seen_at timestamptz, note text default 'none',"
        " revenue text)"
    )
    fill(people, {"p1": {"tier": "gold", "seen_at": datetime(2026, 1, 31, 12), "revenue": 1}})
    fields = {"id": "profile_id", "tier": "tier", "seen_at": "seen_at", "revenue": "revenue"}
    assert run_sync(project, people, table(fields=fields, create_table=False)).delivered == 1
    (row,) = other.execute("select tier, seen_at at time zone 'UTC', note, revenue from people").fetchall()
    assert row == ("gold", datetime(2026, 1, 31, 12), "none", "1.00")


def test_a_bad_row_is_found_and_the_others_are_written(project, people, other):
    other.execute(
        "create table people (id text primary key, email text unique, tier varchar(4),"
        " revenue int check (revenue < 90), seen_at date)"
    )
    rows = many(50)
    rows["p0010"] |= {"tier": "platinum"}
    rows["p0020"] |= {"revenue": 90}
    rows["p0030"] |= {"email": "q0031@example.com"}
    rows["p0040"] |= {"tier": "a\0b"}
    fill(people, rows)
    fields = {name: column for name, column in ROW.items() if name != "revenue"} | {"revenue": "cast_revenue"}
    people.execute("alter table activation.people add column cast_revenue integer")
    people.execute("update activation.people set cast_revenue = revenue")
    result = run_sync(project, people, table(fields=fields))
    assert (result.delivered, result.failed) == (46, 4)
    reasons = rejected(people)
    assert reasons.pop("p0010").startswith("string data right truncation")
    assert reasons.pop("p0020").startswith("check violation: constraint people_revenue_check")
    assert reasons.pop("p0040").startswith("data error")
    (reason,) = reasons.values()
    assert reason == "unique violation: constraint people_email_key, at the address in CDI_POSTGRES_URL"
    assert "platinum" not in everything_kept(people)
    assert "@" not in everything_kept(people)
    assert other.execute("select count(*) from people").fetchone() == (46,)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("upsert", {"p0000": "silver", "p0001": "gold", "old": "old", "p0002": "gold"}),
        ("update", {"p0001": "gold", "old": "old"}),
        ("create", {"p0000": "gold", "p0001": "old", "old": "old", "p0002": "gold"}),
        ("append", {"p0000": "gold", "p0001": "old", "old": "old", "p0002": "gold"}),
    ],
)
def test_modes_of_tables(project, people, other, mode, expected):
    other.execute(
        "create table people (id text primary key, email text, tier text, revenue numeric, seen_at timestamp)"
    )
    other.execute("insert into people (id, tier) values ('p0001', 'old'), ('old', 'old')")
    fill(people, many(3))
    run_sync(project, people, table(mode))
    rows = many(3)
    rows["p0000"] |= {"tier": "silver"}
    fill(people, {key: row for key, row in rows.items() if key != "p0002"})
    run_sync(project, people, table(mode))
    assert dict(other.execute("select id, tier from people").fetchall()) == expected


def test_a_null_that_is_skipped_leaves_what_the_table_has(project, people, other):
    fill(people, {"p1": {"email": "a@example.com", "tier": "gold"}})
    run_sync(project, people, table(skips=("tier",)))
    fill(people, {"p1": {}})
    run_sync(project, people, table(skips=("tier",)))
    assert other.execute("select id, email, tier from people").fetchall() == [("p1", None, "gold")]


def test_people_to_forget_are_deleted_from_the_table(project, people, other):
    fill(people, many(3))
    run_sync(project, people, table())
    to_be_forgotten(people, "= 'p0001'")
    rows = many(3)
    del rows["p0001"]
    fill(people, rows)
    assert run_sync(project, people, table()).deleted == 1
    assert sorted(other.execute("select id from people").fetchall()) == [("p0000",), ("p0002",)]


@pytest.mark.parametrize(
    ("definition", "words"),
    [
        ("", 'relation "public.people" does not exist'),
        ("create table people (id text primary key)", 'column "email" does not exist'),
        (
            "create table people (id text, email text, tier text, revenue numeric, seen_at timestamp)",
            "no unique or exclusion constraint",
        ),
    ],
)
def test_a_table_that_does_not_fit_ends_the_sync(project, people, other, definition, words):
    if definition:
        other.execute(definition)
    fill(people, many(50))
    result = run_sync(project, people, table(create_table=False))
    assert (result.delivered, result.failed) == (0, 50)
    assert words in result.problem


def test_rows_are_all_refused_only_so_often(project, people, other, monkeypatch):
    other.execute("create table people (id text primary key, email int, tier text, revenue numeric, seen_at timestamp)")
    fill(people, many(200))
    assert run_sync(project, people, table()).problem.startswith("every row so far was refused: invalid text")


def test_a_connection_that_goes_away_leaves_its_rows_in_doubt(project, people, other, monkeypatch):
    fill(people, many(3))
    run_sync(project, people, table())
    written = postgres.Tables._write

    def write(self, *arguments):
        written(self, *arguments)
        other.execute("select pg_terminate_backend(%s)", [self.connection.info.backend_pid])

    with monkeypatch.context() as patch:
        patch.setattr(postgres.Tables, "_write", write)
        fill(people, many(4))
        result = run_sync(project, people, table())
    assert (result.delivered, result.failed) == (0, 1)
    assert people.query("select count(*) from cdi.sync_state where row_hash = ''") == [(1,)]
    assert run_sync(project, people, table()).delivered == 1
    assert other.execute("select count(*) from people").fetchone() == (4,)


def test_the_address_of_the_database_is_in_no_message(project, people, monkeypatch):
    fill(people, many(2))
    monkeypatch.setenv("CDI_POSTGRES_URL", "postgresql://jane:hunter2@127.0.0.1:1/shop")
    result = run_sync(project, people, table())
    assert result.problem == "operational error, at the address in CDI_POSTGRES_URL"
    for wrong, words in (("", "CDI_POSTGRES_URL is not set"), ("http://hunter2", "is no address of a PostgreSQL")):
        monkeypatch.setenv("CDI_POSTGRES_URL", wrong)
        with pytest.raises(UsageError, match=words) as caught:
            run_sync(project, people, table())
        assert "hunter2" not in str(caught.value)


# Tools declared in YAML

ACME = """
headers: {x-api-key: "{{ env('CDI_ACME_CRM_API_KEY') }}"}
upsert:
  path: /contacts/batch
  row: {id: "{{ row.id }}", mail: "{{ row.email }}", tier: "{{ row.tier }}", worth: "{{ row.revenue }}"}
  body: {contacts: "{{ rows }}", source: "cdi {{ sync }}"}
  batch_size: 100
  connections: 2
  rates: [[1000, 1]]
  taken_if: ok
  rejected: {rows: errors, index: position, reason: why}
remove: {method: DELETE, path: "/contacts/{{ row.id }}", success: [204, 404]}
delete: {path: /contacts/forget, row: "{{ row.id }}", body: {ids: "{{ rows }}"}, batch_size: 50}
"""
CONTACT = {"id": "profile_id", "email": "email", "tier": "tier", "revenue": "revenue"}


def declared_tools(tmp_path, definition: str | dict = ACME, name: str = "acme_crm"):
    """The tools of a project with one of its own."""
    given = yaml.safe_load(definition) if isinstance(definition, str) else definition
    (tmp_path / "dbt_project.yml").write_text(yaml.safe_dump({"name": "x", "vars": {"http_tools": {name: given}}}))
    return tools_of(tmp_path)


@pytest.fixture
def crm(tmp_path):
    folder = tmp_path / "declared"
    folder.mkdir()

    def declared(
        mode: str = "mirror", fields=CONTACT, definition=ACME, changes: dict | None = None, skips=(), **options
    ):
        given = yaml.safe_load(definition) | (changes or {})
        return declare("acme_crm", mode, fields, skips, tools=declared_tools(folder, given), **options)

    return declared


def changed(operation: str, **changes) -> dict:
    return {operation: yaml.safe_load(ACME)[operation] | changes}


def test_a_declared_tool_holds_the_model(project, people, tools, crm):
    def sync():
        tools.acme_crm.faults.answers = ["drop", None, 500, 429]
        run_sync(project, people, crm())

    def check(rows):
        assert tools.acme_crm.contacts == {
            key: {"id": key, "mail": row["email"], "tier": row["tier"], "worth": row["revenue"]}
            for key, row in rows.items()
        }

    change_at_random(people, sync, check)


def test_rows_that_a_declared_tool_rejects_are_the_right_ones(project, people, tools, crm):
    fill(people, many(250) | {"p0007": {"email": "nobody"}, "p0123": {"email": "none"}})
    result = run_sync(project, people, crm())
    assert (result.delivered, result.failed) == (248, 2)
    assert rejected(people) == dict.fromkeys(["p0007", "p0123"], "*** is no address")
    by_key = changed("upsert", rejected={"rows": "errors[]", "key": "id", "reason": "why"})
    assert run_sync(project, people, crm(changes=by_key)).refused_again == 2
    assert set(rejected(people)) == {"p0007", "p0123"}


def test_an_answer_of_a_declared_tool_that_takes_nothing_is_no_success(project, people, tools, crm):
    fill(people, many(150))
    # More than it takes: 200 and not ok, and the batch is halved.
    assert run_sync(project, people, crm(changes=changed("upsert", batch_size=150))).delivered == 150
    assert len(tools.acme_crm.contacts) == 150


def test_a_declared_tool_may_take_one_row_at_a_time(project, people, tools, crm):
    one = {
        "method": "PUT",
        "path": "/contacts/{{ row.id }}",
        "body": {"mail": "{{ row.email }}", "tier": "{{ row.tier }}"},
    }
    fields = {"id": "profile_id", "email": "email", "tier": "tier"}
    # What stands in a path stays one part of it, and a text that looks like a number or code stays a text.
    odd = {"a/../b c?#%": {"email": "x@example.com", "tier": "007"}, "007": {"email": "y@example.com", "tier": "[1]"}}
    fill(people, odd | {"..": {"email": "z@example.com"}, "bad": {"email": "nobody"}})
    result = run_sync(project, people, crm(fields=fields, changes={"upsert": one}))
    assert (result.delivered, result.failed) == (2, 2)
    assert tools.acme_crm.contacts == {
        key: {"id": key, "mail": row["email"], "tier": row["tier"]} for key, row in odd.items()
    }
    assert rejected(people)[".."] == "a value that the path needs is missing"
    assert rejected(people)["bad"].startswith("HTTP 422")
    fill(people, {})
    run_sync(project, people, crm(fields=fields, changes={"upsert": one}))
    assert tools.acme_crm.contacts == {}


def test_a_row_that_a_template_cannot_be_filled_with_is_found(project, people, tools, crm):
    fill(people, many(20) | {"p0007": {"email": "x@example.com"}})
    body = {"contacts": "{{ rows }}", "worth": "{{ rows | map(attribute='worth') | sum }}"}
    result = run_sync(project, people, crm(changes=changed("upsert", body=body)))
    ((key, reason),) = rejected(people).items()
    assert (result.delivered, key) == (19, "p0007")
    assert reason.endswith("upsert.body.worth: TypeError")


def test_what_a_declared_tool_does_not_have_cannot_be_removed_and_is_no_error(project, people, tools, crm):
    fill(people, many(2))
    run_sync(project, people, crm())
    tools.acme_crm.contacts.clear()
    fill(people, many(1))
    assert run_sync(project, people, crm()).delivered == 1


def test_nulls_of_a_declared_tool_are_sent_or_left_out(project, people, tools, crm):
    fill(people, many(1))
    run_sync(project, people, crm(skips=("tier",)))
    fill(people, {"p0000": {}})
    run_sync(project, people, crm(skips=("tier",)))
    assert tools.acme_crm.contacts["p0000"] == {"id": "p0000", "mail": None, "tier": "gold", "worth": None}


def test_a_declared_tool_forgets_people(project, people, tools, crm):
    fill(people, many(120))
    run_sync(project, people, crm())
    to_be_forgotten(people, "< 'p0110'")
    fill(people, many(10, first=110))
    assert run_sync(project, people, crm()).deleted == 110
    assert tools.acme_crm.forgotten == {f"p{number:04d}" for number in range(110)}
    assert set(tools.acme_crm.contacts) == {f"p{number:04d}" for number in range(110, 120)}


def test_events_go_to_a_declared_tool_once_and_repeats_are_counted(project, people, tools, crm):
    event = {
        "upsert": {"path": "/events", "body": {"event": "{{ row }}", "at": "{{ row.at }} sharp"}, "success": [202]}
    }
    fields = {"id": "profile_id", "at": "seen_at"}
    fill(people, {"e1": {"seen_at": datetime(2026, 1, 31, 12)}})
    tools.acme_crm.faults.answers = ["drop"]
    result = run_sync(project, people, crm("append", fields, changes=event))
    assert (result.delivered, result.resent, len(tools.acme_crm.events)) == (1, 1, 2)
    assert tools.acme_crm.events[0] == {
        "event": {"id": "e1", "at": "2026-01-31T12:00:00Z"}, "at": "2026-01-31T12:00:00Z sharp",
    }  # fmt: skip
    # The tool says 202 for taken, and nothing else is.
    refused = {"upsert": event["upsert"] | {"success": [200]}}
    fill(people, {"e2": {}})
    assert run_sync(project, people, crm("append", fields, changes=refused)).failed == 1


def test_secrets_of_a_declared_tool_come_from_variables_and_are_in_no_message(project, people, tools, crm, monkeypatch):
    monkeypatch.setenv("CDI_ACME_CRM_API_KEY", "wrong-key-of-somebody")
    fill(people, many(5))
    tools.acme_crm.faults.answers, tools.acme_crm.faults.words = [401], '{"message": "wrong-key-of-somebody"}'
    result = run_sync(project, people, crm())
    assert result.problem.startswith("HTTP 401")
    assert "wrong-key-of-somebody" not in result.problem + everything_kept(people)
    monkeypatch.delenv("CDI_ACME_CRM_API_KEY")
    with pytest.raises(UsageError, match="the environment variable CDI_ACME_CRM_API_KEY is not set"):
        run_sync(project, people, crm())
    monkeypatch.delenv("CDI_ACME_CRM_URL")
    with pytest.raises(UsageError, match="the environment variable CDI_ACME_CRM_URL is not set"):
        run_sync(project, people, crm())


def test_a_sync_can_have_options_of_a_declared_tool(project, people, tools, crm):
    changes = {"options": ["list"]} | changed("upsert", body={"contacts": "{{ rows }}", "list": "{{ options.list }}"})
    with pytest.raises(UsageError, match="option 'list' is missing"):
        run_sync(project, people, crm(changes=changes))
    fill(people, many(1))
    assert run_sync(project, people, crm(changes=changes, list="7")).delivered == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"upsrt": {}}, "'upsrt' is not known. Did you mean upsert"),
        ({"upsert": None}, "upsert must be a mapping"),
        (changed("upsert", pth="/x"), "'pth' is not known. Did you mean path"),
        (changed("upsert", path="x"), "path must begin with a slash"),
        (changed("upsert", method="GET"), "method 'GET' is not one of"),
        (changed("upsert", batch_size=0), "batch_size 0 is less than 1"),
        (changed("upsert", batch_size="many"), "batch_size is 'many', but must be a whole number"),
        (changed("upsert", rates=[5]), "rates must be pairs"),
        (changed("upsert", success=["ok"]), "success must be a list of statuses"),
        (changed("upsert", row={"id": "{{ row.id"}), "upsert.row.id: unexpected end of template"),
        (changed("upsert", body="{{ people }}"), "a placeholder names 'people'"),
        (changed("upsert", path="/contacts/{{ row.id }}"), "path and body have no one row"),
        (changed("upsert", rejected={"rows": "x[", "index": "i"}), "is no JMESPath"),
        (changed("upsert", rejected={"rows": "x"}), "needs rows and either index or key"),
        (changed("upsert", path="/{{ options.list }}"), "a placeholder names options.list"),
        ({"headers": {"x": "{{ row.id }}"}}, "a placeholder names 'row'"),
        ({"options": ["mode"]}, "options must be a list of names"),
    ],
)
def test_a_wrong_tool_in_yaml_is_named_by_file_and_key(tmp_path, changes, words):
    with pytest.raises(UsageError, match=r"^dbt_project.yml, vars.http_tools.acme_crm") as caught:
        declared_tools(tmp_path, yaml.safe_load(ACME) | changes)
    assert words in str(caught.value)


def test_a_declared_tool_is_held_against_the_sync(project, people, tools, crm, tmp_path):
    with pytest.raises(UsageError, match="'tier', which acme_crm puts into upsert, is not among the fields"):
        run_sync(project, people, crm(fields={"id": "profile_id", "email": "email", "revenue": "revenue"}))
    tier = changed("remove", path="/contacts/{{ row.tier }}")
    with pytest.raises(UsageError, match="'tier', which acme_crm puts into remove, is not the key"):
        run_sync(project, people, crm(changes=tier))
    without = {name: part for name, part in yaml.safe_load(ACME).items() if name == "upsert"}
    with pytest.raises(UsageError, match="mode 'mirror' is nothing that acme_crm can do here"):
        run_sync(project, people, crm(definition=yaml.safe_dump(without)))
    with pytest.raises(UsageError, match="there is a tool 'webhook' already"):
        declared_tools(tmp_path, name="webhook")


@pytest.mark.parametrize("text", ["{{ row.__class__.__mro__ }}", "{{ row.id.format.__globals__ }} x"])
def test_templates_run_in_a_sandbox(text):
    with pytest.raises(RowError, match=r"^body: (Security|Undefined)Error$"):
        templates.structure(text, "body")({"row": {"id": "x"}})


def test_a_field_may_have_the_name_of_a_method_and_may_be_missing():
    render = templates.structure({"items": "{{ row.items }}", "none": "{{ row.none }}"}, "body")
    assert render({"row": {"items": 7}}) == {"items": 7}


def test_syncs_of_a_manifest_know_the_tools_of_their_project(tmp_path):
    declared_tools(tmp_path)
    config = SimpleNamespace(meta={"sync": {"tool": "acme_crm", "key": "profile_id"}}, materialized="activation")
    node = SimpleNamespace(
        name="crm__people", schema="activation", alias="crm__people", resource_type="model", config=config,
        original_file_path="models/x.sql", patch_path=None, columns={},
    )  # fmt: skip
    manifest = SimpleNamespace(nodes={"x": node})
    (sync,) = declared_syncs(manifest, root=tmp_path)
    assert sync.tool_class.__name__ == "acme_crm"
    with pytest.raises(UsageError, match="tool 'acme_crm' is not known"):
        _ = declared_syncs(manifest)[0].tool_class
