"""Ranges of waiting in words."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlabhub.core.corrections import UNKNOWN, Range
from mlabhub.core.wait_words import say_wait

ZONE = timezone(timedelta(hours=1))
NOW = datetime(2026, 11, 26, 13, 50, tzinfo=ZONE).timestamp()
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


@pytest.mark.parametrize(
    ("earliest", "latest", "sentence"),
    [
        (20 * MINUTE, 60 * MINUTE, "Probably 14:10 to 14:50, in 20 min to 1 h."),
        (0.0, 10 * MINUTE, "Probably within 10 min."),
        (20.0, 20.0, "Probably within 1 min."),
        (2 * HOUR, 2 * HOUR + 30, "Probably at 15:50, in 2 h 5 min."),
        (HOUR, 12 * HOUR, "Probably 14:50 to tomorrow 01:50, in 1 h to 12 h."),
        (0.0, 5 * HOUR, "Probably 13:50 to 18:50, in 1 min to 5 h."),
        (20 * HOUR, 30 * HOUR, "Not today: probably tomorrow 09:50 to tomorrow 19:50."),
        (20 * HOUR, 20 * HOUR, "Not today: probably at tomorrow 09:50."),
        (4 * DAY, 9 * DAY, "Not today: probably 2026-11-30 13:50 to 2026-12-05 13:50."),
        (HOUR, 3 * DAY, "Probably 14:50 to 2026-11-29 13:50, in 1 h to 3 days."),
        (HOUR, None, "Probably not before 14:50, in 1 h; how much later nobody can tell."),
    ],
)
def test_a_range_in_words(earliest, latest, sentence):
    found = Range(NOW + earliest, None if latest is None else NOW + latest)
    assert str(say_wait(found, NOW, zone=ZONE)) == sentence


def test_shortly_before_midnight_it_is_not_another_day():
    late = datetime(2026, 11, 26, 23, 35, tzinfo=ZONE).timestamp()
    told = say_wait(Range(late + 30 * MINUTE, late + 50 * MINUTE), late, zone=ZONE)
    assert str(told) == "Probably tomorrow 00:05 to tomorrow 00:25, in 30 min to 50 min."
    assert (
        str(say_wait(Range(late + 9 * HOUR, late + 9 * HOUR), late, zone=ZONE))
        == "Not today: probably at tomorrow 08:35."
    )


def test_what_nobody_can_tell():
    assert str(say_wait(UNKNOWN, NOW, has_history=False)) == "Nobody can tell when: there is no history yet."
    assert "longer than anything has so far" in str(say_wait(UNKNOWN, NOW))


@given(st.floats(0, 1e8), st.floats(0, 1e8))
def test_every_range_can_be_said(earliest, more):
    assert str(say_wait(Range(NOW + earliest, NOW + earliest + more), NOW)).endswith(".")
