"""Each rule of who gets the GPUs, by an example."""

from dataclasses import replace

import pytest

from mlabhub.core.quotas import Quotas
from mlabhub.core.sharing.model import Ask, Notice, Run, Scene, Waiter
from mlabhub.core.sharing.past import Past
from mlabhub.core.sharing.policy import Policy
from mlabhub.core.sharing.rounds import plan_round
from mlabhub.core.units import to_micro
from tests.core.sharing.loop import make_machine

HOUR = 3600.0
NOW = 1000 * HOUR
OWNS = {"vision": {"gpu": 4.0}, "nlp": {"gpu": 4.0}}


def quotas(guaranteed=OWNS, limit=None, users=None, **more):
    groups = {name: {"guaranteed": amounts} for name, amounts in guaranteed.items()}
    for name, amounts in (limit or {}).items():
        groups.setdefault(name, {})["limit"] = amounts
    return Quotas.model_validate({"groups": groups, "users": users or {}, **more})


def make_ask(gpus=1, gpu_type=None, cpu=1, memory=1):
    return Ask(gpus, gpu_type, to_micro(cpu), to_micro(memory))


def waits(name, group, gpus=1, gpu_type=None, since=NOW, user=None, cpu=1, **more):
    return Waiter(name, user or f"{name}-user", group, make_ask(gpus, gpu_type, cpu), since, **more)


def runs(name, group, gpus=1, gpu_type="a100", machine="n1", started=NOW - HOUR, user=None, cpu=1, **more):
    ask = make_ask(gpus, gpu_type if gpus else None, cpu)
    return Run(name, user or f"{name}-user", group, ask, machine, started, 600.0, **more)


def make_scene(waiters, running=(), owns=None, machines=None, now=NOW):
    machines = {one.name: one for one in machines or [make_machine("n1", "a100", 8, 64, 512)]}
    for run in running:
        one = machines[run.machine]
        gpus = {kind: free - (run.ask.gpus if kind == run.ask.gpu_type else 0) for kind, free in one.free_gpus.items()}
        cpu, memory = one.free_cpu - run.ask.cpu, one.free_memory - run.ask.memory
        machines[run.machine] = replace(one, free_gpus=gpus, free_cpu=cpu, free_memory=memory)
    return Scene(list(machines.values()), list(running), list(waiters), owns or quotas(), now)


def plan(waiters, running=(), owns=None, machines=None, past=None, policy=None, now=NOW):
    scene = make_scene(waiters, running, owns, machines, now)
    return plan_round(scene, (past or Past()).after(scene), policy)


def started(made):
    return [start.waiter for start in made.starts]


def told(run, waiter, at=NOW - 600):
    return replace(run, notice=Notice(at, at + 600, waiter))


# Guarantees and borrowing


def test_below_its_guarantee_a_group_comes_before_any_borrower():
    running = [runs("r1", "nlp", 6)]
    made = plan([waits("late", "vision", 2), waits("early", "nlp", 2, since=NOW - HOUR)], running)
    assert started(made) == ["late"]
    assert not made.starts[0].borrowed


def test_beyond_it_a_group_borrows_what_is_idle_up_to_its_limit():
    owns = quotas(limit={"vision": {"gpu": 6.0}})
    sizes = enumerate((4, 2, 1))
    wanted = [waits(f"w{number}", "vision", gpus, since=NOW - (9 - number) * 86400) for number, gpus in sizes]
    made = plan(wanted, owns=owns)
    assert {start.waiter: start.borrowed for start in made.starts} == {"w0": False, "w1": True}
    assert made.blocked == {"w2": "limit"}


def test_who_belongs_to_no_group_borrows():
    made = plan([waits("w1", None, 8)])
    assert [(start.waiter, start.borrowed) for start in made.starts] == [("w1", True)]


def test_where_nobody_may_count_on_anything_nothing_is_taken_back():
    made = plan([waits("w1", None, 2)], [runs("r1", None, 6)], owns=Quotas())
    assert not made.starts[0].borrowed
    full = plan([waits("w1", "vision", 4)], [runs("r1", None, 8)], owns=Quotas())
    assert full.notices == ()


def test_a_guarantee_of_one_type_protects_that_type():
    machines = [make_machine("n1", "a100", 4, 64, 512), make_machine("n2", "t4", 4, 64, 512)]
    owns = quotas({"vision": {"gpu:a100": 4.0}, "nlp": {"gpu": 4.0}})
    running = [runs("a", "nlp", 4), runs("b", None, 4, "t4", "n2")]
    made = plan([waits("w1", "vision", 2, "a100"), waits("w2", "vision", 2, "t4")], running, owns, machines)
    assert made.notices == ()
    assert made.blocked == {"w1": "room", "w2": "room"}
    made = plan([waits("w1", "vision", 2, "a100")], [runs("a", None, 4), running[1]], owns, machines)
    assert [one.run for one in made.notices] == ["a"]


