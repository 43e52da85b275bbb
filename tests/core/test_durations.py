"""How long servers last: by hand, and against distributions that are known."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlabhub.core.durations import LEAST, Durations, Kind, Lasting

ALICE = Kind("alice", "vision", "train", True)
HALF = [math.log(2)]


def known(lasted, kind=ALICE):
    durations = Durations()
    for one in lasted:
        durations.add(kind, one)
    return durations


def median(lasting, kind=ALICE, age=0.0):
    (found,) = lasting.curve(kind).remaining(age, HALF)
    return found


def test_without_history_nothing_is_said():
    assert Lasting(Durations()).curve(ALICE) is None
    few = known([600.0] * (LEAST - 1))
    assert Lasting(few).curve(ALICE) is None
    few.add(ALICE, 600.0)
    assert Lasting(few).curve(ALICE) is not None
    assert Lasting(few).curve(Kind("alice", "vision", "train", gpus=False)) is None  # of those nothing is known


def test_all_that_lasted_as_long_last_as_long():
    lasting = Lasting(known([3600.0] * 50))
    assert median(lasting) == pytest.approx(3600, rel=0.2)
    assert median(lasting, age=1800.0) == pytest.approx(1800, rel=0.35)


def test_a_person_is_guessed_by_their_own_runs_once_there_are_enough():
    durations = known([7200.0] * 200)
    bob = Kind("bob", "vision", "train", True)
    assert median(Lasting(durations), bob) == pytest.approx(7200, rel=0.2)
    durations.add(bob, 600.0)
    assert median(Lasting(durations), bob) > 6000  # one run says little
    for _ in range(40):
        durations.add(bob, 600.0)
    assert median(Lasting(durations), bob) == pytest.approx(600, rel=0.3)
    assert median(Lasting(durations), ALICE) == pytest.approx(7200, rel=0.2)
    carol = Kind("carol", "nlp", "train", True)  # of another group, by the profile
    assert 600 < median(Lasting(durations), carol) <= 7200 * 1.2
    assert median(Lasting(durations), Kind("dave", "nlp", "", True)) > 600  # of no profile, by all


def test_what_still_runs_counts_as_having_lasted_so_long():
    """Twenty ended within the hour; forty run since the morning: whoever says an hour counts only the dead."""
    durations = known([3000.0 + n for n in range(20)])
    running = [(ALICE, 30000.0)] * 40
    (short,) = Lasting(durations).curve(ALICE).remaining(0.0, HALF)
    (long,) = Lasting(durations, running).curve(ALICE).remaining(0.0, HALF)
    assert short < 3700 < long


def test_nothing_is_said_far_beyond_the_longest_that_was_seen():
    curve = Lasting(known([600.0] * 50)).curve(ALICE)
    assert curve.remaining(0.0, [60.0]) == [math.inf]
    assert curve.remaining(1e7, HALF) == [math.inf]
    assert Lasting(known([600.0] * 50), [(ALICE, 1e9)]).curve(ALICE).remaining(1e9, HALF) == [math.inf]


def test_what_is_taken_away_was_never_there():
    durations = known([600.0] * 20)
    durations.add(ALICE, 1e5)
    durations.remove(ALICE, 1e5)
    assert median(Lasting(durations)) == median(Lasting(known([600.0] * 20)))
    for _ in range(20):
        durations.remove(ALICE, 600.0)
    assert Lasting(durations).curve(ALICE) is None
    assert not durations.ended()
    durations.add(ALICE, 600.0, cut=True)
    durations.remove(ALICE, 600.0, cut=True)
    assert not durations.cut()


def test_what_was_cut_short_counts_like_what_still_runs():
    durations = known([3000.0] * 20)
    for _ in range(40):
        durations.add(ALICE, 30000.0, cut=True)
    running = [(ALICE, 30000.0)] * 40
    (cut,) = Lasting(durations).curve(ALICE).remaining(0.0, HALF)
    assert cut == Lasting(known([3000.0] * 20), running).curve(ALICE).remaining(0.0, HALF)[0]
    alone = Durations()
    for _ in range(LEAST):
        alone.add(ALICE, 600.0, cut=True)
    assert Lasting(alone).curve(ALICE) is None  # nothing ended yet


@pytest.mark.parametrize("shape", [0.6, 1.5, 2.5], ids=lambda shape: f"sigma {shape}")
def test_shares_are_those_of_a_known_distribution(shape):
    """Of a thousand that were drawn like the history, as many are over as was said, fresh or after an hour."""
    numbers = random.Random(7)
    lasting = Lasting(known([numbers.lognormvariate(8.0, shape) for _ in range(2000)]))
    fresh = [numbers.lognormvariate(8.0, shape) for _ in range(2000)]
    curve = lasting.curve(ALICE)
    for age in (0.0, 3600.0):
        left = [one - age for one in fresh if one > age]
        for share in (0.1, 0.5, 0.9):
            (said,) = curve.remaining(age, [-math.log(1 - share)])
            over = sum(one <= said for one in left) / len(left)
            assert over == pytest.approx(share, abs=0.05 + 1 / math.sqrt(len(left)))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(0, 1e8), max_size=30),
    st.lists(st.floats(0, 1e8), max_size=5),
    st.floats(0, 1e8),
    st.permutations(range(30)),
)
def test_what_is_left_is_ordered_never_negative_and_needs_no_order(lasted, running, age, order):
    spent = [-math.log(1 - (n + 0.5) / 9) for n in range(9)]
    shuffled = [lasted[n] for n in order if n < len(lasted)]
    answers = []
    for one in (lasted, shuffled):
        curve = Lasting(known(one), [(ALICE, age) for age in running]).curve(ALICE)
        assert (curve is None) == (len(lasted) < LEAST)
        answers.append(curve and curve.remaining(age, spent))
    first, second = answers
    assert first == second
    if first is not None:
        assert first == sorted(first)
        assert all(one >= 0 for one in first)
        curve = Lasting(known(lasted)).curve(ALICE)
        older, younger = (curve.remaining(one, spent) for one in (age + 100.0, age))
        assert all(a + 100.0 >= b - 1e-6 * age for a, b in zip(older, younger, strict=True))  # ends never earlier
