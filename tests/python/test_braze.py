"""Braze holds what the model holds, whatever it says on the way."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import activation_table, ask_to_forget, simulated

from cdi.errors import UsageError
from cdi.simulator.braze import Braze
from cdi.sync import Asked
from cdi.sync.declared import DeclaredSync, Field
from cdi.sync.deliver import run_sync
from cdi.sync.state import Scope, create_state_tables

FIELDS = (Field("external_id", "profile_id"), Field("email", "email"), Field("tier", "tier"))


@pytest.fixture
def braze(monkeypatch):
    tool = Braze()
    with simulated(monkeypatch, tool):
        yield tool


@pytest.fixture
def warehouse_kind() -> str:
    """What differs between warehouses is tested in test_sync."""
    return "duckdb"


@pytest.fixture
def people(project):
    with activation_table(
        project, "profile_id text, email text, tier text, at_ timestamp", in_memory=True
    ) as warehouse:
        yield warehouse


def declare(object_name: str = "user", mode: str = "", fields=FIELDS, key: str = "profile_id", **options):
    return DeclaredSync("people_sync", "activation", "people", "people.yml", "braze", key, options, object_name, mode,
                        fields)  # fmt: skip


def fill(warehouse, rows: dict[str, tuple[str | None, str | None]]) -> None:
    warehouse.execute("delete from activation.people")
    table = pa.table(
        {
            "profile_id": pa.array(list(rows), pa.string()),
            "email": pa.array([row[0] for row in rows.values()], pa.string()),
            "tier": pa.array([row[1] for row in rows.values()], pa.string()),
        }
    )
    warehouse.append("activation.people", table.to_reader())


def many(count: int) -> dict[str, tuple[str, str]]:
    return {f"p{number:03d}": (f"{number}@example.com", "gold") for number in range(count)}


def test_users_have_the_models_attributes_and_null_takes_one_away(project, people, braze):
    fill(people, many(200))
    assert run_sync(project, people, declare()).delivered == 200
    assert braze.users["p199"] == {"email": "199@example.com", "tier": "gold"}
    points = braze.data_points
    fill(people, many(200) | {"p007": ("7@example.com", None)})
    assert run_sync(project, people, declare()).changed == 1
    assert braze.users["p007"] == {"email": "7@example.com"}
    # Every attribute written costs: what did not change is left alone.
    assert braze.data_points - points == 1


def test_only_attributes_that_changed_are_written_and_paid_for(project, people, braze):
    rows = many(20)
    fill(people, rows)
    run_sync(project, people, declare())
    assert braze.data_points == 40
    rows |= {"p000": ("0@example.com", "silver"), "p001": (None, "gold"), "p002": ("new@example.com", None)}
    fill(people, rows)
    run_sync(project, people, declare())
    assert braze.data_points == 44
    assert (braze.users["p001"], braze.users["p002"]) == ({"tier": "gold"}, {"email": "new@example.com"})
    # Another field is told of all who have it, and nothing else of them.
    more = (*FIELDS, Field("level", "tier"))
    run_sync(project, people, declare(fields=more))
    assert braze.data_points == 44 + 19
    run_sync(project, people, declare(fields=more), asked=Asked(scope=Scope(full=True)))
    assert braze.data_points == 44 + 19 + 60


row = st.tuples(st.sampled_from([None, "a@example.com", "b@example.com"]), st.sampled_from([None, "gold", "silver"]))
steps = st.lists(
    st.tuples(
        st.fixed_dictionaries({f"p{number}": row for number in range(4)}),
        st.lists(st.sampled_from([None, 500, 400, "drop"]), max_size=4),
    ),
    min_size=1,
    max_size=4,
)


@given(steps=steps)
@settings(max_examples=30)
def test_whatever_got_lost_on_the_way_braze_has_all_attributes_in_the_end(project, people, braze, steps):
    people.execute("drop schema cdi cascade")
    create_state_tables(people)
    braze.users.clear()
    for rows, faults in steps:
        fill(people, rows)
        braze.faults.answers = list(faults)
        run_sync(project, people, declare())
    braze.faults.answers = []
    run_sync(project, people, declare())
    wanted = {key: {"email": email, "tier": tier} for key, (email, tier) in rows.items()}
    assert {key: {"email": None, "tier": None} | user for key, user in braze.users.items()} == wanted


def test_a_wrong_row_is_named_and_the_others_are_taken(project, people, braze):
    fill(people, many(100) | {"p080": ("nobody", "gold")})
    result = run_sync(project, people, declare())
    assert (result.delivered, result.failed) == (99, 1)
    assert "p080" not in braze.users
    assert people.query("select key, reason from cdi.sync_rejected") == [("p080", "'***' is not a valid email")]
    fill(people, many(100))
    assert run_sync(project, people, declare()).delivered == 1


def test_an_answer_2xx_that_takes_nothing_is_no_success(project, people, braze):
    fill(people, many(80))
    # More than the contract allows: Braze answers 201, and the batch is halved.
    assert run_sync(project, people, declare(batch_size=80)).delivered == 80
    assert len(braze.users) == 80


def test_an_audience_is_an_attribute(project, people, braze):
    audience = declare(mode="audience", fields=FIELDS[:1], audience="in_vip")
    fill(people, many(3))
    run_sync(project, people, audience)
    fill(people, many(2))
    assert run_sync(project, people, audience).removed == 1
    assert {name: user["in_vip"] for name, user in braze.users.items()} == {"p000": True, "p001": True, "p002": False}


def test_update_creates_nobody(project, people, braze):
    braze.users["p001"] = {}
    fill(people, many(3))
    run_sync(project, people, declare(mode="update"))
    assert set(braze.users) == {"p001"}


def test_events_that_may_have_arrived_go_again_and_are_counted(project, people, braze):
    fields = (Field("id", "profile_id"), Field("external_id", "email"), Field("name", "tier"), Field("time", "at_"))
    events = declare("event", fields=fields)
    fill(people, many(10))
    people.execute("update activation.people set at_ = timestamp '2026-11-01 10:00:00'")
    braze.faults.answers = ["drop"]
    result = run_sync(project, people, events)
    assert (result.delivered, result.resent) == (10, 10)
    assert len(braze.events) == 20
    assert braze.events[0] == {"external_id": "0@example.com", "name": "gold", "time": "2026-11-01T10:00:00Z"}
    assert people.query("select resent from cdi.sync_runs") == [(10,)]
    assert run_sync(project, people, events).delivered == 0


def test_people_to_forget_are_deleted(project, people, braze):
    fill(people, many(120))
    run_sync(project, people, declare())
    ask_to_forget(people, *(f"p{number:03d}" for number in range(110)))
    fill(people, {f"p{number:03d}": (f"{number}@example.com", "gold") for number in range(110, 120)})
    run_sync(project, people, declare())
    assert set(braze.users) == {f"p{number:03d}" for number in range(110, 120)}


def test_a_wrong_key_ends_the_sync_at_once_and_is_in_no_message(project, people, braze, monkeypatch):
    monkeypatch.setenv("CDI_BRAZE_API_KEY", "wrong-key-of-somebody")
    fill(people, many(200))
    result = run_sync(project, people, declare())
    assert (result.delivered, braze.counts["requests"] <= 4) == (0, True)
    assert result.problem.startswith("HTTP 401")
    assert "wrong-key-of-somebody" not in repr(people.query("select * from cdi.sync_rejected")) + repr(result)
    monkeypatch.delenv("CDI_BRAZE_API_KEY")
    with pytest.raises(UsageError, match="key_env: the environment variable CDI_BRAZE_API_KEY is not set"):
        run_sync(project, people, declare())


def test_it_waits_until_brazes_limit_is_over(project, people, braze, monkeypatch):
    monkeypatch.setattr(Braze, "rates", {"track": (1, 0.3)})
    braze.keeps_limits = True
    fill(people, many(150))
    assert run_sync(project, people, declare()).delivered == 150
    # Without a look at the header it would have asked again at once, and again.
    assert braze.counts["too_many_requests"] == 1


@pytest.mark.parametrize(
    ("declared", "problem"),
    [
        (declare(fields=(Field("id", "profile_id"),)), "the key is sent as 'id'"),
        (declare(mode="audience"), "mode audience and the option audience"),
        (declare("event", fields=FIELDS), "fields must have 'name'"),
    ],
)
def test_what_braze_cannot_do_is_said_first(project, people, braze, declared, problem):
    with pytest.raises(UsageError, match="people_sync") as error:
        run_sync(project, people, declared)
    assert problem in str(error.value)
