"""Who is asked to give back when somebody waits: few, unused, not again and again, and only where it would help."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlabhub.core.nudges import AGAIN_S, MOST, ONCE_S, Asked, plan_askings
from mlabhub.core.quotas import Quotas
from mlabhub.core.sharing.model import Ask, Claim, Machine, Notice, Round, Run, Scene, Waiter
from mlabhub.core.units import to_micro

NOW = 1_000_000.0
IDLE_S = 1800.0
NOBODY = Asked({}, {})


def machine(name: str = "n1", gpus: int = 4, free: int = 0, gpu_type: str = "a100", **more: Any) -> Machine:
    return Machine(
        **{
            "name": name,
            "gpus": {gpu_type: gpus},
            "cpu": to_micro(64),
            "memory": to_micro(512),
            "free_gpus": {gpu_type: free},
            "free_cpu": to_micro(16),
            "free_memory": to_micro(128),
            "most_cpu": to_micro(64),
            **more,
        }
    )


def run(name: str, gpus: int = 1, idle: float | None = 7200.0, machine: str = "n1", **more: Any) -> Run:
    """Return a server of a person of that name, unused for so many seconds."""
    ask = Ask(gpus, more.pop("gpu_type", "a100") if gpus else None, to_micro(1), to_micro(8))
    since = None if idle is None else NOW - idle
    values = {"user": name, "group": "vision", "machine": machine, "started": NOW - 90_000, "notice_s": 600.0, **more}
    return Run(id=f"run-{name}", ask=ask, idle_since=since, **values)


def waiter(name: str = "w", gpus: int = 1, gpu_type: str | None = "a100", since: float = 600.0, **more: Any) -> Waiter:
    ask = Ask(gpus, gpu_type, more.pop("cpu", to_micro(1)), to_micro(8))
    return Waiter(id=name, user=more.pop("user", f"user-{name}"), group="nlp", ask=ask, since=NOW - since, **more)


def ask_for(
    waiters: list[Waiter],
    runs: list[Run],
    machines: list[Machine] | None = None,
    blocked: str = "room",
    asked: Asked = NOBODY,
    quotas: Quotas | None = None,
    **more: Any,
) -> list[tuple[str, str]]:
    scene = Scene(machines or [machine()], runs, waiters, quotas or Quotas(), NOW)
    ids = tuple(one.id for one in waiters)
    last = Round(order=ids, blocked=dict.fromkeys(ids, blocked), **more)
    return [(one.user, one.waiter) for one in plan_askings(scene, last, asked, IDLE_S)]


def test_one_who_does_not_use_theirs_is_asked() -> None:
    assert ask_for([waiter()], [run("alice"), run("bob", idle=60)]) == [("alice", "w")]


@pytest.mark.parametrize(
    ("one", "why"),
    [
        pytest.param(run("alice", idle=None), "nobody can tell", id="unknown"),
        pytest.param(run("alice", idle=IDLE_S - 1), "used lately", id="used"),
        pytest.param(run("alice", idle=-3600), "used in the future", id="future"),
        pytest.param(run("alice", notice=Notice(NOW, NOW + 600, "x")), "has a notice", id="notice"),
        pytest.param(run("alice", ending=True), "ends already", id="ending"),
        pytest.param(run("alice", user="user-w"), "waits themself", id="own"),
        pytest.param(run("alice", gpu_type="t4"), "holds another type", id="type"),
        pytest.param(run("alice", gpus=0), "holds no GPU", id="no GPU"),
        pytest.param(run("alice", machine="gone"), "on no node that is known", id="node"),
    ],
)
def test_who_is_not_asked(one: Run, why: str) -> None:
    assert ask_for([waiter()], [one]) == [], why


@pytest.mark.parametrize("blocked", ["cap", "backoff", "maintenance", "other"])
def test_nobody_is_asked_where_that_does_not_help(blocked: str) -> None:
    assert ask_for([waiter()], [run("alice")], blocked=blocked) == []


def test_nobody_is_asked_for_one_that_has_just_come_or_is_not_known() -> None:
    assert ask_for([waiter(since=10)], [run("alice")]) == []
    scene = Scene([machine()], [run("alice")], [], Quotas(), NOW)
    assert plan_askings(scene, Round(order=("gone",), blocked={"gone": "room"}), NOBODY, IDLE_S) == ()


def test_nobody_is_asked_where_all_together_would_not_do() -> None:
    assert ask_for([waiter(gpus=4)], [run("alice"), run("bob")]) == []
    assert ask_for([waiter(gpus=2)], [run("alice"), run("bob", machine="n2")], [machine(), machine("n2")]) == []


def test_what_is_free_counts() -> None:
    assert ask_for([waiter(gpus=4)], [run("alice"), run("bob")], [machine(free=2)]) == [("alice", "w"), ("bob", "w")]


def test_nobody_is_asked_where_there_is_room() -> None:
    assert ask_for([waiter()], [run("alice")], [machine(free=1)]) == []


def test_what_is_kept_for_others_is_not_free_and_what_is_kept_for_oneself_is() -> None:
    runs, machines = [run("alice")], [machine(free=1)]
    other = Claim("somebody", "n1", "a100", 1, 0, 0)
    assert ask_for([waiter(gpus=2)], runs, machines, claims=(other,)) == []
    assert ask_for([waiter(gpus=2)], runs, machines, claims=(replace(other, waiter="w"),)) == [("alice", "w")]


def test_cpu_counts_as_well() -> None:
    full = machine(free=1, free_cpu=0)
    assert ask_for([waiter()], [run("alice", gpus=0)], [full]) == [("alice", "w")]
    assert ask_for([waiter(gpus=0, gpu_type=None)], [run("alice", gpus=0)], [full]) == [("alice", "w")]
    assert ask_for([waiter(cpu=to_micro(99))], [run("alice")]) == []


def test_any_type_will_do_for_who_asks_for_none() -> None:
    machines = [machine(), machine("n2", gpu_type="t4")]
    assert ask_for([waiter(gpu_type=None)], [run("alice", machine="n2", gpu_type="t4")], machines) == [("alice", "w")]


def test_few_are_asked_and_those_unused_longest() -> None:
    machines = [machine("n1"), machine("n2")]
    runs = [
        run("a", idle=9000),
        run("b", idle=8000),
        run("c", gpus=2, idle=4000, machine="n2"),
        run("d", idle=3000, machine="n2"),
    ]
    assert ask_for([waiter(gpus=2)], runs, machines) == [("c", "w")]
    assert ask_for([waiter()], runs, machines) == [("a", "w")]


def test_nobody_who_could_be_left_out_is_asked() -> None:
    runs = [run("a", gpus=1, idle=9000), run("b", gpus=2, idle=3000)]
    assert ask_for([waiter(gpus=2)], runs) == [("b", "w")]


def test_never_more_than_once_an_hour() -> None:
    one = [run("alice")]
    for at, again in ((NOW, False), (NOW - ONCE_S + 1, False), (NOW + 60, False), (NOW - ONCE_S, True)):
        assert bool(ask_for([waiter()], one, asked=Asked({"alice": at}, {}))) == again


def test_for_one_request_others_are_asked_only_after_a_while() -> None:
    for at, again in ((NOW, False), (NOW - AGAIN_S + 1, False), (NOW - AGAIN_S, True)):
        assert bool(ask_for([waiter()], [run("alice")], asked=Asked({}, {"w": at}))) == again


def test_a_person_is_asked_for_one_request_at_a_time() -> None:
    runs = [run("a"), replace(run("a"), id="run-a2")]
    assert ask_for([waiter(), waiter("v")], runs) == [("a", "w")]
    assert ask_for([waiter(gpus=2), waiter("v")], runs) == [("a", "w"), ("a", "w")]


def test_each_request_asks_others() -> None:
    assert ask_for([waiter(), waiter("v")], [run("a", idle=9000), run("b")]) == [("a", "w"), ("b", "v")]


def test_few_people_are_asked_at_one_time() -> None:
    runs = [run(f"p{number}") for number in range(20)]
    waiters = [waiter(f"w{number}") for number in range(20)]
    assert len(ask_for(waiters, runs, [machine(gpus=20)])) == MOST


def test_at_a_limit_the_own_group_is_asked() -> None:
    quotas = Quotas.model_validate({"groups": {"nlp": {"limit": {"gpu": 2}}}})
    runs = [run("alice", group="nlp"), run("bob", group="nlp", idle=60), run("carol", idle=90_000)]
    asked = ask_for([waiter()], runs, [machine(free=4)], blocked="limit", quotas=quotas)
    assert asked == [("alice", "w")]
    assert ask_for([waiter(gpus=2)], runs, blocked="limit", quotas=quotas) == []
    assert ask_for([waiter()], runs, blocked="limit") == []


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 4), st.one_of(st.none(), st.floats(0, 9000))), max_size=12
    ),
    st.lists(st.tuples(st.sampled_from("abwx"), st.integers(0, 8)), max_size=6),
    st.integers(0, 4),
    st.dictionaries(st.sampled_from("abcdefgh"), st.floats(0, 7200)),
)
def test_it_always_holds(
    holders: list[tuple[str, int, float | None]],
    requests: list[tuple[str, int]],
    free: int,
    before: dict[str, float],
) -> None:
    runs = [replace(run(user, gpus, idle), id=f"r{number}") for number, (user, gpus, idle) in enumerate(holders)]
    waiters = [waiter(f"w{number}", gpus, user=user) for number, (user, gpus) in enumerate(requests)]
    ids = tuple(one.id for one in waiters)
    scene = Scene([machine(gpus=8, free=free)], runs, waiters, Quotas(), NOW)
    asked = Asked({user: NOW - ago for user, ago in before.items()}, {})
    found = plan_askings(scene, Round(order=ids, blocked=dict.fromkeys(ids, "room")), asked, IDLE_S)
    by_id, by_waiter = {one.id: one for one in runs}, {one.id: one for one in waiters}
    assert len({one.run for one in found}) == len(found)
    assert len({one.user for one in found}) == len({(one.user, one.waiter) for one in found}) <= MOST
    for one in found:
        held = by_id[one.run]
        assert held.idle_since is not None
        assert NOW - held.idle_since >= IDLE_S
        assert held.user != by_waiter[one.waiter].user
        assert not 0 <= before.get(held.user, 9e9) < ONCE_S
    for waiter_id in {one.waiter for one in found}:
        freed = sum(by_id[one.run].ask.gpus for one in found if one.waiter == waiter_id)
        assert free + freed >= by_waiter[waiter_id].ask.gpus
