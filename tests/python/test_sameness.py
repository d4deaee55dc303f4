"""The same rows, always: loads built one after the other give what one full build gives."""

from __future__ import annotations

import itertools
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
from conftest import ROOT
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from support import AGAIN, BUILD, START, copy_project, message, rows_of

from cdi.dbt import run_dbt
from cdi.landing import land
from cdi.warehouse import connect

VARIABLES = {"as_of": (START + timedelta(days=10)).isoformat(sep=" "), "households": True, "household_max_profiles": 3}
AUDIENCES = ROOT / "models/audiences"
TABLES = [
    "events.events",
    "events.order_completed",
    "events.order_refunded",
    "events.product_added",
    "events.identified",
    "events.grouped",
    "events.order_items",
    "governance.event_volumes",
    "governance.event_drift",
    "governance.source_freshness",
    "identity.identifier_sets",
    "identity.identity_graph",
    "identity.identity_limits",
    "profiles.profile_traits",
    "profiles.profiles",
    "profiles.profile_scores",
    "profiles.sessions",
    "profiles.session_starts",
    "profiles.profile_attribution",
    "profiles.order_attribution",
    "profiles.account_traits",
    "profiles.profile_consent",
    "profiles.profile_events",
    "profiles.account_memberships",
    "profiles.accounts",
    "profiles.household_graph",
    "profiles.household_members",
    "profiles.households",
    "audiences.audience_conditions",
    "activation.webhook__high_value_customers",
]


def random_records(seed: int, count: int) -> list[tuple[str, dict[str, Any]]]:
    """(source, record) of a few people on all sources, with duplicates, late events, merges and dirt."""
    dice = random.Random(seed)
    records: list[tuple[str, dict[str, Any]]] = []
    for number in range(count):
        person, device = dice.randrange(12), dice.randrange(20)
        at = START - timedelta(days=dice.choice([0, 1, 6, 8, 40, 70, 200]), seconds=dice.randrange(80_000))
        who: dict[str, Any] = {"anonymousId": f"device-{device}"}
        if dice.random() < 0.4:
            who["userId"] = f"user-{person}"
        if dice.random() < 0.3:
            choice = dice.choice([{}, {"Advertising": dice.random() < 0.5, "DataSharing": True}])
            who["context"] = {"consent": {"categoryPreferences": choice}}
        elif dice.random() < 0.1:
            who["context"] = {"groupId": f"account-{dice.randrange(4)}"}
        address = {"street": f"Gartenstr. {dice.randrange(8)}", "postalCode": "1010", "country": "AT"}
        product = {
            "product_id": f"p{dice.randrange(5)}",
            "name": "Boot",
            "category": "Shoes",
            "brand": "A",
            "price": 60.5,
        }
        kind = dice.randrange(10)
        if kind == 0:
            traits = {"email": f"p{person}@example.com", "city": dice.choice(["Wien", "Graz", None])}
            if dice.random() < 0.5:
                traits["address"] = address
            records.append(("segment", message("identify", at, traits=traits, **who)))
        elif kind == 1:
            properties = {
                "order_id": f"o{number}",
                "revenue": dice.choice([20, 300, "12,5", None]),
                "products": [product],
                "shipping_address": address,
            }
            records.append(("segment", message("track", at, event="Order Completed", properties=properties, **who)))
        elif kind == 2:
            records.append(("segment", message("track", at, event="Product Added", properties=product, **who)))
        elif kind == 3:
            name = dice.choice(["Newsletter Subscribed", "Newsletter Unsubscribed"])
            records.append(("segment", message("track", at, event=name, **who)))
        elif kind == 4:
            lines = [
                {"receipt_id": f"r{number}", "receipt_line": line, "sold_at": at.isoformat(), "sku": "s", "quantity": 1,
                 "unit_price": "99.90", "loyalty_id": f"L{person}", 
                 "email": dice.choice(["", f"p{person}@example.com"])}
                for line in (1, 2)
            ]  # fmt: skip
            records += [("till", line) for line in lines]
        elif kind == 5:
            created = int(at.timestamp())
            records.append(
                (
                    "stripe.customers",
                    {"id": f"cus_{person}", "email": f"P{person}@example.com", "created": created},
                )
            )
            records.append(("stripe.charges", {"id": f"ch_{number}", "customer": f"cus_{person}", "amount": 1999,
                                               "currency": "eur", "created": created, "status": "succeeded",
                                               "payment_method_details": {"card": {"fingerprint": f"{person // 3}"}}
                                               }))  # fmt: skip
        elif kind == 6 and records:
            records.append(dice.choice([record for record in records if record[0] != "till"] or records))
        elif kind == 7:
            records.append(("salesforce.contact", {"Id": f"003{person}", "Email": f"p{person}@example.com",
                                                   "AccountId": dice.choice(["account-1", "account-9"]),
                                                   "SystemModstamp": at.isoformat()}))  # fmt: skip
        elif kind == 8:
            traits = {"name": f"Company {number}", "employees": dice.choice([12, "40", "many", None]),
                      "plan": dice.choice(["free", "paid", None]), "email": "info@company.example"}  # fmt: skip
            records.append(
                ("segment", message("group", at, groupId=f"account-{dice.randrange(4)}", traits=traits, **who))
            )
        else:
            records.append(("segment", message("page", at, name="Home", **who)))
    return records


