"""How long something waits, in words."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from mlabhub.i18n import get_translator
from mlabhub.messages import Message
from mlabhub.service.pages.waits import countdown, left_text, span_text, wait_text
from mlabhub.service.wait_views import WaitRange

EN, ZH = get_translator("en"), get_translator("zh_CN")
NOW = datetime(2026, 11, 26, 13, 45, 10, tzinfo=timezone.utc).astimezone()
MINUTE, HOUR = 60, 3600


def clock(minutes: float) -> str:
    """Return the time of day so many minutes after 13:45."""
    return f"{NOW.replace(second=0) + timedelta(minutes=minutes):%H:%M}"


def said(earliest: float | None, latest: float | None) -> tuple[str, str]:
    at = NOW.timestamp()
    wait = WaitRange(
        None if earliest is None else at + earliest, None if latest is None else at + latest, Message("Nobody knows.")
    )
    text = wait_text(wait, NOW, EN)
    assert text.known == (earliest is not None)
    return text.clock, text.relative


@pytest.mark.parametrize(
    ("earliest", "latest", "words", "relative"),
    [
        pytest.param(None, None, "Nobody knows.", "", id="nobody can tell"),
        pytest.param(-300, 20, "Probably within a minute", "", id="any moment"),
        pytest.param(26 * MINUTE, 64 * MINUTE, f"Probably {clock(25)} to {clock(65)}", "in 24 to 65 min", id="minutes"),
        pytest.param(
            2 * MINUTE, 9 * MINUTE, f"Probably {clock(2)} to {clock(10)}", "in 1 to 10 min", id="to the minute"
        ),
        pytest.param(-HOUR, 8 * MINUTE, f"Probably {clock(0)} to {clock(9)}", "in at most 9 min", id="overdue"),
        pytest.param(3 * HOUR, 5 * HOUR, f"Probably {clock(180)} to {clock(305)}", "in 2 to 6 h", id="hours"),
        pytest.param(HOUR, None, f"Probably not before {clock(60)}", "in more than 60 min", id="no end"),
    ],
)
def test_a_range_is_rounded_outwards(earliest: float | None, latest: float | None, words: str, relative: str) -> None:
    assert said(earliest, latest) == (words, relative)


def test_another_day_is_named() -> None:
    words, relative = said(30 * HOUR, 60 * HOUR)
    first, last = NOW + timedelta(hours=30), NOW + timedelta(hours=60)
    assert f"{first:%b} {first.day}" in words
    assert f"{last:%b} {last.day}" in words
    assert relative == "in 1 to 3 days"


def test_nothing_is_said_where_nothing_was_foreseen() -> None:
    assert wait_text(None, NOW, EN).clock == ""


@pytest.mark.parametrize(
    ("seconds", "left", "span"),
    [
        (0, "0 s", "1 min"),
        (-5, "0 s", "1 min"),
        (59.2, "1 min 0 s", "1 min"),
        (552, "9 min 12 s", "9 min"),
        (2 * HOUR + 30, "2 h 0 min", "2 h"),
        (100 * HOUR, "100 h 0 min", "4 days"),
    ],
)
def test_what_is_left(seconds: float, left: str, span: str) -> None:
    assert left_text(seconds, EN) == left
    assert span_text(max(0.0, seconds), EN) == span


def test_a_countdown_has_both_the_time_and_what_is_left() -> None:
    one = countdown(NOW.timestamp() + 552, NOW, EN)
    assert (one.left_s, one.left, one.clock) == (552, "9 min 12 s", clock(9))
    assert countdown(NOW.timestamp() - 5, NOW, EN).left_s == 0
