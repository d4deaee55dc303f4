"""Accounts hold many people and people many accounts; group calls merge nobody; past events follow the person."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from support import POSTGRES_LATER, START, UNTESTED, land_messages, message, rows_of

from cdi.dbt import run_dbt
from cdi.landing import land
from cdi.warehouse import connect

BUILD = ["build", "--select", "+accounts", "+profile_events", "--indirect-selection", "cautious"]


def _at(days: int) -> datetime:
    return START - timedelta(days=days)


@pytest.mark.parametrize("warehouse_kind", POSTGRES_LATER)
def test_accounts_people_and_what_they_did_before_they_were_known(project, tmp_path):
    company = {"name": "Alpen GmbH", "email": "info@alpen.example", "phone": "+43 1 5550000", "employees": 30}
    first = [
        message("group", _at(9), anonymousId="laptop", groupId="alpen", traits=company),
        message("group", _at(8), anonymousId="phone", groupId="alpen", traits={**company, "name": "Alpen AG"}),
        message("group", _at(8), userId="bo", groupId="nord", traits={"name": "Nord", "plan": "paid"}),
        message("track", _at(7), event="Pricing Viewed", anonymousId="laptop"),
        message("group", _at(7), userId="cy", groupId="null", traits={"name": "Nobody's"}),
    ]
    # The plan was free before it was paid, and arrives later; ann logs in on the laptop and works for both.
    second = [
        message("group", _at(10), userId="bo", groupId="nord", traits={"plan": "free", "employees": "many"}),
        message("identify", _at(6), userId="ann", anonymousId="laptop", traits={"email": "ann@example.com"}),
        message("page", _at(5), userId="ann", context={"groupId": "nord"}),
        message("page", _at(2), userId="ann", context={"groupId": "nord"}),
        # One order for the account that it names, one for both that she is of.
        message("track", _at(3), event="Order Completed", properties={"order_id": "o1", "revenue": 10}, userId="ann",
                context={"groupId": "nord"}),
        message("track", _at(3), event="Order Completed", properties={"order_id": "o2", "revenue": 5}, userId="ann"),
    ]  # fmt: skip
    crm = tmp_path / "account.csv"
    crm.write_text("Id,Name,Industry,NumberOfEmployees,SystemModstamp\n001x,Werke,Steel,1200,2026-10-01T00:00:00Z\n")
    assert run_dbt(project, ["run", "--select", "stg_segment__messages"]).success
    with connect(project) as warehouse:
        land_messages(warehouse, first, load=1)
    assert run_dbt(project, [*BUILD, *UNTESTED]).success
    with connect(project) as warehouse:
        before = rows_of(warehouse, "events.events", "event_id, identifiers, loaded_at")
        land_messages(warehouse, second, load=2)
    land(project, "salesforce.account", [crm])
    assert run_dbt(project, BUILD).success

    with connect(project) as warehouse:
        people = dict(warehouse.query("select identifier, profile_id from identity.identity_graph"))
        assert set(people) == {
            "anonymous_id:laptop", "anonymous_id:phone", "user_id:ann", "user_id:bo", "user_id:cy",
            "email:ann@example.com",
        }  # fmt: skip
        ann, phone, bo, cy = (
            people[name] for name in ("user_id:ann", "anonymous_id:phone", "user_id:bo", "user_id:cy")
        )
        assert len({ann, phone, bo, cy}) == 4
        assert people["anonymous_id:laptop"] == people["email:ann@example.com"] == ann

        memberships = "select account_id, profile_id, first_seen_at, last_seen_at, count_events"
        assert set(warehouse.query(f"{memberships} from profiles.account_memberships")) == {
            ("alpen", ann, _at(9), _at(9), 1),
            ("alpen", phone, _at(8), _at(8), 1),
            ("nord", bo, _at(10), _at(8), 2),
            ("nord", ann, _at(5), _at(2), 3),
        }
        accounts = "select account_id, name, industry, cast(employees as integer), plan, count_members, first_seen_at"
        assert set(warehouse.query(f"{accounts} from profiles.accounts")) == {
            ("alpen", "Alpen AG", None, 30, None, 2, _at(9)),
            ("nord", "Nord", None, None, "paid", 2, _at(10)),
            ("001x", "Werke", "Steel", 1200, None, 0, datetime(2026, 10, 1)),
        }
        orders = "select account_id, count_orders, cast(revenue as integer) from profiles.accounts"
        assert set(warehouse.query(orders)) == {("alpen", 1, 5), ("nord", 2, 15), ("001x", 0, 0)}

        traits_then = f"{{{{ cdi.traits_as_of('account_traits', ['{_at(4)}', '{_at(1)}']) }}}}"
        then = run_dbt(project, ["compile", "--inline", traits_then]).nodes[-1].compiled
        counts = "as_of, account_id, count_orders, cast(revenue as integer)"
        assert rows_of(warehouse, f"({then}) as then_", counts) == [
            (_at(1), "alpen", 1, 5), (_at(1), "nord", 2, 15),
        ]  # fmt: skip

        events = dict(warehouse.query("select event_id, profile_id from profiles.profile_events"))
        assert events[first[3]["messageId"]] == ann
        assert events.pop("salesforce:account:001x:20261001000000000000") is None
        assert len(events) == len(first) + len(second)
        assert None not in events.values()
        assert set(before) <= set(rows_of(warehouse, "events.events", "event_id, identifiers, loaded_at"))
