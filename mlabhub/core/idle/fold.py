"""The rows of a server read one by one: busy, idle since when, or not known.

Guarantees: reading a row twice is impossible, and each costs the same however long the server runs. Whatever order rows
come in, whatever is missing and however the clock steps, the time that counts as idle is never longer than the time
for which idleness was seen: a hole, or an unknown stretch of the same length, begins it anew; a busy row that comes
late counts where it belongs; after a step back of the clock nothing counts as idle until the times are past at which
the server was last seen busy.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass

from mlabhub.core.idle.samples import NAN, NO_GPU, Samples

UNKNOWN, IDLE, BUSY = 0, 1, 2
LATE_S = 600.0
"""A row that is older than the one before it by more than this came late, or the clock was set back."""
TOUCHED_S = 300.0
"""An input that is older when it is reported says nothing of now."""
SHORTEST_GAP_S = 300.0
"""A shorter pause is a part of the work."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What counts as use.

    A GPU is at work from ``busy_percent`` on, and not below ``noise_percent``: a desktop's screen and whoever looks at
    the GPU cause that much. In between the processors tell: with ``cpu_cores`` in use, or where that is not known, it
    is at work. Without a GPU the processors alone tell. ``hole_s`` is how long nothing may be known.
    """

    busy_percent: float = 10.0
    noise_percent: float = 3.0
    cpu_cores: float = 0.4
    hole_s: float = 330.0
    by_activity: bool = False


class Fold:
    """What the rows that were read so far come to. Times are those that the rows say."""

    __slots__ = (
        "activity",
        "back",
        "busy_t",
        "clean",
        "gaps",
        "held_t",
        "idle_since",
        "memo",
        "row",
        "status",
        "t",
        "thresholds",
        "unknown_since",
    )

    def __init__(self, thresholds: Thresholds) -> None:
        self.thresholds = thresholds
        self.row = 0
        self.status = UNKNOWN
        self.t = -math.inf
        self.back = NAN
        self.idle_since = math.inf
        self.unknown_since = math.inf
        self.busy_t = -math.inf
        self.held_t = -math.inf
        self.activity = -math.inf
        self.clean = False
        self.gaps = array("f")
        self.memo: tuple[float, float] | None = None

    def read(self, samples: Samples) -> None:
        """Read the rows that came since."""
        first = max(self.row - samples.dropped, 0)
        end = samples.seen
        for index in range(first, end):
            self._row(samples, index)
        self.row = samples.dropped + end

    def _row(self, samples: Samples, index: int) -> None:
        t = samples.t[index]
        status = self._status(samples, index)
        self._untrusted(samples, index, t, status)
        if t < self.t - LATE_S and not self._is_step(t):
            self.back = t
            self._late(t, status)
        elif self.t - LATE_S <= t < self.t:
            self._late(t, status)
        else:
            self._next(t, status)

    def _is_step(self, t: float) -> bool:
        """Whether the row before was as far back, so that it is the clock that was set back."""
        return 0.0 <= t - self.back <= self.thresholds.hole_s

    def _late(self, t: float, status: int) -> None:
        if status == BUSY and t > self.busy_t:
            self.busy_t = t
            self.clean = False
            if self.idle_since < t:
                self.idle_since = t

    def _next(self, t: float, status: int) -> None:
        hole = t - self.t > self.thresholds.hole_s
        if hole:
            self.idle_since, self.clean = math.inf, False
            self.unknown_since = math.inf if self.t == -math.inf else self.t
        before = self.t if self.t != -math.inf else t
        self.t, self.back = t, NAN
        if status == BUSY:
            if self.clean and t - self.busy_t >= SHORTEST_GAP_S:
                self.gaps.append(t - self.busy_t)
            self.busy_t = max(self.busy_t, t)
            self.idle_since, self.unknown_since, self.clean = math.inf, math.inf, True
        elif status == IDLE:
            if t - self.unknown_since > self.thresholds.hole_s:
                self.idle_since, self.clean = math.inf, False
            if self.idle_since == math.inf:
                self.idle_since = max(t, self.busy_t) if not self.clean else self.busy_t
            self.unknown_since = math.inf
        elif self.unknown_since == math.inf:
            self.unknown_since = before  # nobody knows of the time since the last row that was known, either
        self.status = status

    def _status(self, samples: Samples, index: int) -> int:
        use = self.thresholds
        if use.by_activity:
            return UNKNOWN if math.isnan(samples.activity[index]) else IDLE
        known, cpu = samples.known[index], samples.cpu[index]
        if known == NO_GPU:
            return UNKNOWN if math.isnan(cpu) else BUSY if cpu >= use.cpu_cores else IDLE
        highest = samples.gpu[index]
        if highest >= use.busy_percent or (highest >= use.noise_percent and not cpu < use.cpu_cores):
            return BUSY
        return UNKNOWN if known or math.isnan(highest) else IDLE

    def _untrusted(self, samples: Samples, index: int, t: float, status: int) -> None:
        """Keep when the server was last used by what it says of itself, or by its processors alone."""
        touched = samples.input[index]
        if t - TOUCHED_S <= touched <= t and touched > self.held_t:
            self.held_t = touched
        at_work = samples.work[index] > 0 or (status == IDLE and samples.cpu[index] >= self.thresholds.cpu_cores)
        if at_work and t > self.held_t:
            self.held_t = t
        activity = samples.activity[index]
        if activity > self.activity:
            self.activity = min(activity, t) if not self.thresholds.by_activity else activity


def fold_of(samples: Samples, thresholds: Thresholds) -> Fold:
    """Return what a server's rows come to; what was read before is not read again."""
    fold = samples.folds.get(thresholds)
    if fold is None:
        fold = samples.folds[thresholds] = Fold(thresholds)
    assert isinstance(fold, Fold)
    if fold.row < samples.dropped + samples.seen:
        fold.read(samples)
    return fold
