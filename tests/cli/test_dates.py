"""Moments as they are typed."""

from datetime import datetime, timedelta, timezone

import pytest
import typer

from mlabhub.cli.dates import read_past, read_when, show_moment

NOW = datetime(2026, 11, 26, 21, 45, tzinfo=timezone.utc)  # a Thursday


@pytest.fixture(autouse=True)
def zone(monkeypatch):
    """Let the machine be in Berlin."""
    import time

    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("friday", "2026-11-27T00:00+01:00", "2026-11-28T00:00+01:00"),
        ("Fri", "2026-11-27T00:00+01:00", "2026-11-28T00:00+01:00"),
        ("thursday", "2026-11-26T00:00+01:00", "2026-11-27T00:00+01:00"),
        ("wed", "2026-12-02T00:00+01:00", "2026-12-03T00:00+01:00"),
        ("today", "2026-11-26T00:00+01:00", "2026-11-27T00:00+01:00"),
        ("tomorrow", "2026-11-27T00:00+01:00", "2026-11-28T00:00+01:00"),
        ("2026-12-04", "2026-12-04T00:00+01:00", "2026-12-05T00:00+01:00"),
        ("2027-03-28", "2027-03-28T00:00+01:00", "2027-03-29T00:00+02:00"),
        ("2026-12-04T18:00", "2026-12-04T18:00+01:00", "2026-12-04T18:00+01:00"),
        ("2026-07-04 18:00:30", "2026-07-04T18:00:30+02:00", "2026-07-04T18:00:30+02:00"),
        ("2026-12-04T18:00Z", "2026-12-04T18:00+00:00", "2026-12-04T18:00+00:00"),
        ("12h", "2026-11-27T09:45+00:00", "2026-11-27T09:45+00:00"),
        ("+3d", "2026-11-29T21:45+00:00", "2026-11-29T21:45+00:00"),
        ("2w", "2026-12-10T21:45+00:00", "2026-12-10T21:45+00:00"),
    ],
)
def test_moments(text, start, end):
    now = NOW.astimezone()
    for wanted, is_end in ((start, False), (end, True)):
        assert read_when(text, now, end=is_end, option="--until") == datetime.fromisoformat(wanted).timestamp()


@pytest.mark.parametrize("text", ["", "someday", "2026-02-30", "2026-12-04T25:00", "9999-12-31", "-3d", "99999d", "٣d"])
def test_no_moments(text):
    with pytest.raises(typer.BadParameter, match="is no moment"):
        read_when(text, NOW.astimezone(), end=True, option="--until")


def test_shown_in_this_machines_zone():
    assert show_moment(NOW.timestamp()) == "Thu 2026-11-26 22:45"
    assert show_moment(1e18) == "?"
    assert show_moment((NOW + timedelta(days=200)).timestamp()) == "Mon 2027-06-14 23:45"


@pytest.mark.parametrize(
    ("text", "ago_s"),
    [("2h", 7200), ("45min", 2700), ("2 h", 7200), ("now", 0), ("14:00", 1800), ("15:00", 84600), ("00:05", 51900)],
)
def test_what_is_over(text: str, ago_s: float) -> None:
    now = datetime(2026, 11, 23, 14, 30).astimezone()
    assert read_past(text, now, option="--at") == now.timestamp() - ago_s


@pytest.mark.parametrize("text", ["", "2d", "25:00", "tomorrow", "2026-11-23T14:31", "2026-02-30T00:00", "9" * 50])
def test_what_is_not_over_or_no_moment(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        read_past(text, datetime(2026, 11, 23, 14, 30).astimezone(), option="--at")
