"""Computed traits: what each type means, the same rows from incremental runs, and definitions that are wrong."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from support import AGAIN, START, UNTESTED, copy_project, land_messages, message, new_project, rows_of

from cdi.dbt import load_manifest, run_dbt
from cdi.errors import CdiError
from cdi.project import Project
from cdi.warehouse import connect

ORDER, ADDED = "Order Completed", "Product Added"
TRAITS: dict[str, tuple[str, dict[str, Any]]] = {
    "orders": ("integer", {"type": "count", "event": ORDER}),
    "orders_9_days": ("integer", {"type": "count", "event": ORDER, "within": "9 days"}),
    "orders_before": ("integer", {"type": "count", "event": ORDER, "between": ["216 hours", "3 weeks"]}),
    "revenue": ("numeric(18, 2)", {"type": "sum", "event": ORDER, "property": "revenue"}),
    "revenue_eur": ("numeric(18, 2)", {"type": "sum", "event": ORDER, "property": "revenue", "currency": "EUR"}),
    "mean": ("numeric(18, 2)", {"type": "average", "event": ORDER, "property": "revenue"}),
    "least": ("numeric(18, 2)", {"type": "minimum", "event": ORDER, "property": "revenue"}),
    "most": ("numeric(18, 2)", {"type": "maximum", "event": ORDER, "property": "revenue", "within": "9 days"}),
    "first_at": ("timestamp", {"type": "first", "event": ORDER, "property": "event_at"}),
    "last_at": ("timestamp", {"type": "last", "event": ORDER, "property": "event_at"}),
    "last_coupon": ("string", {"type": "last", "event": ORDER, "property": "coupon"}),
    "first_revenue": ("numeric(18, 2)", {"type": "first", "event": ORDER, "property": "revenue"}),
    "coupon": ("string", {"type": "most_frequent", "event": ORDER, "property": "coupon"}),
    "brand": ("string", {"type": "most_frequent", "event": ORDER, "property": "products[].brand",
                         "minimum_sightings": 1}),
    "currency_9_days": ("string", {"type": "most_frequent", "event": ORDER, "property": "currency",
                                   "within": "9 days"}),
    "currency_before": ("string", {"type": "most_frequent", "event": ORDER, "property": "currency",
                                   "between": ["216 hours", "3 weeks"], "minimum_sightings": 1}),
    "brands": (yaml.safe_load("x: json")["x"], {"type": "unique_list", "event": ORDER, "property": "products[].brand"}),
    "count_brands": ("integer", {"type": "unique_count", "event": ORDER, "property": "products[].brand"}),
    "cheap_items": ("integer", {"type": "count", "event": ORDER, "where": {"products[].price": {"less_than": 10}}}),
    "days_since": ("integer", {"type": "days_since", "of": "last_at"}),
    "days_between": ("numeric(18, 2)", {"type": "time_between", "event": ORDER}),
    "streak": ("integer", {"type": "streak", "event": ORDER}),
    "current_streak": ("integer", {"type": "streak", "event": ORDER, "current": True}),
    "per_month": ("numeric(18, 4)", {"type": "per_month", "of": ["orders", "first_at"]}),
    "added": ("integer", {"type": "count", "event": ADDED}),
    "added_per_order": ("numeric(18, 4)", {"type": "ratio", "of": ["added", "orders"]}),
    "more_orders": ("numeric(18, 4)", {"type": "difference", "of": ["orders", "added"]}),
    "in_last_session": ("integer", {"type": "count", "event": ADDED, "within": "1 hour"}),
}  # fmt: skip
CONDITIONS: dict[str, tuple[dict[str, Any], Any]] = {
    "equals": ({"coupon": "SPRING"}, lambda o: o["coupon"] == "SPRING"),
    "not_equals": ({"coupon": {"not_equals": "SPRING"}}, lambda o: o["coupon"] != "SPRING"),
    "less_than": ({"revenue": {"less_than": 50}}, lambda o: o["revenue"] is not None and o["revenue"] < 50),
    "greater_than": ({"revenue": {"greater_than": 50}}, lambda o: o["revenue"] is not None and o["revenue"] > 50),
    "at_most": ({"revenue": {"at_most": 50}}, lambda o: o["revenue"] is not None and o["revenue"] <= 50),
    "at_least": ({"revenue": {"at_least": 50}}, lambda o: o["revenue"] is not None and o["revenue"] >= 50),
    "contains": ({"coupon": {"contains": "PRI"}}, lambda o: "PRI" in (o["coupon"] or "")),
    "does_not_contain": ({"coupon": {"does_not_contain": "PRI"}}, lambda o: "PRI" not in (o["coupon"] or "")),
    "starts_with": ({"coupon": {"starts_with": "it's"}}, lambda o: (o["coupon"] or "").startswith("it's")),
    "ends_with": ({"coupon": {"ends_with": "10"}}, lambda o: (o["coupon"] or "").endswith("10")),
    "exists": ({"coupon": {"exists": True}}, lambda o: o["coupon"] is not None),
    "does_not_exist": ({"coupon": {"does_not_exist": True}}, lambda o: o["coupon"] is None),
    "before": ({"event_at": {"before": "2026-11-03"}}, lambda o: o["at"] < datetime(2026, 11, 3)),
    "after": ({"event_at": {"after": "2026-11-03T12:00:00Z"}}, lambda o: o["at"] > datetime(2026, 11, 3, 12)),
    "one_of": ({"coupon": {"one_of": ["SPRING", "it's 10"]}}, lambda o: o["coupon"] in ("SPRING", "it's 10")),
    "contains_one_of": ({"coupon": {"contains_one_of": ["ING", "'"]}},
                        lambda o: any(x in (o["coupon"] or "") for x in ("ING", "'"))),
}  # fmt: skip
JSON_TYPE = "{{ 'jsonb' if target.type == 'postgres' else 'json' }}"


def write_model(root: Path, name: str, traits: dict[str, tuple[str, dict[str, Any]]], reads: list[str]) -> None:
    """A model of computed traits in a project's folder."""
    columns: list[dict[str, Any]] = [{"name": "profile_id", "data_type": "string"}]
    columns += [
        {"name": column, "data_type": JSON_TYPE if data_type == "json" else data_type,
         "config": {"meta": {"trait": trait}}}
        for column, (data_type, trait) in traits.items()
    ]  # fmt: skip
    model = {"name": name, "config": {"contract": {"enforced": True}}, "columns": columns}
    folder = root / "models/profiles/traits"
    (folder / f"{name}.yml").write_text(yaml.safe_dump({"version": 2, "models": [model]}, sort_keys=False))
    (folder / f"{name}.sql").write_text(
        "{{ config(materialized='by_profile', inputs='trait_inputs', definition='trait_definitions') }}\n"
        f"{{{{ cdi.computed_traits(reads={reads!r}) }}}}\n"
    )


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = copy_project(ROOT, tmp_path_factory.mktemp("traits") / "project")
    plan = root / "models/events/planned/order_completed.yml"
    plan.write_text(
        plan.read_text().replace("              products[].price:", "              products[].brand: {type: string}\n"
                                 "              products[].price:")
    )  # fmt: skip
    conditions = {name: ("integer", {"type": "count", "event": ORDER, "where": where})
                  for name, (where, _) in CONDITIONS.items()}  # fmt: skip
    write_model(root, "tried_traits", TRAITS, ["order_completed", "product_added", "exchange_rates"])
    write_model(root, "tried_conditions", conditions, ["order_completed"])
    (root / "seeds/currency_rates.csv").write_text(
        "from_currency,to_currency,valid_from,rate\nUSD,EUR,2026-01-01,0.5\nUSD,EUR,2026-11-02,2\n"
    )
    return root


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def project(
    request: pytest.FixtureRequest, copied: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    with new_project(request.param, copied, tmp_path_factory.mktemp("traits")) as made:
        yield made


def random_events(dice: random.Random, count: int) -> list[dict[str, Any]]:
    """Orders, additions and log-ins of a few people on a few devices; some at the same moment."""
    events = []
    for number in range(count):
        at = START - timedelta(hours=dice.choice([0, 1, 23, 24, 25, 48, 72, 215, 216, 217, 503, 504, 505]),
                               seconds=dice.choice([0, 0, 1, 1800]))  # fmt: skip
        who: dict[str, Any] = {"anonymousId": f"device-{dice.randrange(6)}"}
        if dice.random() < 0.3:
            who["userId"] = f"user-{dice.randrange(4)}"
        kind = dice.randrange(5)
        if kind < 3:
            products = [{"product_id": "p", "brand": dice.choice(["a", "B", "c", None]), "price": dice.choice([5, 20])}
                        for _ in range(dice.randrange(3))]  # fmt: skip
            properties = {
                "order_id": f"o{number}", "revenue": dice.choice([20, 50, 99.5, None]), "products": products,
                "coupon": dice.choice(["SPRING", "it's 10", "spring", None]),
                "currency": dice.choice(["EUR", "USD", "usd", "GBP", "", None]),
            }  # fmt: skip
            events.append(message("track", at, event=ORDER, properties=properties, **who))
        elif kind == 3:
            events.append(message("track", at, event=ADDED, properties={"product_id": "p"}, **who))
        else:
            events.append(message("identify", at, traits={"email": f"p{dice.randrange(4)}@example.com"}, **who))
    return events


def expected(orders: list[dict], added: list[datetime], as_of: datetime) -> dict[str, Any]:
    """The traits of one profile by plain Python."""
    orders = sorted((o for o in orders if o["at"] <= as_of), key=lambda o: o["at"])
    added = [at for at in added if at <= as_of]
    if not orders and not added:
        return {}
    recent = [o for o in orders if o["at"] > as_of - timedelta(days=9)]
    values = [o["revenue"] for o in orders if o["revenue"] is not None]
    rates = {"EUR": lambda at: 1, "": lambda at: 1, "USD": lambda at: 2 if at >= datetime(2026, 11, 2) else 0.5}
    # Of pounds there is no rate: they do not count.
    in_euro = [
        o["revenue"] * rates[currency](o["at"])
        for o in orders
        if o["revenue"] is not None and (currency := (o["currency"] or "").upper()) in rates
    ]
    items = [item for o in orders for item in o["products"]]
    brands = [item["brand"] for item in items if item["brand"] is not None]
    coupons = Counter(o["coupon"] for o in orders if o["coupon"])
    before = [o for o in orders if as_of - timedelta(weeks=3) < o["at"] <= as_of - timedelta(hours=216)]
    paid_in = Counter(o["currency"] for o in recent if o["currency"] is not None)
    paid_before = Counter(o["currency"] for o in before if o["currency"] is not None)
    days = sorted({o["at"].date() for o in orders})
    runs: list[list] = []
    for day in days:
        if runs and (day - runs[-1][-1]).days == 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    seconds = (orders[-1]["at"] - orders[0]["at"]).total_seconds() if orders else 0
    last = max((o["at"] for o in orders), default=None)
    first = min((o["at"] for o in orders), default=None)
    with_coupon = [(o["at"], o["coupon"]) for o in orders if o["coupon"]]
    with_revenue = [(o["at"], f"{o['revenue']:.4f}") for o in orders if o["revenue"] is not None]
    seen = Counter(brands)
    return {
        "orders": len(orders),
        "orders_9_days": len(recent),
        "orders_before": len(before),
        "revenue": sum(values) if values else None,
        "revenue_eur": sum(in_euro) if in_euro else None,
        "mean": round(sum(values) / len(values), 2) if values else None,
        "least": min(values, default=None),
        "most": max((o["revenue"] for o in recent if o["revenue"] is not None), default=None),
        "first_at": first,
        "last_at": last,
        "last_coupon": max(with_coupon)[1] if with_coupon else None,
        "first_revenue": float(min(with_revenue)[1]) if with_revenue else None,
        "coupon": min((c for c in coupons if coupons[c] >= 2), key=lambda c: (-coupons[c], c), default=None),
        "brand": min(seen, key=lambda b: (-seen[b], b), default=None),
        "currency_9_days": min((c for c in paid_in if paid_in[c] >= 2), key=lambda c: (-paid_in[c], c), default=None),
        "currency_before": min(paid_before, key=lambda c: (-paid_before[c], c), default=None),
        "brands": sorted(seen) or None,
        "count_brands": len(seen),
        "cheap_items": sum(item["price"] < 10 for item in items),
        "days_since": (as_of - last).days if last else None,
        "days_between": round(seconds / 86400 / (len(orders) - 1), 2) if len(orders) > 1 else None,
        "streak": max((len(run) for run in runs), default=0),
        "current_streak": max((len(run) for run in runs if (as_of.date() - run[-1]).days <= 1), default=0),
        "per_month": round(len(orders) * 30 / max((as_of - first).days, 30), 4) if orders else None,
        "added": len(added),
        "added_per_order": round(len(added) / len(orders), 4) if orders else None,
        "more_orders": len(orders) - len(added),
        "in_last_session": sum(at > as_of - timedelta(hours=1) for at in added),
    }  # fmt: skip


def plain(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("["):
        return yaml.safe_load(value)
    return value if value is None or isinstance(value, (str, datetime, int, list)) else float(value)


def close(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return all(
        found[key] == value
        or (isinstance(value, (int, float)) and found[key] is not None and abs(found[key] - value) < 0.0101)
        for key, value in wanted.items()
    )


@given(seed=st.integers(0, 2**32))
@settings(max_examples=1, phases=[Phase.generate])
def test_traits_are_what_they_say_and_incremental_runs_give_a_full_refresh(project: Project, seed: int):
    dice = random.Random(seed)
    messages = random_events(dice, 90)
    cuts = sorted(dice.randrange(len(messages)) for _ in range(2))
    selection = [*UNTESTED, "--select", "+tried_traits", "+tried_conditions"]
    manifest = load_manifest(project)
    # The clock goes on, stands still and goes back.
    moments = [START + timedelta(hours=h) for h in (0, dice.choice([1, 23, 26]), 0, dice.choice([-30, 60]))]
    parts = [messages[: cuts[0]], messages[cuts[0] : cuts[1]], messages[cuts[1] :], []]
    with connect(project) as warehouse:
        for schema in ("raw", "cdi", "events", "identity", "profiles"):
            warehouse.execute(f"drop schema if exists {schema} cascade")
    for number, (part, as_of) in enumerate(zip(parts, moments, strict=True), 1):
        variables = {"as_of": as_of.isoformat(sep=" ")}
        if number == 1:
            assert run_dbt(project, ["seed"], variables, manifest).success
        with connect(project) as warehouse:
            land_messages(warehouse, part, number)
        result = run_dbt(project, ["build", *selection, *(AGAIN if number > 1 else ())], variables, manifest)
        assert not (failed := [node for node in result.nodes if node.failed]), failed
        with connect(project) as warehouse:
            names = ", ".join(["profile_id", *TRAITS])
            step_by_step = rows_of(warehouse, "profiles.tried_traits", names)
            conditions = rows_of(warehouse, "profiles.tried_conditions", ", ".join(["profile_id", *CONDITIONS]))
            profiles = dict(warehouse.query("select identifier, profile_id from identity.identity_graph"))
            orders: dict[str, list] = {}
            for identifier, at, revenue, currency, coupon, products in warehouse.query(
                "select identifier, event_at, revenue, currency, coupon, cast(products as text)"
                " from events.order_completed"
            ):
                orders.setdefault(profiles[identifier], []).append({
                    "at": at, "revenue": None if revenue is None else float(revenue), "currency": currency,
                    "coupon": coupon, "products": yaml.safe_load(products or "[]"),
                })  # fmt: skip
            added: dict[str, list] = {}
            for identifier, at in warehouse.query("select identifier, event_at from events.product_added"):
                added.setdefault(profiles[identifier], []).append(at)
        wanted = {
            profile: traits
            for profile in {*orders, *added}
            if (traits := expected(orders.get(profile, []), added.get(profile, []), as_of))
        }
        found = {row[0]: dict(zip(TRAITS, map(plain, row[1:]), strict=True)) for row in step_by_step}
        assert found.keys() == wanted.keys()
        for profile, traits in wanted.items():
            assert close(found[profile], traits), {
                key: (found[profile][key], value)
                for key, value in traits.items()
                if not close(found[profile], {key: value})
            }
        for profile, *counts in conditions:
            past = [order for order in orders[profile] if order["at"] <= as_of]
            assert counts == [sum(holds(o) for o in past) for _, holds in CONDITIONS.values()], profile
        full = ["run", "--full-refresh", "--select", "tried_traits", "tried_conditions"]
        assert run_dbt(project, full, variables, manifest).success
        with connect(project) as warehouse:
            assert rows_of(warehouse, "profiles.tried_traits", names) == step_by_step
    # As of any time, from a warehouse that knows what came after it.
    call = f"{{{{ cdi.traits_as_of('tried_traits', ['{as_of}', '{as_of + timedelta(days=1)}']) }}}}"
    compiled = run_dbt(project, ["compile", "--inline", call], {"as_of": "2027-01-01"}, manifest).nodes[-1].compiled
    with connect(project) as warehouse:
        then = f"(select {names} from ({compiled}) as t where as_of = timestamp '{as_of}') as then_"
        assert rows_of(warehouse, then, names) == step_by_step


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"type": "count", "event": "Order Complete"}, "'Order Complete' is no event"),
    ({"type": "count", "event": "Order Complete"}, "or order_completed or"),
    ({"type": "count", "event": [ORDER]}, 'event ["Order Completed"] is no name'),
    ({"type": "sum", "event": ORDER, "property": "revenu"}, "'revenu' is no property of order_completed"),
    ({"type": "sum", "event": ORDER, "property": "revenu", "currency": "EUR"}, "'revenu' is no property"),
    ({"type": "sum", "event": ORDER, "property": "coupon"}, "needs a property that is a number"),
    ({"type": "maximum", "event": ORDER, "property": "event_at", "currency": "EUR"}, "event_at is a timestamp"),
    ({"type": "last", "event": ORDER, "property": "coupon"}, "is a text, which its data_type integer cannot hold"),
    ({"type": "count", "event": ORDER, "within": "90 dayz"}, "is no span"),
    ({"type": "count", "event": ORDER, "within": "0 days"}, "is no span"),
    ({"type": "count", "event": ORDER, "between": ["3 days", "2 days"]}, "is no pair of spans"),
    ({"type": "count", "event": ORDER, "where": {"coupon": {"is": "x"}}}, "'is' is no condition"),
    ({"type": "count", "event": ORDER, "where": {"coupon": {"less_than": 3}}}, "needs a number"),
    ({"type": "count", "event": ORDER, "where": {"revenue": "much"}}, "is no number"),
    ({"type": "count", "event": ORDER, "where": {"event_at": {"before": "2026-02-29"}}}, "is no timestamp such as"),
    ({"type": "count", "event": ORDER, "where": {7: "x"}}, "'7' is no property here"),
    ({"type": "counter", "event": ORDER}, "is not one of count"),
    ({"type": "most_frequent", "event": ORDER, "property": "coupon", "minimum_sightings": 0}, "is at least 1"),
    ({"type": "most_frequent", "event": ORDER, "property": "coupon", "minimum_sightings": True}, "no whole number"),
    ({"type": "count", "event": ORDER, "propertie": "x"}, "'propertie' is nothing that a count has"),
    ({"type": "ratio", "of": ["wrong", "other"]}, "'other' is no trait of this model that stands before it"),
    ({"type": "ratio", "of": ["a_coupon", "a_coupon"]}, "a_coupon is no number"),
    ({"type": "days_since", "of": "a_coupon"}, "a_coupon is no timestamp"),
    ({"type": "days_since", "of": 5}, "'5' is no trait of this model"),
    ({"type": "count", "event": ADDED}, "add 'product_added' to the reads"),
]
COUPON = ("string", {"type": "last", "event": ORDER, "property": "coupon"})
# The SQL of models that join others, and what is wrong with it. `twin` has a column of order_traits too.
WRONG_JOINS: dict[str, tuple[str, str]] = {
    "of_twins": (
        "select {{ cdi.joined_traits(['order_traits', 'twin']) }}",
        "traits/twin.yml:7, twin, column count_orders: order_traits has a column of that name too",
    ),
    "of_its_own": (
        "select {{ cdi.joined_traits(['twin'], own=['count_orders']) }}",
        "traits/twin.yml:7, twin, column count_orders: of_its_own has a column of that name too",
    ),
    "of_profiles": (
        "-- {{ ref('profile_traits') }} {{ ref('twin') }}\nselect {{ cdi.kept_traits() }}",
        "twin, column count_orders: profile_traits has a column of that name too",
    ),
    "of_bare": ("select {{ cdi.joined_traits(['bare']) }}", "bare.sql: the YAML beside it has to list its columns"),
    "of_defaults": (
        "select {{ cdi.joined_traits(['defaults']) }}",
        "traits/defaults.yml:7, defaults, column defaulting, default: nothing is no number",
    ),
    "misspelt": (
        "{{ cdi.computed_traits(reads=['order_completed']) }}",
        "traits/misspelt.yml:7, misspelt, column orders: it has no meta.trait",
    ),
    "of_accounts": (
        "{{ cdi.computed_traits(reads=['order_items'], per='account_id') }}",
        "of_accounts, column items: order_items has no group_id",
    ),
    "at_no_time": ("{{ cdi.traits_as_of('order_traits', ['2026-11-01T00:00:00+02:00']) }}", "is no timestamp such as"),
    "at_a_text": ("{{ cdi.traits_as_of('order_traits', '2026-11-01') }}", "2026-11-01 is no list of moments"),
}  # fmt: skip
COLUMNS = {
    "twin": "{name: count_orders, data_type: integer}",
    "defaults": "{name: defaulting, data_type: integer, config: {meta: {default: nothing}}}",
    "misspelt": "{name: orders, data_type: integer, config: {meta: {traits: {type: count, event: Order Completed}}}}",
    "of_accounts": "{name: items, data_type: integer, config: {meta: {trait: {type: count, event: order_items}}}}",
}


