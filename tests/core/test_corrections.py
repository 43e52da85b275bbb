"""Forecasts corrected by how good they were."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlabhub.core.corrections import LEAST, NONE, UNKNOWN, Correction, Range, Reckoned, learn


def started(after, count=1, earliest=1000.0, latest=2000.0, asked=0.0):
    return [Reckoned(asked, Range(asked + earliest, asked + latest), asked + after)] * count


def test_too_few_correct_nothing():
    assert learn(started(9000.0, LEAST - 1)) == NONE
    unknown = [Reckoned(0.0, UNKNOWN, 50.0)] * 50
    assert learn(unknown) == NONE
    assert learn([*unknown, *started(9000.0, LEAST - 1)]) == NONE


def test_ranges_grow_until_nine_of_ten_starts_are_before_their_end():
    late = learn([*started(1500.0, 16), *started(6000.0, 4)])
    assert (late.low, late.high) == (1.0, 3.0)
    assert late.apply(Range(110.0, 200.0), 100.0) == Range(110.0, 400.0)
    early = learn([*started(1500.0, 16), *started(100.0, 4)])
    assert early.low == pytest.approx(0.1)
    assert early.apply(Range(200.0, 300.0), 100.0).earliest == pytest.approx(110.0)


def test_who_waits_beyond_the_range_counts():
    waiting = [one._replace(started=10_000.0) for one in started(0.0, 10)]
    assert learn(started(1500.0, 20)).high == 0.75
    assert learn(started(1500.0, 20), waiting).high == 5.0
    assert learn(started(1500.0, 20), [one._replace(started=1500.0) for one in waiting]).high == 0.75


def test_only_the_last_ones_count():
    assert learn([*started(50_000.0, 500), *started(1500.0, 100)]).high == 0.75


@given(
    st.floats(0, 1),
    st.floats(0.7, 8),
    st.lists(st.tuples(st.floats(0, 1e7), st.floats(0, 1e7)), min_size=2, max_size=2),
    st.floats(0, 1e9),
)
def test_corrected_ranges_are_ordered_never_past_and_keep_their_order(low, high, ends, now):
    correction = Correction(low, high)
    first, second = (sorted(column) for column in zip(*ends, strict=True))
    ranges = [Range(now + min(a, b), now + max(a, b)) for a, b in zip(first, second, strict=True)]
    corrected = [correction.apply(one, now) for one in ranges]
    for one in corrected:
        assert now <= one.earliest <= one.latest
    assert corrected[0].earliest <= corrected[1].earliest
    assert corrected[0].latest <= corrected[1].latest
    assert correction.apply(UNKNOWN, now) == UNKNOWN


@pytest.mark.parametrize("wrong", [0.5, 1.0, 3.0], ids=lambda wrong: f"times {wrong}")
def test_eight_of_ten_are_within_after_a_while_however_wrong_it_was(wrong):
    """Starts come ``wrong`` times as late as was reckoned, more or less: told ranges are learned from what happened."""
    numbers, over, within = random.Random(5), [], 0
    for number in range(600):
        reckoned = Range(600.0, 1200.0)
        found = learn(over).apply(reckoned, 0.0)
        start = 900.0 * wrong * numbers.lognormvariate(0.0, 0.6)
        within += number >= 200 and found.earliest <= start <= found.latest
        over.append(Reckoned(0.0, reckoned, start))
    assert 0.70 <= within / 400 <= 0.90
