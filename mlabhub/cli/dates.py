"""Moments on the command line: ``friday``, ``tomorrow``, ``3d``, ``2026-12-04``, ``2026-12-04T18:00``.

Guarantees: what says no zone is in this machine's; a day stands for its beginning, or for its end where it is an end;
a weekday is the next one of that name, today included.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta

import typer

from mlabhub.core.moments import NoMoment, read_moment
from mlabhub.core.quote import quote

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
FORMS = "a weekday, today, tomorrow, 12h, 3d or 2w from now, 2026-12-04, or 2026-12-04T18:00 with or without a zone"
PAST_UNITS = {"min": timedelta(minutes=1), "h": timedelta(hours=1)}
PAST_FORMS = "2h or 45min for so long ago, 09:30, or 2026-12-04T09:30 with or without a zone"
_AGO = re.compile(r"([0-9]{1,4}) ?(min|h)", re.ASCII)
_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", re.ASCII)
_LENGTH = re.compile(r"\+?([0-9]{1,4})([hdw])", re.ASCII)


def read_when(text: str, now: datetime, *, end: bool, option: str) -> float:
    """Return seconds since the epoch. ``now`` has a zone. Raises `typer.BadParameter`."""
    word = text.strip().lower()
    if length := _LENGTH.fullmatch(word):
        return (now + int(length[1]) * UNITS[length[2]]).timestamp()
    try:
        day = _day(word, now.date())
        if day is not None:
            return _local(datetime.combine(day + timedelta(days=end), time()))
        return read_moment(text)
    except NoMoment:
        pass
    except (OverflowError, ValueError):
        raise typer.BadParameter(f"{quote(text)} is no moment that there is.", param_hint=option) from None
    try:
        found = datetime.fromisoformat(text.strip())
        return _local(found) if found.tzinfo is None else found.timestamp()
    except (ValueError, OverflowError, OSError):
        raise typer.BadParameter(f"{quote(text)} is no moment; write {FORMS}.", param_hint=option) from None


def read_past(text: str, now: datetime, *, option: str) -> float:
    """Return seconds since the epoch of a moment that is over: ``2h`` or ``45min`` ago, the last ``09:30``.

    So may a day with a time, with or without a zone. Raises `typer.BadParameter`.
    """
    word = text.strip().lower()
    if length := _AGO.fullmatch(word):
        return (now - int(length[1]) * PAST_UNITS[length[2]]).timestamp()
    if clock := _CLOCK.fullmatch(word):
        today = datetime.combine(now.date(), time(int(clock[1]), int(clock[2])))
        return _local(today if _local(today) <= now.timestamp() else today - timedelta(days=1))
    if word == "now":
        return now.timestamp()
    try:
        when = datetime.fromisoformat(text.strip())
        seconds = _local(when) if when.tzinfo is None else when.timestamp()
    except (ValueError, OverflowError, OSError):
        raise typer.BadParameter(f"{quote(text)} is no moment; write {PAST_FORMS}.", param_hint=option) from None
    if seconds > now.timestamp():
        raise typer.BadParameter(f"{quote(text)} is not over yet.", param_hint=option)
    return seconds


def read_past_day(text: str, now: datetime, *, end: bool, option: str) -> float:
    """Return the same where days are meant as well: a day is its beginning or its ``end``, a weekday the last one.

    ``3d`` and ``2w`` are so long ago. Raises `typer.BadParameter`.
    """
    word = text.strip().lower()
    if length := _LENGTH.fullmatch(word):
        return (now - int(length[1]) * UNITS[length[2]]).timestamp()
    try:
        day = now.date() - timedelta(days=1) if word == "yesterday" else _day(word, now.date())
    except ValueError:
        raise typer.BadParameter(f"{quote(text)} is no moment that there is.", param_hint=option) from None
    if day is None:
        return read_past(text, now, option=option)
    if word.isalpha() and day > now.date():
        day -= timedelta(weeks=1)
    return _local(datetime.combine(day + timedelta(days=end), time()))


def show_moment(seconds: float) -> str:
    """Return a moment in this machine's zone: ``Fri 2026-12-04 18:00``."""
    try:
        return datetime.fromtimestamp(seconds).astimezone().strftime("%a %Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return "?"


def _day(word: str, today: date) -> date | None:
    if word in ("today", "tomorrow"):
        return today + timedelta(days=word == "tomorrow")
    named = [number for number, name in enumerate(WEEKDAYS) if word in (name, name[:3])]
    if named:
        return today + timedelta(days=(named[0] - today.weekday()) % 7)
    return date.fromisoformat(word) if re.fullmatch(r"\d{4}-\d\d-\d\d", word, re.ASCII) else None


def _local(naive: datetime) -> float:
    return naive.astimezone().timestamp()