def test_what_is_owed_on_a_type_that_cannot_hold_it_is_borrowed_of_another():
    machines = [make_machine("n1", "a100", 4, 64, 512), make_machine("n2", "t4", 2, 64, 512)]
    owns = quotas({"vision": {"gpu": 6.0, "gpu:a100": 2.0}, "nlp": {"gpu": 2.0}})
    assert started(plan([waits("w1", "vision", 4)], owns=owns, machines=machines)) == ["w1"]
    running = [runs("r1", "nlp", 2, "t4", "n2")]
    made = plan([waits("w1", "vision", 3)], running, quotas({**OWNS, "vision": {"gpu:t4": 4.0}}), machines)
    assert started(made) == ["w1"]


# Taking back


def test_an_owner_who_comes_back_gets_notice_for_the_full_time():
    made = plan([waits("w1", "vision", 2)], [runs("old", "nlp", 4, started=NOW - 9 * HOUR), runs("new", None, 4)])
    assert [(one.run, one.deadline, one.waiter) for one in made.notices] == [("new", NOW + 600, "w1")]
    assert made.reclaims == ()
    assert made.claims[0].waiter == "w1"


def test_several_owners_are_planned_for_at_once():
    running = [runs(f"r{number}", None, 2) for number in range(4)]
    made = plan([waits("w1", "vision", 2), waits("w2", "vision", 2), waits("w3", "nlp", 2)], running)
    assert len({one.run for one in made.notices}) == 3
    assert {one.waiter for one in made.notices} == {"w1", "w2", "w3"}


def test_one_that_gives_back_more_than_one_owner_needs_serves_the_next_as_well():
    made = plan([waits("w1", "vision", 2), waits("w2", "vision", 2)], [runs("big", None, 8)])
    assert [one.run for one in made.notices] == ["big"]
    assert {one.waiter for one in made.claims} == {"w1", "w2"}


def test_after_its_notice_it_is_taken_back_and_the_owner_starts():
    owner = waits("w1", "vision", 4, since=NOW - 600)
    running = [told(runs("r1", None, 8), "w1")]
    scene = make_scene([owner], running)
    past = Past().after(scene)
    made = plan_round(scene, past, Policy(patience_s=0.0))
    assert made.reclaims == ("r1",)
    after = make_scene([owner, waits("r1", None, 8, reclaims=1, not_before=NOW + 900)])
    again = plan_round(after, past.after(after))
    assert started(again) == ["w1"]
    assert again.blocked == {"r1": "backoff"}


def test_never_sooner():
    made = plan([waits("w1", "vision", 4)], [told(runs("r1", None, 8), "w1", at=NOW - 599)])
    assert made.reclaims == made.withdrawn == ()


def test_an_owner_waits_for_an_end_that_is_likely_rather_than_have_much_lost():
    machines = [make_machine(f"n{number}", "a100", 8, 64, 512) for number in range(1, 5)]
    running = [told(runs("r0", None, 1, started=NOW - 90 * HOUR), "w1")]
    running += [
        runs(f"r{number}", "nlp" if number < 4 else None, 1, machine=f"n{number // 8 + 1}", started=NOW - HOUR)
        for number in range(1, 32)
    ]
    running = [replace(run, reclaimable=run.id == "r0") for run in running]
    owner = waits("w1", "vision", 1, since=NOW - 600)
    assert plan([owner], running, machines=machines).reclaims == ()
    assert plan([owner], running, machines=machines, now=NOW + 2 * 86400).reclaims == ()
    assert plan([owner], running, machines=machines, now=NOW + 3 * 86400).reclaims == ("r0",)
    for hours in (0, 48):
        site = quotas(owner_wait_hours=hours)
        assert plan([owner], running, site, machines, now=NOW + hours * HOUR).reclaims == ("r0",)


@pytest.mark.parametrize("ran", [30.0, 3600.0, 20 * 3600.0])
def test_an_owner_waits_at_most_thrice_as_long_as_what_is_lost_had_run(ran):
    """Also where nothing ever ended yet, so that nothing is known about how long things run."""
    running = [told(runs("r1", None, 4, started=NOW - ran), "w1"), runs("r2", "nlp", 4, started=NOW - ran)]
    owner = waits("w1", "vision", 4, since=NOW - 600)
    assert plan([owner], running, now=NOW + 3 * ran).reclaims == ("r1",)
    assert plan([owner], running, now=NOW + 3 * ran - 1).reclaims == ()


