"""How long servers last: what they lasted before, and so what is left of those that run.

Guarantees: pure and deterministic; the order in which runs were added does not matter; adding and taking away cost the
same however much is known; a pool takes a few hundred bytes however many runs are in it. Without history the answer is
None, never a number.

How it is computed. Durations are counted in buckets, each `RATIO` times as long as the one before, so that a tail of
any length is kept. The hazard of a bucket, the share of those that reached it and ended in it, is Kaplan's and
Meier's estimate: what still runs, or was cut short, counts among those that reached it, as long as it ran. There are
four pools: all (with and without GPUs apart), of a group, of a profile, of a person with a profile. Each one's hazard
is drawn towards that of the one before as if `WEIGHT` runs of that had been seen, so that few runs say little and many
say all.
Beyond the longest tenth the hazard by bucket is drawn towards that of the whole tail (a Pareto tail, by Hill's
estimator on buckets); nothing is said beyond `BEYOND` times the longest that was ever seen.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

RATIO = 1.2
SHORTEST_S = 30.0
BUCKETS = 72
"""The last one ends after 150 days."""
WEIGHT = 6.0
LEAST = 5
"""So many runs with (or without) GPUs have to be over before anything is said of others of that kind."""
BEYOND = 2.0

_LOG = math.log(RATIO)
_TAIL = 0.9
_TAIL_WEIGHT = 3.0
_TAIL_HAZARDS = (0.02, 0.9)

Key = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """Whose server it is, and of what kind: what its duration is guessed by. An unknown profile is empty."""

    user: str
    group: str | None
    profile: str
    gpus: bool

    def pools(self) -> tuple[Key, ...]:
        """Return the pools that it belongs to, the most general first."""
        general: tuple[Key, ...] = ((self.gpus,), (self.gpus, "group", self.group))
        if not self.profile:
            return general
        return (*general, ("profile", self.profile), ("person", self.user, self.profile))


@dataclass(frozen=True, slots=True)
class Curve:
    """A distribution of durations: the cumulative hazard at the buckets' ends, and the longest it can speak of."""

    hazard: Sequence[float]
    most_s: float

    def remaining(self, age: float, spent: Sequence[float]) -> list[float]:
        """Return how much longer it lasts, in seconds, having run for ``age``: for each of the rising ``spent``.

        One of ``spent`` is minus the logarithm of the share that still runs then; `inf` where nobody can tell.
        """
        hazard, most, age = self.hazard, self.most_s, max(age, 0.0)
        position = _position(age)
        base = self._at(position)
        low, answer = min(int(position), BUCKETS), []
        for one in spent:
            target = base + one
            low = bisect_right(hazard, target, low) - 1
            lasted = math.inf
            if low < BUCKETS:
                lasted = _duration(low + (target - hazard[low]) / (hazard[low + 1] - hazard[low]))
            answer.append(max(lasted - age, 0.0) if lasted <= most else math.inf)
        return answer

    def _at(self, position: float) -> float:
        low = min(int(position), BUCKETS - 1)
        return self.hazard[low] + (position - low) * (self.hazard[low + 1] - self.hazard[low])


class Durations:
    """What past runs lasted."""

    def __init__(self) -> None:
        self._ended: dict[Key, Sequence[int]] = {}
        self._cut: dict[Key, Sequence[int]] = {}

    def add(self, kind: Kind, lasted: float, *, cut: bool = False) -> None:
        """Count a run that is over; of one that was ``cut`` short, it is only known that it lasts for so long."""
        _change(self._cut if cut else self._ended, kind, lasted, 1)

    def remove(self, kind: Kind, lasted: float, *, cut: bool = False) -> None:
        """Forget a run that was added, when it is too long ago."""
        _change(self._cut if cut else self._ended, kind, lasted, -1)

    def ended(self) -> dict[Key, Sequence[int]]:
        """Return how many runs ended in each bucket of each pool, and behind the last one how many in all."""
        return dict(self._ended)

    def cut(self) -> dict[Key, dict[int, int]]:
        """Return how many runs were cut short in each bucket of each pool where any was."""
        return {
            key: {bucket: pool[bucket] for bucket in range(BUCKETS) if pool[bucket]} for key, pool in self._cut.items()
        }


def _change(pools: dict[Key, Sequence[int]], kind: Kind, lasted: float, sign: int) -> None:
    bucket = _bucket(lasted)
    for key in kind.pools():
        pool = array("q", pools.get(key, _NONE))  # never changed: whoever looks at it may go on
        pool[bucket] += sign
        pool[BUCKETS] += sign
        if pool[BUCKETS]:
            pools[key] = pool
        else:
            del pools[key]