def split(records: list, dice: random.Random, loads: int) -> list[list]:
    """Records in loads; the lines of one receipt stay together, as a till sends them."""
    cuts = sorted(dice.randrange(len(records)) for _ in range(loads - 1))
    parts = [records[start:end] for start, end in zip([0, *cuts], [*cuts, len(records)], strict=True)]
    for part, following in itertools.pairwise(parts):
        while (
            part
            and following
            and part[-1][0] == following[0][0] == "till"
            and (part[-1][1]["receipt_id"] == following[0][1]["receipt_id"])
        ):
            part.append(following.pop(0))
    return parts


@given(seed=st.integers(0, 2**32))
@settings(max_examples=1, phases=[Phase.generate])
def test_incremental_runs_give_the_rows_of_a_full_refresh(project_factory, tmp_path: Path, seed: int):
    dice = random.Random(seed)
    # In a copy of its own: dbt parses the whole project anew where variables changed.
    project = project_factory(copy_project(ROOT, tmp_path / str(dice.random())))
    if project.dialect == "postgres":
        # Plans as on large tables: what may not run in a parallel worker fails here, not at a million rows.
        with connect(project) as warehouse:
            for setting in ("parallel_setup_cost", "parallel_tuple_cost", "min_parallel_table_scan_size"):
                warehouse.execute(f'alter database "{project.credentials.database}" set {setting} = 0')
    for number, part in enumerate(split(random_records(seed, 120), dice, loads=3)):
        for source in sorted({source for source, _ in part}):
            file = tmp_path / f"{seed}-{number}-{source}-{dice.random()}.ndjson"
            file.write_bytes(b"\n".join(orjson.dumps(record) for name, record in part if name == source))
            land(project, source, [file])
        built = run_dbt(project, [*BUILD, *(AGAIN if number else ())], VARIABLES)
        assert built.success
    audiences = [f"audiences.{node.name}" for node in built.nodes if (AUDIENCES / f"{node.name}.sql").is_file()]
    assert len(audiences) > 20
    tables = [*TABLES, *audiences]
    with connect(project) as warehouse:
        step_by_step = {table: rows_of(warehouse, table) for table in tables}
    assert run_dbt(project, [*BUILD, "--full-refresh"], VARIABLES).success
    with connect(project) as warehouse:
        for table in tables:
            assert rows_of(warehouse, table) == step_by_step[table], table
        assert step_by_step["profiles.profiles"]
