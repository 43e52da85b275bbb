"""The order in which a server's rows are replayed, and how far apart they usually are.

Guarantees: a row that came late or twice stands where its time says; a clock that was set back is told from that, and
its rows stay where they are, for they are later than those before them whatever they say. Linear but for the sorting.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import pairwise

FOLLOWING = 8
"""So many rows on end that are older than the newest, each no older than the one before: the clock was set back."""
MOST_INTERVALS = 2_000
LONGEST_TICK_S = 900.0
"""Who looks more seldom does not know what happened in between."""


def arrange(times: Sequence[float]) -> list[int] | None:
    """Return the rows' numbers in order; None where they stand in it already."""
    if all(earlier <= later for earlier, later in pairwise(times)):
        return None
    order: list[int] = []
    stretch: list[int] = []
    newest = times[0]
    for number, t in enumerate(times):
        if t < newest and _is_set_back(times, number, newest):
            order += sorted(stretch, key=times.__getitem__)
            stretch, newest = [], t
        stretch.append(number)
        newest = max(newest, t)
    return order + sorted(stretch, key=times.__getitem__)


def _is_set_back(times: Sequence[float], number: int, newest: float) -> bool:
    """Whether the clock goes on from this row, and does not return to where it was."""
    following = times[number : number + FOLLOWING]
    if len(following) < FOLLOWING or not following[0] <= following[1] <= following[2]:
        return False
    return following[-1] < newest and all(earlier <= later for earlier, later in pairwise(following))


def usual_tick(times: Sequence[float]) -> float:
    """Return how many seconds rows in order are usually apart: the median of the first ones; 0 where there is none."""
    intervals = array("d", (later - earlier for earlier, later in pairwise(times[: MOST_INTERVALS + 1])))
    apart = sorted(one for one in intervals if one > 0)
    return apart[len(apart) // 2] if apart else 0.0


def hole_for(tick: float, hole_s: float) -> float:
    """Return how long nothing may be known where rows come each ``tick`` seconds and speak for all the time between."""
    return hole_s if tick > LONGEST_TICK_S else max(hole_s, 1.1 * tick)