class Lasting:
    """The same as it was at one moment, with what ran then: ``running`` are these, and for how long they had run."""

    def __init__(self, durations: Durations, running: Iterable[tuple[Kind, float]] = ()):
        self._pools = durations.ended()
        self._censored = durations.cut()
        self._oldest = 0.0
        self._hazards: dict[tuple[Key, ...], list[float]] = {}
        self._sums: dict[tuple[Key, ...], Curve] = {}
        self._curves: dict[Kind, Curve | None] = {}
        for kind, age in running:
            self._oldest = max(self._oldest, age)
            bucket = _bucket(age)
            for key in kind.pools():
                pool = self._censored.setdefault(key, {})
                pool[bucket] = pool.get(bucket, 0) + 1

    def curve(self, kind: Kind) -> Curve | None:
        """Return how long one of a kind lasts; None while too little is known of its like."""
        if kind not in self._curves:
            self._curves[kind] = self._make(kind)
        return self._curves[kind]

    def _make(self, kind: Kind) -> Curve | None:
        root, *others = kind.pools()
        if self._count(root) < LEAST:
            return None
        chain = [root]
        for key in others:
            if self._count(key) or key in self._censored:
                chain.append(key)
        link = tuple(chain)  # a profile's pool is drawn towards one for each group that uses it
        if link not in self._sums:
            total, sums = 0.0, [0.0]
            for hazard in self._hazard(link):
                total -= math.log1p(-hazard)
                sums.append(total)
            self._sums[link] = Curve(sums, BEYOND * max(self._longest(root), self._oldest))
        return self._sums[link]

    def _hazard(self, link: tuple[Key, ...]) -> list[float]:
        known = self._hazards.get(link)
        if known is None:
            known = self._drawn(link[-1], self._hazard(link[:-1])) if len(link) > 1 else self._root(link[-1])
            self._hazards[link] = known
        return known

    def _count(self, key: Key) -> int:
        return self._pools.get(key, _NONE)[BUCKETS]

    def _longest(self, root: Key) -> float:
        pool = self._pools[root]
        return _duration(max([*self._censored.get(root, ()), *(one for one in range(BUCKETS) if pool[one])]) + 1)

    def _counts(self, key: Key) -> list[tuple[float, float]]:
        """Return for each bucket how many ended in it, and how many reached it."""
        ended = self._pools.get(key, _NONE)
        censored = self._censored.get(key, {})
        reached = 0.0
        counts: list[tuple[float, float]] = []
        for bucket in range(BUCKETS - 1, -1, -1):
            died, lived = ended[bucket], censored.get(bucket, 0)
            reached += died
            counts.append((died, reached + lived / 2))
            reached += lived
        counts.reverse()
        return counts

    def _root(self, key: Key) -> list[float]:
        counts = self._counts(key)
        died = sum(one for one, _ in counts)
        seen, first = 0.0, BUCKETS
        for bucket, (one, _) in enumerate(counts):
            seen += one
            if seen >= _TAIL * died:
                first = bucket
                break
        reached = sum(at_risk for _, at_risk in counts[first:])
        low, high = _TAIL_HAZARDS
        tail = min(high, max(low, sum(one for one, _ in counts[first:]) / reached))
        return [
            (one + _TAIL_WEIGHT * tail) / (at_risk + _TAIL_WEIGHT) if bucket >= first else one / at_risk
            for bucket, (one, at_risk) in enumerate(counts)
        ]

    def _drawn(self, key: Key, general: Sequence[float]) -> list[float]:
        """Return the hazards of a pool, drawn towards more general ones."""
        ended, censored = self._pools.get(key, _NONE), self._censored.get(key) or {}
        reached, hazards = WEIGHT, [0.0] * BUCKETS
        for bucket in range(BUCKETS - 1, -1, -1):
            died = ended[bucket]
            reached += died
            if bucket in censored:
                lived = censored[bucket]
                hazards[bucket] = (died + WEIGHT * general[bucket]) / (reached + lived / 2)
                reached += lived
            else:
                hazards[bucket] = (died + WEIGHT * general[bucket]) / reached
        return hazards


_NONE: Sequence[int] = (0,) * (BUCKETS + 1)


def _bucket(duration: float) -> int:
    return min(int(_position(max(duration, 0.0))), BUCKETS - 1)


def _position(duration: float) -> float:
    """Return where a duration is among the buckets: 2.5 is in the middle of the third."""
    return duration / SHORTEST_S if duration <= SHORTEST_S else 1 + math.log(duration / SHORTEST_S) / _LOG


def _duration(position: float) -> float:
    return position * SHORTEST_S if position <= 1 else SHORTEST_S * math.exp((position - 1) * _LOG)
