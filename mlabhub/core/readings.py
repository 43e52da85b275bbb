"""What samplers read of servers, and how the readings of a minute become one sample.

Guarantees: pure; a value that is not known is None, and never zero. A stretch of the minute in which nothing was read
makes its values unknown, except that what proves work is kept: use of a GPU that was seen.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mlabhub.messages import N_, Message

TICK_S = 60.0
HOLE_S = 15.0
"""How long a stretch of a tick may be of which nothing was read."""
PROOF_PERCENT = 10.0
"""Use of a GPU that is kept however little of the tick was read; less than that might be a desktop's drawing."""
MOST_VALUE = 1e18
"""What is more is no measure of anything here, and may be too long a number to reckon with."""
MOST_READINGS = 512
"""Of one launch, kept until the tick is closed."""

FURTHER = ("last_activity", "input_age", "kernels_busy", "terminals_busy", "end")
"""Keys of a sample's line that no sampler fills."""

NOT_READ = N_("For {seconds} s of this minute nothing was measured.")

Value = float | None
Values = tuple[Value, ...]


@dataclass(frozen=True)
class Watched:
    """A server that runs, as samplers find it. ``gpus`` are the UUIDs that it holds, or else as many names.

    ``container`` is its id, ``pid`` its first process; ``pod`` and ``namespace`` are a cluster's. What was measured
    before ``started`` (seconds since the epoch) was somebody else's: a pod's name is used again.
    """

    server: str
    launch_id: str
    gpus: tuple[str, ...] = ()
    container: str = ""
    pid: int | None = None
    pod: str = ""
    namespace: str = ""
    started: float = 0.0


@dataclass(frozen=True)
class Reading:
    """What one sampler read of one server: percent and bytes by GPU, in the order of those held; cores in use.

    Empty tuples: this sampler does not look at GPUs. ``t`` is in seconds since the epoch; the reading speaks for the
    ``span_s`` seconds up to then. ``reasons`` say why something is not known.
    """

    server: str
    launch_id: str
    t: float
    gpu_util: Values = ()
    gpu_mem_used: Values = ()
    cpu_cores: Value = None
    span_s: float = 0.0
    reasons: tuple[Message, ...] = ()


@dataclass(frozen=True)
class Sample:
    """One server's tick. ``gpu_util`` is the highest seen in it, ``cpu_cores`` its mean.

    ``more`` is what others know of it: the sample line's further keys (`FURTHER`).
    """

    t: float
    server: str
    launch_id: str
    gpus: int
    gpu_util: Values
    gpu_mem_used: Values
    cpu_cores: Value
    reasons: tuple[Message, ...] = ()
    more: Mapping[str, float | int | bool] = field(default_factory=dict, hash=False)

    def line(self) -> str:
        """Return it as a line of JSON, without its end."""
        told: dict[str, Any] = {
            "t": self.t,
            "server": self.server,
            "gpus": self.gpus,
            "gpu_util": list(self.gpu_util),
            "gpu_mem_used": list(self.gpu_mem_used),
            "cpu_cores": self.cpu_cores,
            **{key: self.more[key] for key in FURTHER if key in self.more},
        }
        return json.dumps(told, allow_nan=False)