def test_who_would_lose_far_less_by_now_is_told_instead():
    machines = [make_machine(f"n{number}", "a100", 8, 64, 512) for number in (1, 2)]
    owner = waits("w1", "vision", 4, since=NOW - 3 * HOUR)
    old = told(runs("old", None, 8, started=NOW - 9 * HOUR), "w1", at=NOW - 2 * HOUR)
    young = runs("young", None, 8, machine="n2", started=NOW - 600)
    made = plan([owner], [old, young], machines=machines)
    assert (made.withdrawn, made.reclaims) == (("old",), ())
    assert [(one.run, one.deadline) for one in made.notices] == [("young", NOW + 600)]
    within_notice = replace(old, notice=Notice(NOW - 599, NOW + 1, "w1"))
    assert plan([owner], [within_notice, young], machines=machines).withdrawn == ()
    hardly_less = replace(young, started=NOW - 5 * HOUR)
    assert plan([owner], [old, hardly_less], machines=machines).withdrawn == ()


@pytest.mark.parametrize(
    "running",
    [
        [told(runs("r1", "nlp", 4), "w1")],
        [told(runs("r1", None, 4, reclaims=3), "w1")],
        [told(runs("r1", None, 4, reclaimable=False), "w1")],
        [told(runs("r1", None, 4), "gone")],
    ],
    ids=["within its guarantee by now", "too often already", "not to be taken back", "nobody waits for it any more"],
)
def test_a_notice_is_withdrawn_that_has_lost_its_reason(running):
    made = plan([waits("w1", "vision", 4)], [*running, runs("r2", None, 4, reclaimable=False)])
    assert made.withdrawn == ("r1",)
    assert made.reclaims == ()


def test_a_notice_is_withdrawn_when_something_ended_by_itself():
    made = plan([waits("w1", "vision", 2)], [told(runs("r1", None, 4), "w1")])
    assert started(made) == ["w1"]
    assert made.withdrawn == ("r1",)


def test_nothing_is_taken_back_if_the_owner_could_not_start():
    machines = [make_machine("n1", "a100", 4, 64, 512), make_machine("n2", "a100", 4, 64, 512)]
    running = [
        runs("r1", None, 2),
        runs("r2", None, 2, machine="n2"),
        runs("r3", "nlp", 2),
        runs("r4", "nlp", 2, machine="n2"),
    ]
    assert plan([waits("w1", "vision", 4)], running, machines=machines).notices == ()
    capped = quotas(users={"w1-user": {"gpu": 1.0}})
    assert plan([waits("w1", "vision", 2)], [runs("r1", None, 8)], capped).notices == ()


def test_two_owners_beyond_one_cap_cost_only_one_borrower():
    owns = quotas(users={"default": {"gpu": 2.0}})
    running = [runs(f"r{number}", None, 2) for number in range(4)]
    made = plan([waits("w1", "vision", 2, user="ann"), waits("w2", "vision", 2, user="ann")], running, owns)
    assert len(made.notices) == 1
    assert list(made.blocked.values()).count("cap") == 1


def test_who_would_lose_least_is_told():
    young = runs("young", None, 2, started=NOW - HOUR)
    idle = runs("idle", None, 2, started=NOW - 3 * HOUR, idle_since=NOW - 2 * HOUR)
    hit_before = runs("before", None, 2, started=NOW - HOUR / 2, reclaims=2)
    old = runs("old", None, 2, started=NOW - 30 * HOUR)
    owner = waits("w1", "vision", 2)
    assert plan([owner], [young, idle, hit_before, old]).notices[0].run == "idle"
    assert plan([owner], [young, replace(idle, idle_since=None), hit_before, old]).notices[0].run == "young"


def test_a_group_is_never_brought_below_its_guarantee_by_one_run_after_the_other():
    running = [runs(f"r{number}", "nlp", 2) for number in range(4)]
    made = plan([waits("w1", "vision", 2), waits("w2", "vision", 2)], running)
    assert len(made.notices) == 2
    only = quotas({"vision": {"gpu": 8.0}, "nlp": {"gpu": 6.0}})
    made = plan([waits("w1", "vision", 2), waits("w2", "vision", 2)], running, only)
    assert len(made.notices) == 1


