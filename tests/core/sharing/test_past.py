"""What the past says of use, of demand and of how long things run."""

from dataclasses import dataclass, replace

import pytest

from mlabhub.core.sharing.lifetimes import Lifetimes
from mlabhub.core.sharing.model import Notice, Scene
from mlabhub.core.sharing.past import EVERYBODY, Past
from tests.core.sharing.test_rules import HOUR, make_ask, quotas, runs, waits

DAY = 24 * HOUR


def scene(now, running=(), waiting=()):
    return Scene([], list(running), list(waiting), quotas(), now)


@dataclass
class Over:
    user: str
    group: str | None
    gpus: int
    cpu: float
    memory_gib: float
    started: float
    ended: float
    reclaimed: bool = False


def test_what_was_used_counts_half_after_the_half_life():
    past = Past(half_life_s=DAY).after(scene(0.0, [runs("r1", "vision", 4, started=0.0)])).after(scene(HOUR))
    used = past.average(past.groups["vision"], HOUR)[0]
    assert used > 0
    assert past.average(past.groups["vision"], HOUR + DAY)[0] == pytest.approx(used / 2)
    assert past.average(past.people["r1-user"], HOUR)[0] == pytest.approx(used)


def test_it_is_the_same_made_from_the_list_of_runs():
    seen = Past(half_life_s=DAY)
    seen = seen.after(scene(0.0, [runs("r1", "vision", 4, started=0.0, user="ann")]))
    second = runs("r2", "vision", 2, started=HOUR, user="bob")
    seen = seen.after(scene(HOUR, [second])).after(scene(3 * HOUR))
    made = Past.of([Over("bob", "vision", 2, 1, 1, HOUR, 3 * HOUR), Over("ann", "vision", 4, 1, 1, 0.0, HOUR)], DAY)
    for one, other in ((seen.groups, made.groups), (seen.people, made.people)):
        assert one.keys() == other.keys()
        for key in one:
            assert seen.average(one[key], 5 * HOUR) == pytest.approx(made.average(other[key], 5 * HOUR))
    assert seen.lifetimes == made.lifetimes
    assert seen.typical == made.typical


def test_what_was_taken_back_is_so_in_the_list_of_runs_too():
    told = replace(runs("r1", None, 1, started=0.0, user="ann"), notice=Notice(0.0, 600.0, "w1"), ending=True)
    seen = Past(half_life_s=DAY).after(scene(0.0, [told])).after(scene(HOUR))
    made = Past.of([Over("ann", None, 1, 1, 1, 0.0, HOUR, reclaimed=True)], DAY)
    assert seen.lifetimes == made.lifetimes == Lifetimes().ended(HOUR, by_itself=False)
    assert seen.typical == made.typical == {}


def test_a_clock_that_steps_back_makes_nothing_negative():
    past = Past().after(scene(HOUR, [runs("r1", "vision", 4, started=0.0)])).after(scene(0.0))
    assert min(past.average(past.groups["vision"], 0.0)) >= 0
    assert past.held["vision"]["gpu"] == 0


def test_who_asks_often_is_known_by_type_and_a_reclaim_is_no_new_wish():
    past = Past()
    for number in range(10):
        past = past.after(scene(number * 60.0, waiting=[waits(f"w{number}", "vision", 2, "a100")]))
    rate = past.asked_per_s("vision", "a100", 600.0)
    assert rate == pytest.approx(20 / DAY, rel=0.05)
    assert past.asked_per_s("vision", "t4", 600.0) == 0
    before = past.after(scene(600.0, [runs("w9", "vision", 2)]))
    again = before.after(scene(660.0, waiting=[waits("w9", "vision", 2, "a100", reclaims=1)]))
    assert again.asked == before.asked


def test_without_history_what_ran_long_is_taken_to_run_as_long_again():
    assert 1 / Lifetimes().rate(10 * HOUR) == pytest.approx(10 * HOUR)
    short = Lifetimes()
    for _ in range(100):
        short = short.ended(HOUR, by_itself=True)
    assert short.rate(50 * 60) > Lifetimes().rate(50 * 60)
    assert short.rate(10 * HOUR) == Lifetimes().rate(10 * HOUR)


def test_what_was_taken_back_is_no_end_of_its_own():
    assert Lifetimes().ended(HOUR, by_itself=False).rate(50 * 60) < Lifetimes().rate(50 * 60)


def test_what_ends_by_itself_after_its_notice_was_not_taken_back():
    told = replace(runs("r1", None, started=0.0), notice=Notice(0.0, 600.0, "w1"))
    before = Past().after(scene(HOUR, [told], [waits("w1", "vision")]))
    by_itself = before.after(scene(2 * HOUR, [], [waits("w1", "vision")]))
    assert by_itself.promised == {"w1": "n1"}
    assert by_itself.lifetimes == Lifetimes().ended(2 * HOUR, by_itself=True)
    taken = before.after(scene(2 * HOUR, [], [waits("w1", "vision"), waits("r1", None, reclaims=1)]))
    assert taken.promised == {"w1": "n1"}
    assert taken.lifetimes == Lifetimes().ended(2 * HOUR, by_itself=False)
    stopping = before.after(scene(HOUR + 60, [replace(told, ending=True)], [waits("w1", "vision")]))
    assert stopping.after(scene(2 * HOUR, [], [waits("w1", "vision")])).promised == {"w1": "n1"}


def test_short_runs_count_less_than_long_ones():
    past = Past.of([Over("ann", None, 1, 1, 1, 0.0, 600.0)] * 20 + [Over("bob", None, 1, 1, 1, 0.0, DAY)] * 20)
    assert past.length("ann") < 0.5 < 1 < past.length("bob")
    assert past.length("new") == pytest.approx(1.0)
    assert (EVERYBODY, None) in past.typical


def test_how_long_something_runs_is_learned_by_person_and_by_kind():
    over = [Over("ann", None, 1, 1, 1, 0.0, 600.0), Over("ann", None, 4, 1, 1, 0.0, DAY)] * 20
    past = Past.of([*over, Over("bob", None, 2, 1, 1, 0.0, HOUR)])
    small, large, new = make_ask(1), make_ask(4), make_ask(8)
    assert past.length("ann", small) < 0.2 < 1 < past.length("ann", large)
    assert past.length("bob", small) < past.length("bob", large)
    assert past.length("ann", new) == past.length("ann")


def test_nothing_changes_where_nothing_came_or_went():
    past = Past().after(scene(0.0, [runs("r1", "vision")]))
    assert past.after(scene(60.0, [runs("r1", "vision")])) == past
