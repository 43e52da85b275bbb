"""When those who wait start, and when a new request would: small cases by hand, laws by Hypothesis, and calibration."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlabhub.core.corrections import UNKNOWN, Range
from mlabhub.core.durations import Durations, Kind, Lasting
from mlabhub.core.outlook.board import ENDING_S
from mlabhub.core.quotas import Quotas
from mlabhub.core.sharing.model import Ask, Claim, Machine, NewNotice, Notice, Round, Run, Scene, Start, Waiter
from mlabhub.core.units import to_micro
from mlabhub.core.waits import SCENARIOS, Outlook, mixed

NOW = 1000.0
NO_HISTORY = Lasting(Durations())
HOUR = 3600.0


def ask(gpus=1, gpu_type="a100", cpu=1, memory=1, profile="train"):
    return Ask(gpus, gpu_type, to_micro(cpu), to_micro(memory), profile)


def machine(name="n1", gpus=1, used=0, **values):
    whole, free = (to_micro(64), to_micro(512)), (to_micro(64 - used), to_micro(512 - used))
    return Machine(name, {"a100": gpus}, *whole, {"a100": gpus - used}, *free, to_micro(64), **values)


def run(name="r1", ends_by=None, gpus=1, on="n1", user="bob", group=None, started=NOW, **values):
    return Run(name, user, group, ask(gpus), on, started, 600.0, ends_by=ends_by, **values)


def waiter(name="w1", gpus=1, user="alice", group=None, **values):
    return Waiter(name, user, group, ask(gpus), NOW, **values)


def look(machines, runs, waiters=(), in_force=None, lasting=NO_HISTORY, told=None, **more):
    scene = Scene(machines, runs, waiters, in_force or Quotas(), NOW)
    usual = Round(order=tuple(one.id for one in waiters), blocked={one.id: "room" for one in waiters})
    return Outlook(scene, told or usual, lasting, **more)


def exactly(at):
    return Range(at, at)


ONE = [machine(used=1)]
LONGEST = {"train": HOUR}


def test_one_gpu_and_a_run_that_ends_by_a_known_time():
    outlook = look(ONE, [run(ends_by=NOW + HOUR)], [waiter()])
    assert outlook.wait_of("w1") == exactly(NOW + HOUR)
    assert outlook.wait_of("nobody") == UNKNOWN
    assert look(ONE, [run(ends_by=NOW + HOUR)]).wait_for(ask(), "alice", None) == exactly(NOW + HOUR)


def test_without_history_or_limit_nobody_can_tell():
    outlook = look(ONE, [run()], [waiter()])
    assert outlook.wait_of("w1") == UNKNOWN
    assert outlook.wait_for(ask(), "alice", None) == UNKNOWN
    assert not outlook.has_history


def test_three_that_wait_for_one_gpu_come_one_after_the_other():
    three = [waiter(f"w{number}") for number in (1, 2, 3)]
    outlook = look(ONE, [run(ends_by=NOW + HOUR)], three, longest=LONGEST)
    assert [outlook.wait_of(one.id) for one in three] == [exactly(NOW + n * HOUR) for n in (1, 2, 3)]
    assert outlook.wait_for(ask(), "dave", None) == exactly(NOW + 4 * HOUR)
    unknown = look(ONE, [run(ends_by=NOW + HOUR)], three)
    assert [unknown.wait_of(one.id) for one in three] == [exactly(NOW + HOUR), UNKNOWN, UNKNOWN]


def test_two_free_gpus_on_two_machines_are_not_two_on_one():
    machines = [machine("n1", 2, 1), machine("n2", 2, 1)]
    runs = [run("r1", NOW + 5 * HOUR, on="n1"), run("r2", NOW + 2 * HOUR, on="n2")]
    assert look(machines, runs).wait_for(ask(2), "alice", None) == exactly(NOW + 2 * HOUR)
    assert look(machines, runs).wait_for(ask(3), "alice", None) == UNKNOWN


def test_memory_is_waited_for_as_gpus_are():
    full = replace(machine(gpus=2, used=1), free_memory=0)
    big = replace(run(ends_by=NOW + HOUR), ask=ask(memory=511))
    assert look([full], [big]).wait_for(ask(memory=16), "alice", None) == exactly(NOW + HOUR)


@pytest.mark.parametrize(
    ("one", "told", "at"),
    [
        pytest.param(run(notice=Notice(NOW - 60, NOW + 540, "w1")), {}, NOW + 540, id="a notice that was given"),
        pytest.param(run(), {"notices": (NewNotice("r1", NOW + 600, "w1"),)}, NOW + 600, id="a notice given now"),
        pytest.param(run(notice=Notice(NOW - 600, NOW, "w1")), {"reclaims": ("r1",)}, NOW + ENDING_S, id="taken back"),
        pytest.param(run(ending=True), {}, NOW + ENDING_S, id="being stopped"),
        pytest.param(
            run(notice=Notice(NOW, NOW + 60, "w1"), ends_by=NOW + HOUR),
            {"withdrawn": ("r1",)},
            NOW + HOUR,
            id="a notice that is taken back",
        ),
        pytest.param(run(ends_by=NOW - 5), {}, NOW + ENDING_S, id="late already"),
    ],
)
def test_what_ends_a_run(one, told, at):
    outlook = look(ONE, [one], [waiter()], told=Round(order=("w1",), **told))
    assert outlook.wait_of("w1") == exactly(at)


def test_maintenance_ends_what_runs_and_keeps_new_ones_waiting():
    from_to = {"from": "1970-01-01T01:00+00:00", "until": "1970-01-01T02:00+00:00"}
    quotas = Quotas.model_validate({"maintenance": [{"nodes": ["n1"], **from_to, "reason": "new fans"}]})
    assert look(ONE, [run()], in_force=quotas).wait_for(ask(), "alice", None) == exactly(2 * HOUR)
    shut = [machine(used=0, open=False, closes=HOUR)]
    begun = Quotas.model_validate(
        {"maintenance": [{"nodes": ["*"], "from": "1970-01-01T00:10Z", "until": "1970-01-01T02:00Z", "reason": "x"}]}
    )
    assert look(shut, [], [waiter()], begun).wait_of("w1") == exactly(2 * HOUR)
    assert (
        look([machine(open=False)], []).wait_for(ask(), "alice", None) == UNKNOWN
    )  # cordoned: nobody knows until when


def test_a_group_at_its_limit_waits_for_its_own_runs():
    quotas = Quotas.model_validate({"groups": {"vision": {"limit": {"gpu": 1}}}})
    machines = [machine(gpus=2, used=1)]
    mine = run(ends_by=NOW + HOUR, group="vision")
    outlook = look(machines, [mine], [waiter(group="vision")], quotas, longest=LONGEST)
    assert outlook.wait_of("w1") == exactly(NOW + HOUR)
    assert outlook.wait_for(ask(), "eve", "vision") == exactly(NOW + 2 * HOUR)  # after w1
    assert outlook.wait_for(ask(), "eve", "nlp").earliest == NOW  # there is room, and no limit
    assert look(machines, [run(group="vision")], in_force=quotas).wait_for(ask(), "eve", "vision") == UNKNOWN
    more = Quotas.model_validate({"groups": {"vision": {"limit": {"gpu": 2}}}})
    changed = look(machines, [mine], [waiter(group="vision")], quotas, quotas=[(NOW + 60, more)])
    assert changed.wait_of("w1") == exactly(NOW + 60)
    assert look(machines, [mine], in_force=more).wait_for(ask(), "eve", "vision").earliest == NOW


def test_a_person_at_a_cap_waits_for_their_own_runs_but_not_at_a_soft_one():
    machines = [machine(gpus=2, used=1)]
    mine = run(ends_by=NOW + HOUR, user="alice")
    for soft, at in ((False, NOW + HOUR), (True, NOW)):
        quotas = Quotas.model_validate({"users": {"default": {"gpu": 1, "soft": soft}}})
        assert look(machines, [mine], in_force=quotas).wait_for(ask(), "alice", None) == exactly(at)


def test_room_that_is_claimed_goes_to_nobody_else():
    """Two of four are free and kept for the one that needs all; the small one comes after it."""
    runs = [run("r1", NOW + HOUR, on="n1"), run("r2", NOW + 2 * HOUR, on="n1")]
    both = [waiter("large", 4), waiter("small", 1)]
    told = Round(order=("large", "small"), claims=(Claim("large", "n1", "a100", 4, to_micro(1), to_micro(1)),))
    outlook = look([machine(gpus=4, used=2)], runs, both, told=told, longest=LONGEST)
    assert outlook.wait_of("large") == exactly(NOW + 2 * HOUR)
    assert outlook.wait_of("small") == exactly(NOW + 3 * HOUR)
    free = look([machine(gpus=4, used=2)], runs, both, longest=LONGEST)
    assert free.wait_of("small") == exactly(NOW + HOUR)


def test_who_starts_in_this_round_takes_the_room():
    told = Round(starts=(Start("w1", "n1", "a100", borrowed=False),), order=("w2",))
    outlook = look([machine(gpus=1)], [], [waiter("w1"), waiter("w2")], told=told, longest=LONGEST)
    assert outlook.wait_of("w1") == UNKNOWN  # who starts does not wait
    runs = [run("r1", NOW + HOUR)]
    assert look([machine(gpus=2, used=1)], runs, [waiter("w1"), waiter("w2")], told=told).wait_of("w2") == exactly(
        NOW + HOUR
    )


def test_a_round_of_a_while_ago_knows_neither_who_came_nor_who_went():
    told = Round(
        starts=(Start("r1", "n1", "a100", borrowed=False),),
        order=("gone", "w1"),
        claims=(Claim("gone", "n1", "a100", 1, 0, 0), Claim("w1", "nowhere", "a100", 1, 0, 0)),
        notices=(NewNotice("over", NOW, "gone"),),
    )
    people = [waiter("w3"), waiter("w2"), waiter("w1")]
    outlook = look(ONE, [run(ends_by=NOW + HOUR)], people, told=told, longest=LONGEST)
    assert [outlook.wait_of(f"w{n}") for n in (1, 2, 3)] == [exactly(NOW + n * HOUR) for n in (1, 2, 3)]


def test_what_is_not_lent_is_waited_for():
    told = Round(order=("w1",), blocked={"w1": "reserve"}, kept={"a100": 1})
    runs = [run("r1", NOW + HOUR, on="n2")]
    outlook = look([machine("n1"), machine("n2", used=1)], runs, [waiter()], told=told)
    assert outlook.wait_of("w1") == exactly(NOW + HOUR)


def test_an_owner_waits_no_longer_than_the_notice():
    quotas = Quotas.model_validate({"groups": {"vision": {"guaranteed": {"gpu": 2}}}})
    two = [machine(gpus=2, used=2)]
    runs = [run("r1", NOW + HOUR, group="nlp"), run("r2", NOW + HOUR, group="nlp")]
    outlook = look(two, runs, in_force=quotas)
    assert outlook.wait_for(ask(), "alice", "vision") == exactly(NOW + 600 + ENDING_S)
    assert outlook.wait_for(ask(2), "alice", "vision") == exactly(NOW + 600 + ENDING_S)
    assert outlook.wait_for(ask(), "alice", "nlp") == exactly(NOW + HOUR)  # owed nothing
    assert look(two, runs).wait_for(ask(), "alice", "vision") == exactly(NOW + HOUR)
    kept = [replace(one, reclaimable=False) for one in runs]
    assert look(two, kept, in_force=quotas).wait_for(ask(), "alice", "vision") == exactly(NOW + HOUR)
    apart = [machine("n1", used=1), machine("n2", used=1)]
    both = [runs[0], replace(runs[1], machine="n2")]
    assert look(apart, both, in_force=quotas).wait_for(ask(2), "alice", "vision") == UNKNOWN


def test_nobody_is_looked_at_before_their_time():
    runs = [run(ends_by=NOW + 60)]
    outlook = look(ONE, runs, [waiter(not_before=NOW + HOUR), waiter("w2")], longest={"train": 60.0})
    assert outlook.wait_of("w1") == exactly(NOW + HOUR)
    assert outlook.wait_of("w2") == exactly(NOW + 60)


def test_only_machines_of_the_profile_count():
    machines = [machine("n1", used=1, profiles=frozenset({"other"})), machine("n2", used=1)]
    runs = [run("r1", NOW + 60, on="n1"), run("r2", NOW + HOUR, on="n2")]
    outlook = look(machines, runs, [waiter()])
    assert outlook.wait_of("w1") == exactly(NOW + HOUR)
    assert outlook.wait_for(ask(), "eve", None) == UNKNOWN  # w1 never ends, as far as is known
    assert look(machines, runs).wait_for(ask(profile="other"), "eve", None) == exactly(NOW + 60)
    chosen = look([machine("n1", used=1), machine("n2", used=1)], runs, [waiter(machines=frozenset({"n2"}))])
    assert chosen.wait_of("w1") == exactly(NOW + HOUR)


# Laws


def history(median=8.0, count=200, seed=1):
    numbers, durations = random.Random(seed), Durations()
    for _ in range(count):
        durations.add(Kind("bob", None, "train", True), numbers.lognormvariate(median, 1.0))
    return Lasting(durations)


LOG = history()
times = st.one_of(st.none(), st.floats(NOW, NOW + 1e5))
one_size = st.lists(st.tuples(st.integers(0, 2), st.floats(0, NOW), times), min_size=3, max_size=8)


def scene_of(parts, waiting, later=0.0, size=1, first=()):
    """Return an outlook on three machines, one GPU for each run of one size, and so many who wait."""
    used = [sum(size for on, _, _ in parts if on == number) for number in range(3)]
    machines = [
        machine(
            f"n{n}",
            max(used[n], size),
            max(used[n], size),
        )
        for n in range(3)
    ]
    machines = [m for n, m in enumerate(machines) if used[n]]
    runs = [
        run(f"r{n}", None if ends is None else ends + later, size, f"n{on}", started=started)
        for n, (on, started, ends) in enumerate(parts)
    ]
    people = [*first, *(waiter(f"w{n}", size) for n in range(waiting))]
    return look(machines, runs, people, lasting=LOG)


def later_or_same(later, earlier):
    """Whether neither end of a range is earlier than that of another; unknown is later than all."""
    pairs = ((later.earliest, earlier.earliest), (later.latest, earlier.latest))
    return all(a is None or (b is not None and a >= b - 1e-6) for a, b in pairs)


@settings(max_examples=60, deadline=None)
@given(one_size, st.integers(1, 5), st.integers(1, 4))
def test_ranges_are_ordered_never_past_and_later_behind_others(parts, waiting, size):
    outlook = scene_of(parts, waiting, size=size)
    ranges = [outlook.wait_of(f"w{n}") for n in range(waiting)]
    ranges.append(outlook.wait_for(ask(size), "eve", None))
    for one in ranges:
        assert one.earliest is None or one.earliest >= NOW
        assert one.latest is None or (one.earliest is not None and one.earliest <= one.latest)
    for before, after in pairwise(ranges):
        assert later_or_same(after, before)
    again = scene_of(parts, waiting, size=size)
    assert [again.wait_for(ask(size), "eve", None), *(again.wait_of(f"w{n}") for n in range(waiting))] == [
        ranges[-1],
        *ranges[:-1],
    ]


@settings(max_examples=60, deadline=None)
@given(one_size, st.integers(1, 4), st.integers(1, 3))
def test_one_more_ahead_makes_nobody_earlier(parts, waiting, size):
    plain, crowded = scene_of(parts, waiting, size=size), scene_of(parts, waiting, size=size, first=[waiter("x", size)])
    for number in range(waiting):
        assert later_or_same(crowded.wait_of(f"w{number}"), plain.wait_of(f"w{number}"))
    assert later_or_same(crowded.wait_for(ask(size), "eve", None), plain.wait_for(ask(size), "eve", None))


@settings(max_examples=60, deadline=None)
@given(one_size, st.integers(0, 4), st.floats(0, 1e5))
def test_runs_that_may_last_longer_make_nobody_earlier(parts, waiting, later):
    plain, longer = scene_of(parts, waiting), scene_of(parts, waiting, later=later)
    for number in range(waiting):
        assert later_or_same(longer.wait_of(f"w{number}"), plain.wait_of(f"w{number}"))
    assert later_or_same(longer.wait_for(ask(), "eve", None), plain.wait_for(ask(), "eve", None))


@pytest.mark.parametrize(
    ("machines", "ahead"), [(1, 0), (1, 3), (8, 0), (8, 12), pytest.param(30, 40, marks=pytest.mark.long)]
)
def test_eight_of_ten_starts_are_within_the_range(machines, ahead):
    """Many small worlds whose runs last as the history says: 70 to 90 % of the starts are where it was said."""
    numbers, within, told = random.Random(3), 0, 0
    for world in range(300):
        runs, ends = [], []
        for number in range(machines):
            age = numbers.uniform(0, 7200)
            lasts = numbers.lognormvariate(8.0, 1.0)
            while lasts <= age:
                lasts = numbers.lognormvariate(8.0, 1.0)
            runs.append(run(f"r{world}-{number}", on=f"n{number}", started=NOW - age))
            ends.append(NOW - age + lasts)
        people = [waiter(f"w{world}-{number}", user="bob") for number in range(ahead + 1)]
        outlook = look([machine(f"n{n}", used=1) for n in range(machines)], runs, people, lasting=LOG)
        found = outlook.wait_of(people[-1].id)
        for _ in range(ahead):
            soonest = min(range(machines), key=lambda n: ends[n])
            ends[soonest] += numbers.lognormvariate(8.0, 1.0)
        told += found.latest is not None
        within += found.latest is not None and found.earliest <= min(ends) <= found.latest
    assert told > 290
    assert 0.70 <= within / told <= 0.90, within / told


def test_scenarios_are_independent_and_each_comes_once():
    for name in ("a", "b", "01JD3XK7Q8"):
        step, offset, _ = mixed(name)
        assert {(offset + step * n) % SCENARIOS for n in range(SCENARIOS)} == set(range(SCENARIOS))