def test_after_the_third_time_nobody_is_taken_back_again():
    assert plan([waits("w1", "vision", 2)], [runs("r1", None, 8, reclaims=3)]).notices == ()
    assert plan([waits("w1", "vision", 2)], [runs("r1", None, 8, reclaims=2)]).notices
    never = quotas(max_reclaims=0)
    assert plan([waits("w1", "vision", 2)], [runs("r1", None, 8)], never).notices == ()
    assert [Policy().back_off(times) for times in (1, 2, 3)] == [900.0, 1800.0, 3600.0]


def test_what_stops_already_is_waited_for():
    made = plan([waits("w1", "vision", 2)], [runs("r1", None, 4), runs("r2", None, 4, ending=True)])
    assert made.notices == ()
    assert made.blocked == {"w1": "room"}


def test_a_reserve_is_left_for_owners_who_ask_often():
    machines = [make_machine(f"n{number}", "a100", 8, 64, 512) for number in range(1, 11)]
    owns = quotas({"vision": {"gpu:a100": 40.0}})
    past = Past()
    for number in range(60):
        past = past.after(Scene([], [], [waits(f"p{number}", "vision", 2, "a100")], owns, NOW - 60 + number))
    policy = Policy(reserve_s=2 * HOUR)
    made = plan([waits("w1", None, 8, "a100")], [], owns, machines, past, policy)
    assert made.kept == {"a100": 4}
    assert started(made) == ["w1"]
    running = [runs(f"r{number}", None, 8, machine=f"n{number}", reclaims=3) for number in range(1, 10)]
    made = plan([waits("w1", None, 6), waits("w2", "vision", 6)], running, owns, machines, past, policy)
    assert started(made) == ["w2"]
    assert plan([waits("w1", None, 6)], running, owns, machines, past, policy).blocked == {"w1": "reserve"}


# Order


def test_one_persons_500_requests_do_not_hold_up_the_other_nine():
    many = [waits(f"m{number}", "vision", 1, user="ann", since=NOW - HOUR + number) for number in range(500)]
    others = [waits(f"o{number}", "vision", 1, user=f"other{number}") for number in range(9)]
    machines = [make_machine("n1", "a100", 10, 64, 512)]
    made = plan([*many, *others], owns=quotas({}), machines=machines)
    assert sorted(started(made)) == ["m0", *(f"o{number}" for number in range(9))]


def test_groups_take_turns_and_what_was_used_lately_counts():
    wanted = [waits(f"{group}{number}", group, 2) for group in ("bio", "geo") for number in range(4)]
    assert sorted(started(plan(wanted, owns=quotas({})))) == ["bio0", "bio1", "geo0", "geo1"]
    then = make_scene([], [runs("r1", "bio", 8)], now=NOW - 100 * HOUR)
    past = Past().after(then).after(make_scene([], now=NOW - HOUR))
    assert started(plan(wanted, owns=quotas({}), past=past)) == ["geo0", "geo1", "bio0", "geo2"]


def test_short_work_does_not_wait_for_long_work_but_for_a_day_at_most():
    large = waits("large", None, 8, user="ann")
    assert started(plan([large, waits("small", None, 1, since=NOW + 60)], now=NOW + 120)) == ["small"]
    aged = replace(large, since=NOW - 25 * HOUR)
    assert started(plan([aged, waits("small", None, 1, user="ann")])) == ["large"]


def test_while_others_give_back_for_a_group_it_borrows_nothing_that_it_would_have_to_stand_back_for():
    running = [told(replace(runs("r1", None, 4), ending=True), "w1"), runs("r2", "nlp", 2)]
    made = plan([waits("w1", "vision", 4), waits("w2", "vision", 2, since=NOW - 9 * HOUR)], running)
    assert started(made) == []
    assert made.blocked["w2"] == "reserve"


def test_of_ones_own_the_priority_decides_then_the_time():
    wanted = [
        waits("second", None, 4, user="ann", since=NOW - 60),
        waits("third", None, 4, user="ann", since=NOW),
        waits("first", None, 4, user="ann", since=NOW, priority=1),
    ]
    made = plan(wanted)
    assert started(made) == ["first", "second"]
    assert made.order == ("third",)


def test_small_ones_overtake_a_large_one_until_it_has_waited_too_long():
    small, running = waits("small", None, 2, cpu=60), [runs("r1", None, 4, started=NOW - 600)]
    policy = Policy(overtake_s=HOUR, idle_for_large=0.1)
    assert started(plan([waits("large", None, 8), small], running, policy=policy)) == ["small"]
    made = plan([waits("large", None, 8, since=NOW - 30 * HOUR), small], running, policy=policy)
    assert started(made) == []
    assert made.blocked == {"large": "room", "small": "claimed"}
    assert [(one.waiter, one.gpus) for one in made.claims] == [("large", 4)]


