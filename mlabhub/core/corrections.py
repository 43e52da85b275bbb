"""Forecasts corrected by how good they were: ranges are made wider, or narrower, until eight of ten starts are in them.

Guarantees: pure; with fewer than `LEAST` starts to learn from nothing is changed; a corrected range is ordered and
never in the past; of two ranges the later one stays the later one.

What a forecast cannot know is who will come and be put before those who wait. How much that matters is seen in what
was forecast before: by which factor the far ends of the last `LATEST` forecasts had to be further away for nine of ten
starts to be before them, and the near ends nearer for nine of ten to be after them. Who waits still, beyond the end of
their range, counts as having started now at the earliest. (This is conformal prediction with a sliding window, made of
ratios instead of residuals.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

LEAST = 20
LATEST = 100
SHORT_S = 60.0
"""Distances below it are taken as that long, so that ratios of seconds say nothing."""
SHARE = 0.1
_LOW = (0.0, 1.0)
_HIGH = (0.7, 8.0)


class Range(NamedTuple):
    """From when until when something probably starts; None where nobody can tell."""

    earliest: float | None
    latest: float | None


UNKNOWN = Range(None, None)


class Reckoned(NamedTuple):
    """What was reckoned at ``asked``, before any correction, and when it started, or that it waits still at least."""

    asked: float
    reckoned: Range
    started: float


@dataclass(frozen=True, slots=True)
class Correction:
    """By which factors the near and the far end of a range are moved, as seen from now."""

    low: float = 1.0
    high: float = 1.0

    def apply(self, found: Range, now: float) -> Range:
        """Return a range corrected."""
        if self == NONE:
            return found
        earliest, latest = found
        if earliest is not None:
            earliest = now + self.low * max(0.0, earliest - now)
        if latest is not None:
            latest = now + self.high * max(SHORT_S, latest - now)
            earliest = latest if earliest is None else min(earliest, latest)
        return Range(earliest, latest)


NONE = Correction()


def learn(over: Sequence[Reckoned], waiting: Sequence[Reckoned] = ()) -> Correction:
    """Return the correction that the last forecasts call for; ``over`` are those that started, the last one last.

    Of ``waiting`` those count who wait beyond their range; their ``started`` is now.
    """
    recent = [one for one in over[-LATEST:] if one.reckoned.latest is not None and one.reckoned.earliest is not None]
    if len(recent) < LEAST:
        return NONE
    recent += [one for one in waiting if one.reckoned.latest is not None and one.started > one.reckoned.latest]
    high = _share([_ratio(one, one.reckoned.latest) for one in recent], 1 - SHARE)
    low = _share([_ratio(one, one.reckoned.earliest) for one in recent], SHARE)
    return Correction(min(_LOW[1], max(_LOW[0], low)), min(_HIGH[1], max(_HIGH[0], high)))


def _ratio(one: Reckoned, end: float | None) -> float:
    assert end is not None
    return max(0.0, one.started - one.asked) / max(SHORT_S, end - one.asked)


def _share(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    place = min(max(share * (len(ordered) + 1) - 1, 0.0), len(ordered) - 1.0)
    low = int(place)
    return ordered[low] + (ordered[min(low + 1, len(ordered) - 1)] - ordered[low]) * (place - low)
