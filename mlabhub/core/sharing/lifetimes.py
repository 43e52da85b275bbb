"""How likely it is that something ends soon that has run for some time: learned from what ended, by its age.

Guarantees: total; without any history, what has run for long is taken to run for as long again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

EDGES = tuple(60.0 * 2.0**step for step in range(15))
"""Ages in seconds, from a minute to eleven days, between which the same rate is assumed."""

BELIEF = 10.0
"""How many ends at each age the assumption is worth that is made without history."""

LATE = 0.97
"""What each end leaves of the weight of those before it at the same age."""


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """For each span of age: how many ended in it, and how many seconds were run in it."""

    ends: tuple[float, ...] = (0.0,) * (len(EDGES) + 1)
    seconds: tuple[float, ...] = (0.0,) * (len(EDGES) + 1)

    def ended(self, age: float, by_itself: bool) -> Lifetimes:
        """Return it with one more that is over; one that was taken back only tells that it ran for so long."""
        ends, seconds = list(self.ends), list(self.seconds)
        begin = 0.0
        for index, edge in enumerate((*EDGES, math.inf)):
            last = age <= edge
            seconds[index] = seconds[index] * LATE + max(0.0, min(age, edge) - begin)
            ends[index] = ends[index] * LATE + (1.0 if last and by_itself else 0.0)
            if last:
                break
            begin = edge
        return Lifetimes(tuple(ends), tuple(seconds))

    def rate(self, age: float) -> float:
        """Return how many of those that have run for ``age`` seconds end in the next second."""
        index = _span(age)
        usual = max(age, EDGES[0])
        return (self.ends[index] + BELIEF) / (self.seconds[index] + BELIEF * usual)


def _span(age: float) -> int:
    return min(len(EDGES), (math.ceil(age / EDGES[0]) - 1).bit_length()) if age > EDGES[0] else 0
