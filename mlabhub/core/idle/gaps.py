"""How long servers stood idle before they were used again, and how many never were.

Guarantees: pure and deterministic; what is learned of a gap does not depend on when it is looked at. A server's own
gaps count for more than everybody's only as far as they differ by more than chance would do. Without history every
server is treated alike.

How it is computed. Around the usual wait T, from T/2 to 4 T, the chance per unit of log time that a gap ends by the
GPU being used again is taken as constant (so heavy are the tails that were seen: a Pareto law, its exponent estimated
as by Hill from ended and unended gaps together). Waiting pays as long as that chance, per hour, is above one and the
same level for all, so a server is given T times its own exponent over everybody's. An own exponent that is based on few
gaps is drawn towards everybody's, after `DOUBT` standard errors are taken off the difference.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, insort
from dataclasses import dataclass

from mlabhub.core.idle.fold import SHORTEST_GAP_S

BELOW, ABOVE = 0.5, 4.0
WEIGHT = 6.0
DOUBT = 1.5
PRIOR = (3.0, 6.0)
"""As if so many gaps had ended, of so much log time, before anything was seen."""
MOST_GAPS = 20_000
MOST_SERVERS = 20_000


@dataclass(slots=True)
class _Sum:
    ended: float = 0.0
    spent: float = 0.0

    def count(self, length: float, returned: bool, low: float, high: float) -> None:
        if length > low:
            self.spent += math.log(min(length, high) / low)
            self.ended += returned and length < high


class Gaps:
    """What was learned so far, around a usual wait of ``usual_s``. ``waiting`` is how many wait for a GPU now."""

    def __init__(self, usual_s: float) -> None:
        self.low, self.high = usual_s * BELOW, usual_s * ABOVE
        self.usual_s = usual_s
        self.waiting = 0
        self._all = _Sum(*PRIOR)
        self._own: dict[str, _Sum] = {}
        self._returned = array("f")
        self._never = array("f")
        self._gpus = self._count = 0

    def add(self, server: str, length: float, gpus: int, *, returned: bool) -> None:
        """Count a gap that is over: the server was used again, or it ended unused after ``length`` seconds."""
        if length < SHORTEST_GAP_S:
            return
        self._all.count(length, returned, self.low, self.high)
        if server not in self._own and len(self._own) >= MOST_SERVERS:
            del self._own[next(iter(self._own))]
        self._own.setdefault(server, _Sum()).count(length, returned, self.low, self.high)
        self._gpus += gpus
        self._count += 1
        lengths = self._returned if returned else self._never
        insort(lengths, length)
        if len(lengths) > MOST_GAPS:
            del self._returned[::2], self._never[::2]

    def eagerness(self, server: str) -> float:
        """Return how much likelier than for others it is that this server is used again: 1 where nobody can tell."""
        own = self._own.get(server)
        if own is None:
            return 1.0
        general = self._all.ended / self._all.spent
        expected = general * own.spent
        doubt = DOUBT * math.sqrt(max(own.ended, expected, 0.25))
        differs = own.ended - expected
        differs = max(differs - doubt, 0.0) if differs > 0 else min(differs + doubt, 0.0)
        return (expected + differs + WEIGHT * general) / (own.spent + WEIGHT) / general

    def mean_gpus(self, gpus: int) -> float:
        """Return how many GPUs a server holds that stands idle, on average; ``gpus`` where nobody knows."""
        return self._gpus / self._count if self._count else float(gpus)

    def never(self, age: float) -> tuple[int, int]:
        """Return how many of the gaps that lasted for ``age`` seconds never ended, and how many there were."""
        never = len(self._never) - bisect_left(self._never, age)
        return never, never + len(self._returned) - bisect_left(self._returned, age)

    def own_returns(self, server: str) -> int:
        """Return how often this server was used again after a gap of about the usual wait."""
        own = self._own.get(server)
        return int(own.ended) if own is not None else 0
