"""How long something waits, and how long something is left, in words.

Guarantees: pure; what nobody can tell is said to be so, never shown as zero; a range is rounded outwards, so that it
does not promise more than was foreseen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timezone

from mlabhub.i18n import N_, Translator
from mlabhub.service.wait_views import WaitRange

MINUTE, HOUR, DAY = 60, 3600, 86400
# From so many seconds on, times are rounded to five minutes, so that they do not change at every look.
COARSE_FROM_S = 30 * MINUTE


@dataclass(frozen=True)
class WaitText:
    """When something probably starts. ``clock`` says the times, ``relative`` how long that is from now; of what nobody
    can tell, ``clock`` says so, and there is no ``relative``. ``known``: there is a time at all."""

    clock: str
    relative: str = ""
    known: bool = False


def local(seconds: float) -> datetime:
    """Return a time in this machine's time zone."""
    return datetime.fromtimestamp(seconds, timezone.utc).astimezone()


def wait_text(wait: WaitRange | None, now: datetime, t: Translator) -> WaitText:
    """Say a range: ``probably 14:10 to 14:50``, ``in 25 to 65 min``."""
    if wait is None:
        return WaitText("")
    if wait.earliest is None:
        return WaitText(t.say(wait.say))
    at = now.timestamp()
    low, high = _rounded(wait.earliest, wait.latest, at)
    if high is None:
        clock = t(N_("Probably not before {time}"), time=t.moment(local(low), now))
        return WaitText(clock, t(N_("in more than {span}"), span=span_text(low - at, t)), known=True)
    if high <= at + MINUTE:
        return WaitText(t(N_("Probably within a minute")), known=True)
    first, last = t.moment(local(max(low, at)), now), t.moment(local(high), now)
    if first == last:
        return WaitText(t(N_("Probably at about {time}"), time=last), _within(low - at, high - at, t), known=True)
    return WaitText(
        t(N_("Probably {earliest} to {latest}"), earliest=first, latest=last),
        _within(low - at, high - at, t),
        known=True,
    )


def _rounded(earliest: float, latest: float | None, at: float) -> tuple[float, float | None]:
    step = 5 * MINUTE if (latest or earliest) - at >= COARSE_FROM_S else MINUTE
    low = math.floor(earliest / step) * step
    return low, None if latest is None else math.ceil(latest / step) * step


def _within(low: float, high: float, t: Translator) -> str:
    """Return both ends in one unit: ``in 25 to 65 min``."""
    size, template = next(
        (size, template)
        for size, most, template in (
            (MINUTE, 100 * MINUTE, N_("in {low} to {high} min")),
            (HOUR, 48 * HOUR, N_("in {low} to {high} h")),
            (DAY, math.inf, N_("in {low} to {high} days")),
        )
        if high <= most
    )
    first, last = max(0, math.floor(low / size)), math.ceil(high / size)
    if first == 0:
        return t(N_("in at most {span}"), span=span_text(last * size, t))
    return t(template, low=first, high=last) if first < last else t(N_("in {span}"), span=span_text(last * size, t))


def span_text(seconds: float, t: Translator) -> str:
    """Return how long something is, in the unit that suits: ``9 min``, ``3 h``, ``2 days``."""
    if seconds < 100 * MINUTE:
        return t(N_("{minutes} min"), minutes=max(1, round(seconds / MINUTE)))
    if seconds < 48 * HOUR:
        return t(N_("{hours} h"), hours=round(seconds / HOUR))
    return t(N_("{days} days"), days=round(seconds / DAY))


def left_text(seconds: float, t: Translator) -> str:
    """Return how long is left, to the second: ``9 min 12 s``; with hours, to the minute."""
    whole = max(0, math.ceil(seconds))
    if whole < MINUTE:
        return t(N_("{seconds} s"), seconds=whole)
    if whole < HOUR:
        return t(N_("{minutes} min {seconds} s"), minutes=whole // MINUTE, seconds=whole % MINUTE)
    return t(N_("{hours} h {minutes} min"), hours=whole // HOUR, minutes=whole % HOUR // MINUTE)


@dataclass(frozen=True)
class Countdown:
    """Until when at least, and how long that is from now; a script counts on from ``left_s``, without it the page is
    loaded. Where that is 0 it is over, though what was to happen then has not happened yet."""

    until: datetime
    left_s: int
    clock: str
    left: str


def countdown(until: float, now: datetime, t: Translator) -> Countdown:
    """Return what a page shows of a deadline."""
    left = max(0.0, until - now.timestamp())
    return Countdown(local(until), math.ceil(left), t.moment(local(until), now), left_text(left, t))
