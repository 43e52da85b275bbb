"""A day of use in columns: what was measured comes back to the minute, and nothing else."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from mlabhub.core.day_of_use import MINUTES, DayOfUse
from mlabhub.core.readings import Sample

NOW = 1_700_000_040.0
PERCENT = st.none() | st.integers(0, 100).map(float)


def sample(t: float, *util: float | None, launch: str = "a") -> Sample:
    return Sample(t, "alice/", launch, len(util), util, (None,) * len(util), 1.0)


@given(st.dictionaries(st.integers(0, 200), st.tuples(PERCENT, PERCENT), min_size=1), st.randoms())
def test_what_came_in_any_order_comes_back_to_the_minute(minutes: dict[int, tuple[float, ...]], order: object) -> None:
    day, numbers = DayOfUse(), list(minutes)
    order.shuffle(numbers)  # type: ignore[attr-defined]
    for number in numbers:
        day.add(sample(NOW + 60 * number, *minutes[number]))
    for number in range(201):
        found = day.at("a", NOW + 60 * number - 30)
        assert found == minutes.get(number, found if set(found) <= {None} else ())


def test_a_minute_ends_with_its_tick() -> None:
    day = DayOfUse()
    day.add(sample(NOW, 37.0))
    assert day.at("a", NOW) == day.at("a", NOW - 59) == (37.0,)
    assert day.at("a", NOW - 61) == day.at("a", NOW + 1) == day.at("b", NOW) == ()


def test_what_is_no_measure_is_left_out() -> None:
    day = DayOfUse()
    for one in (sample(math.nan, 1.0), sample(math.inf, 1.0), sample(NOW)):
        day.add(one)
    assert day.at("a", NOW) == ()


def test_other_gpus_begin_anew_and_a_clock_that_jumps_costs_nothing() -> None:
    day = DayOfUse()
    day.add(sample(NOW, 1.0))
    day.add(sample(NOW + 60, 1.0, 2.0))
    assert day.at("a", NOW + 60) == (1.0, 2.0)
    day.add(sample(NOW + 1e10, 3.0, 4.0))
    assert day.at("a", NOW + 1e10) == (3.0, 4.0)
    day.add(sample(NOW + 120, 5.0, 6.0))
    assert day.at("a", NOW + 120) == (5.0, 6.0)


def test_older_than_a_day_is_forgotten() -> None:
    day = DayOfUse()
    for number in range(MINUTES + 300):
        day.add(sample(NOW + 60 * number, 50.0))
    day.add(sample(NOW, 20.0, launch="over"))
    now = NOW + 60 * (MINUTES + 299)
    day.forget(now)
    assert day.at("over", NOW) == day.at("a", NOW) == ()
    assert day.at("a", now) == day.at("a", now - 86_000) == (50.0,)