def test_without_gpus_nobody_waits_behind_gpus():
    made = plan([waits("gpu", None, 8), waits("cpu", None, 0)], [runs("r1", None, 8)])
    assert started(made) == ["cpu"]


def test_a_soft_cap_counts_while_somebody_else_waits_for_it():
    owns = quotas({}, users={"default": {"gpu": 2.0, "soft": True}})
    assert started(plan([waits("w1", None, 4)], owns=owns)) == ["w1"]
    owns = quotas({}, users={"default": {"gpu": 2.0, "soft": True}, "w2-user": {"gpu": 8.0}})
    made = plan([waits("w1", None, 4), waits("w2", None, 8)], [runs("r1", None, 4)], owns)
    assert made.blocked == {"w1": "cap", "w2": "room"}
    hard = quotas({}, users={"default": {"gpu": 2.0}})
    assert plan([waits("w1", None, 4)], owns=hard).blocked == {"w1": "cap"}


# Places


def test_capacity_is_by_node():
    machines = [make_machine("n1", "a100", 4, 64, 512), make_machine("n2", "a100", 4, 64, 512)]
    running = [runs("r1", None, 1), runs("r2", None, 1, machine="n2")]
    made = plan([waits("w1", None, 4)], running, quotas({}), machines)
    assert made.blocked == {"w1": "room"}


def test_large_holes_stay():
    machines = [make_machine(f"n{number}", "a100", 8, 64, 512) for number in (1, 2, 3)]
    running = [runs("r1", None, 5, machine="n2")]
    made = plan([waits("w1", None, 2), waits("w2", None, 1)], running, quotas({}), machines)
    assert [start.machine for start in made.starts] == ["n2", "n2"]


def test_what_takes_no_gpu_does_not_strand_gpus():
    machines = [make_machine("n1", "a100", 8, 16, 512), make_machine("n2", "", 0, 16, 512)]
    made = plan([waits("w1", None, 0, cpu=12)], [], quotas({}), machines)
    assert made.starts[0].machine == "n2"


def test_closed_machines_and_those_before_maintenance_get_nothing_new():
    machine = make_machine("n1", "a100", 8, 64, 512)
    closed, soon, later = (
        replace(machine, open=False),
        replace(machine, closes=NOW + 60),
        replace(machine, closes=NOW + 9 * HOUR),
    )
    assert plan([waits("w1", None, 1)], machines=[closed]).blocked == {"w1": "room"}
    assert plan([waits("w1", None, 1)], machines=[soon]).blocked == {"w1": "maintenance"}
    other = replace(machine, name="n2")
    assert plan([waits("w1", None, 1)], machines=[later, other]).starts[0].machine == "n2"
    assert started(plan([waits("w1", None, 1)], machines=[later])) == ["w1"]


def test_profiles_and_chosen_machines_are_kept_to():
    machines = [
        replace(make_machine("n1", "a100", 8, 64, 512), profiles=frozenset({"lab"})),
        replace(make_machine("n2", "a100", 8, 64, 512), exceptions=frozenset({"lab"})),
    ]
    for profile, place in (("lab", "n1"), ("other", "n2")):
        one = waits("w1", None, 1)
        made = plan([replace(one, ask=replace(one.ask, profile=profile))], machines=machines)
        assert made.starts[0].machine == place
    assert plan([waits("w1", None, 1, machines=frozenset({"n9"}))]).blocked == {"w1": "room"}


def test_no_server_gets_more_cpu_than_a_machine_has_however_often_they_are_promised():
    machine = replace(make_machine("n1", "a100", 8, 128, 512), most_cpu=to_micro(64))
    assert plan([waits("w1", None, 1, cpu=65)], machines=[machine]).blocked == {"w1": "room"}
    assert len(started(plan([waits("w1", None, 1, cpu=64), waits("w2", None, 1, cpu=64)], machines=[machine]))) == 2


def test_the_same_scene_makes_the_same_round():
    wanted = [waits(f"w{number}", group, 2) for number in range(9) for group in ("vision", "nlp")]
    wanted = [replace(one, id=f"{one.id}-{index}") for index, one in enumerate(wanted)]
    running = [runs("r1", None, 4)]
    assert plan(wanted, running) == plan(list(reversed(wanted)), running)