def test_wrong_definitions_name_file_and_column(tmp_path: Path):
    root = copy_project(ROOT, tmp_path / "project")
    folder = root / "models/profiles/traits"
    for number, (trait, _) in enumerate(WRONG):
        write_model(root, f"wrong_{number}", {"a_coupon": COUPON, "wrong": ("integer", trait)}, ["order_completed"])
    for name, (sql, _) in WRONG_JOINS.items():
        (folder / f"{name}.sql").write_text(f"{sql}\n")
    for name in ("twin", "bare", "defaults"):
        (folder / f"{name}.sql").write_text("select profile_id from {{ ref('identity_graph') }}\n")
    for name, column in COLUMNS.items():
        key = "account_id" if name == "of_accounts" else "profile_id"
        (folder / f"{name}.yml").write_text(
            f"version: 2\n\nmodels:\n  - name: {name}\n    columns:\n      - {{name: {key}, data_type: string}}\n"
            f"      - {column}\n"
        )
    with new_project("duckdb", root, tmp_path) as project:
        manifest = load_manifest(project)
        for number, (_, complaint) in enumerate(WRONG):
            with pytest.raises(CdiError) as raised:
                run_dbt(project, ["compile", "--select", f"wrong_{number}"], None, manifest)
            assert complaint in raised.value.message
            place = f"models/profiles/traits/wrong_{number}.yml:18, wrong_{number}, column wrong"
            assert place in raised.value.message
        for name, (_, complaint) in WRONG_JOINS.items():
            with pytest.raises(CdiError) as raised:
                run_dbt(project, ["compile", "--select", name], None, manifest)
            assert complaint in raised.value.message
        twin = folder / "twin.yml"
        twin.write_text(f"{twin.read_text()}      - {COLUMNS['twin']}\n")
        with pytest.raises(CdiError, match="twin, column count_orders: the name is there twice"):
            load_manifest(project)


def test_profiles_may_have_columns_of_their_own(tmp_path: Path):
    root = copy_project(ROOT, tmp_path / "project")
    model, columns = root / "models/profiles/profiles.sql", root / "models/profiles/profiles.yml"
    model.write_text(model.read_text().replace("\nfrom ", ",\n    upper(profile_traits.city) as city_upper\nfrom "))
    content = yaml.safe_load(columns.read_text())
    content["models"][0]["columns"].append({"name": "city_upper", "data_type": "string", "description": "City."})
    columns.write_text(yaml.safe_dump(content, sort_keys=False))
    with new_project("duckdb", root, tmp_path) as project:
        run_dbt(project, ["compile", "--select", "profiles"], None, load_manifest(project))
        [compiled] = (path.read_text() for path in tmp_path.rglob("compiled/cdi/models/profiles/profiles.sql"))
    assert compiled.count("city_upper") == 1
    assert "profile_traits.city,\n" in compiled
    assert compiled.count("profile_scores.rfm_segment") == 1
