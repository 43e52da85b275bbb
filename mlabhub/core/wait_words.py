"""Say when something probably starts: ``Probably 14:10 to 14:50, in 20 to 60 min.``

Guarantees: pure; exact times are in the zone that is given, and of another day say which; what nobody can tell is said
so, with why. A span is rounded outwards, so that what is said is never narrower than what is known.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta, tzinfo

from mlabhub.core.corrections import Range
from mlabhub.messages import N_, Message

SOON_S = 60 * 60.0
AT_ONCE_S = 180.0
SAME_S = 120.0
NEAR_S = 6 * 3600.0
"""What begins sooner is not put off to another day, though midnight lies between."""

NO_HISTORY = N_("Nobody can tell when: there is no history yet.")
TOO_LONG = N_("Nobody can tell when: what it waits for may run longer than anything has so far.")
WITHIN = N_("Probably within {span}.")
ABOUT = N_("Probably at {time}, in {span}.")
FROM_TO = N_("Probably {earliest} to {latest}, in {shortest} to {longest}.")
NOT_TODAY = N_("Not today: probably {earliest} to {latest}.")
NOT_TODAY_ABOUT = N_("Not today: probably at {time}.")
NOT_BEFORE = N_("Probably not before {time}, in {span}; how much later nobody can tell.")
TOMORROW = N_("tomorrow {time}")


def say_wait(found: Range, now: float, *, has_history: bool = True, zone: tzinfo | None = None) -> Message:
    """Say a range. Without a zone, times are the machine's own."""
    if found.earliest is None:
        return Message(TOO_LONG if has_history else NO_HISTORY)
    shortest = found.earliest - now
    if found.latest is None:
        return Message.of(NOT_BEFORE, time=_moment(found.earliest, now, zone), span=_span(shortest, up=False))
    longest = found.latest - now
    if shortest <= AT_ONCE_S and longest <= SOON_S:
        return Message.of(WITHIN, span=_span(longest, up=True))
    exact = longest - shortest <= SAME_S
    today = shortest < NEAR_S or _local(found.earliest, zone).date() == _local(now, zone).date()
    if exact:
        time = _moment(found.latest, now, zone)
        return (
            Message.of(ABOUT, time=time, span=_span(longest, up=True))
            if today
            else Message.of(NOT_TODAY_ABOUT, time=time)
        )
    times = {"earliest": _moment(found.earliest, now, zone), "latest": _moment(found.latest, now, zone)}
    if not today:
        return Message.of(NOT_TODAY, times)
    return Message.of(FROM_TO, times, shortest=_span(shortest, up=False), longest=_span(longest, up=True))


def _local(at: float, zone: tzinfo | None) -> datetime:
    return datetime.fromtimestamp(at, zone)


def _moment(at: float, now: float, zone: tzinfo | None) -> Message | str:
    """Say a time: ``14:10``, ``tomorrow 09:00``, ``2026-11-30 09:00``."""
    when, today = _local(at, zone), _local(now, zone).date()
    time = f"{when:%H:%M}"
    if when.date() == today:
        return time
    if when.date() == today + timedelta(days=1):
        return Message.of(TOMORROW, time=time)
    return f"{when:%Y-%m-%d} {time}"


MINUTES, HOURS, HOURS_AND, DAYS = N_("{minutes} min"), N_("{hours} h"), N_("{hours} h {minutes} min"), N_("{days} days")


def _span(seconds: float, *, up: bool) -> Message:
    """Say a duration: ``5 min``, ``1 h 20 min``, ``3 days``, rounded up or down."""
    step = 1 if seconds < 30 * 60 else 5 if seconds < 3 * 3600 else 60
    minutes = int((math.ceil if up else math.floor)(seconds / 60 / step)) * step
    minutes = max(minutes, 1)
    if minutes < 60:
        return Message.of(MINUTES, minutes=minutes)
    if minutes >= 48 * 60:
        return Message.of(DAYS, days=math.ceil(minutes / 1440) if up else minutes // 1440)
    hours, minutes = divmod(minutes, 60)
    return Message.of(HOURS_AND, hours=hours, minutes=minutes) if minutes else Message.of(HOURS, hours=hours)