def known(value: Any, most: float = math.inf) -> Value:
    """Return a number between 0 and ``most``; None for anything else, such as NaN or a library's mark for "blank"."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if 0 <= value <= most and value < MOST_VALUE else None


@dataclass
class Ticker:
    """Gathers readings, in any order, and folds those of a tick."""

    tick_s: float = TICK_S
    _kept: dict[str, deque[Reading]] = field(default_factory=dict)

    def add(self, readings: Iterable[Reading]) -> None:
        """Take readings in."""
        for one in readings:
            self._kept.setdefault(one.launch_id, deque(maxlen=MOST_READINGS)).append(one)

    def close(self, watched: Iterable[Watched], end: float) -> tuple[Sample, ...]:
        """Return the sample of each server for the tick that ends now, and forget its readings.

        A server of which nothing was read has one, too.
        """
        samples = tuple(self.sample(one, end) for one in watched)
        self.forget(end)
        return samples

    def sample(self, watched: Watched, end: float) -> Sample:
        """Return one server's sample of the tick that ends at ``end``."""
        return fold(watched, self._kept.get(watched.launch_id, ()), begin=end - self.tick_s, end=end)

    def forget(self, end: float) -> None:
        """Forget the readings of a tick and before.

        Those of later than a tick from now are of a clock that has stepped back since, and are forgotten as well.
        """
        later = {
            launch: [one for one in readings if end < one.t <= end + self.tick_s]
            for launch, readings in self._kept.items()
        }
        self._kept = {launch: deque(left, maxlen=MOST_READINGS) for launch, left in later.items() if left}

    def fresh(self, watched: Watched, now: float, since: float) -> Sample:
        """Return a sample of what was read at ``now``; use that was seen after ``since`` counts beside it.

        Unlike in a tick's, what was read before alone makes nothing known.
        """
        readings = self._kept.get(watched.launch_id, ())
        at_once = [one for one in readings if one.t == now]
        sample = fold(watched, at_once, begin=now - HOLE_S, end=now)
        lately = fold(watched, readings, begin=min(since, now - HOLE_S), end=now)
        return replace(
            sample,
            gpu_util=tuple(map(_at_least, sample.gpu_util, lately.gpu_util)),
            cpu_cores=_at_least(sample.cpu_cores, lately.cpu_cores),
        )


def _at_least(value: Value, other: Value) -> Value:
    return None if value is None else max(value, other or 0.0)


def fold(watched: Watched, readings: Iterable[Reading], *, begin: float, end: float) -> Sample:
    """Return one server's sample of a tick."""
    mine = [one for one in readings if one.launch_id == watched.launch_id and begin < one.t <= end]
    count = len(watched.gpus)
    of_gpus = [one for one in mine if len(one.gpu_util) == count]
    util = tuple(_highest(of_gpus, index, begin, end) for index in range(count))
    memory = tuple(_most_memory(mine, index, count) for index in range(count))
    cores = _mean_cores(mine, begin, end)
    reasons: tuple[Message, ...] = ()
    if cores is None or None in util or None in memory:
        told = [*(_known_at(of_gpus, index) for index in range(count)), _with_cores(mine)]
        hole = max(_hole(one, begin, end) for one in told)
        said = tuple(dict.fromkeys(reason for one in mine for reason in one.reasons))
        reasons = said or (Message.of(NOT_READ, seconds=round(hole)),)
    return Sample(end, watched.server, watched.launch_id, count, util, memory, cores, reasons)


def _known_at(readings: Iterable[Reading], index: int) -> list[Reading]:
    return [one for one in readings if one.gpu_util[index] is not None]


def _highest(readings: Sequence[Reading], index: int, begin: float, end: float) -> Value:
    told = _known_at(readings, index)
    highest = max((value for one in told if (value := one.gpu_util[index]) is not None), default=None)
    if highest is None or highest >= PROOF_PERCENT:
        return highest
    return highest if _hole(told, begin, end) <= HOLE_S else None


def _most_memory(readings: Iterable[Reading], index: int, count: int) -> Value:
    told = (one.gpu_mem_used[index] for one in readings if len(one.gpu_mem_used) == count)
    return max((value for value in told if value is not None), default=None)


def _with_cores(readings: Iterable[Reading]) -> list[Reading]:
    return [one for one in readings if one.cpu_cores is not None]


def _mean_cores(readings: Iterable[Reading], begin: float, end: float) -> Value:
    """Return the mean, each reading weighed by what of the tick it speaks for."""
    told = _with_cores(readings)
    if _hole(told, begin, end) > HOLE_S:
        return None
    weights = [min(one.span_s, one.t - begin) for one in told]
    total = sum(weights)
    if total <= 0:
        return None
    return sum((one.cpu_cores or 0.0) * weight for one, weight in zip(told, weights, strict=True)) / total


def _hole(readings: Iterable[Reading], begin: float, end: float) -> float:
    """Return the longest stretch of the tick for which none of the readings speaks."""
    longest, reached = 0.0, begin
    for start, stop in sorted((one.t - one.span_s, one.t) for one in readings):
        longest = max(longest, start - reached)
        reached = max(reached, stop)
    return max(longest, end - reached)
