"""Measurements over time, as Prometheus keeps them, and for what stretch they speak.

Guarantees: pure; a measurement that is no number counts as none. A measurement speaks until the next one is due: how
often they come is seen from themselves, and one that is overdue by far leaves a hole.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mlabhub.core.readings import known
from mlabhub.messages import N_, Message

Point = tuple[float, float]
OVERDUE = 2.5

NONE = N_("Prometheus has no measurement of {what}.")
NO_NUMBER = N_("What Prometheus has of {what} is no number.")
ONE = N_("Prometheus has one measurement of {what} so far, and the next one is still to come.")
OLD = N_("Prometheus's newest measurement of {what} is {seconds} s old.")
HOLE = N_("Prometheus has no measurement of {what} for {seconds} s.")


@dataclass(frozen=True)
class Series:
    """One series: labels, and points by time."""

    labels: Mapping[str, str]
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Terms:
    """For how long a round speaks, and how far apart measurements may be: never more than the one, always the other."""

    window_s: float = 60.0
    longest_gap_s: float = 90.0
    shortest_gap_s: float = 15.0

    @property
    def range_s(self) -> float:
        """How far back measurements are asked for."""
        return self.window_s + self.longest_gap_s


def pod_of(series: Series) -> tuple[str, str]:
    """Return the pod that a series is about, and its namespace.

    Where a scrape has labels of its own by these names, those of what was measured are called exported.
    """
    labels = series.labels
    prefix = "exported_" if "exported_pod" in labels else ""
    return labels.get(f"{prefix}pod", ""), labels.get(f"{prefix}namespace", "")


def whole(
    points: Iterable[Point], terms: Terms, now: float, *, started: float, what: str, most: float = math.inf
) -> tuple[Point, ...] | Message:
    """Return the points that speak for the window: those in it, and the last one before; or why it is not whole.

    What was measured before ``started`` is of something else, and what is more than ``most`` is no number.
    """
    since = [point for point in points if point[0] >= started]
    found: dict[float, float] = {}
    for t, value in since:
        if known(value, most) is not None:
            found[t] = max(value, found.get(t, value))
    if since and not found:
        return Message.of(NO_NUMBER, what=what)
    numbers = sorted(found.items())
    begin = max(now - terms.window_s, started)
    reason = _against(numbers, terms, begin, now, what)
    if reason is not None:
        return reason
    earlier = [point for point in numbers if point[0] <= begin]
    return (*earlier[-1:], *(point for point in numbers if point[0] > begin))


def _against(points: Sequence[Point], terms: Terms, begin: float, now: float, what: str) -> Message | None:
    """Return why points do not speak for all the time from ``begin`` until now; None if they do."""
    if not points:
        return Message.of(NONE, what=what)
    gap = _longest_gap(points, terms)
    age = now - points[-1][0]
    if age > gap:
        return Message.of(OLD, what=what, seconds=round(age))
    if len(points) == 1:
        return Message.of(ONE, what=what)
    apart = [later - earlier for (earlier, _), (later, _) in pairwise(points) if later > begin]
    hole = max((one for one in apart if one > gap), default=0.0)
    if points[0][0] > begin + terms.shortest_gap_s:
        hole = max(hole, points[0][0] - begin)
    return Message.of(HOLE, what=what, seconds=round(hole)) if hole else None


def _longest_gap(points: Sequence[Point], terms: Terms) -> float:
    """Return how far apart measurements may be that usually come as these do."""
    apart = [later - earlier for (earlier, _), (later, _) in pairwise(points)]
    if len(apart) < 2:
        return terms.longest_gap_s
    return min(terms.longest_gap_s, max(terms.shortest_gap_s, OVERDUE * statistics.median(apart)))
