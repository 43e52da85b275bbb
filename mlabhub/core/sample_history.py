"""Samples of long ago: coarser the older they are, and daily sums in the end.

Guarantees: pure. A coarser sample never says more than those that it was made of: where one of them is missing or not
known, it is known only as far as work was seen (`readings.fold`). Every second that a server ran stands in exactly one
day's sums, in UTC, as known or not.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from mlabhub.core.readings import PROOF_PERCENT, TICK_S, Reading, Sample, Watched, fold

COARSE_S = 300.0
DAY_S = 86_400.0
FINE_FOR_S = 2 * DAY_S
COARSE_FOR_S = 30 * DAY_S


@dataclass(frozen=True)
class DaySums:
    """What one server did in one day, in seconds: of all its GPUs together, and of its cores.

    Of ``gpu_s`` that its GPUs were held, ``known_s`` was measured, and ``used_s`` had work in it (of its samples, those
    with at least `PROOF_PERCENT`). ``core_s`` are the seconds of one core in use, over the ``cores_known_s`` of its
    time that were measured.
    """

    server: str
    day: float
    """Its beginning, in seconds since the epoch."""
    gpu_s: float = 0.0
    known_s: float = 0.0
    used_s: float = 0.0
    core_s: float = 0.0
    cores_known_s: float = 0.0


def aligned(t: float, step_s: float) -> float:
    """Return the end of the step that a sample belongs to."""
    return math.ceil(t / step_s) * step_s


def coarser(samples: Iterable[Sample]) -> tuple[Sample, ...]:
    """Return one sample for each `COARSE_S` and launch, by time."""
    bins: dict[tuple[str, float], list[Sample]] = defaultdict(list)
    for one in samples:
        bins[one.launch_id, aligned(one.t, COARSE_S)].append(one)
    made = (_coarse(sorted(group, key=lambda one: one.t), end) for (_, end), group in bins.items())
    return tuple(sorted(made, key=lambda one: (one.t, one.server)))


def _coarse(group: list[Sample], end: float) -> Sample:
    first, last = group[0], group[-1]
    watched = Watched(first.server, first.launch_id, ("",) * max(one.gpus for one in group))
    readings = [
        Reading(
            one.server,
            one.launch_id,
            aligned(one.t, TICK_S),
            one.gpu_util,
            one.gpu_mem_used,
            one.cpu_cores,
            span_s=TICK_S,
        )
        for one in group
    ]
    more: dict[str, float | int | bool] = {}
    for one in group:
        more.update({key: max(value, more.get(key, value)) for key, value in one.more.items() if key != "input_age"})
    if "input_age" in last.more:
        more["input_age"] = last.more["input_age"]
    return replace(fold(watched, readings, begin=end - COARSE_S, end=end), reasons=(), more=more)


def day_sums(samples: Iterable[Sample], step_s: float = COARSE_S) -> tuple[DaySums, ...]:
    """Return the sums of each server and day, of samples that speak for so many seconds each."""
    found: dict[tuple[str, float], DaySums] = {}
    for one in samples:
        day = (aligned(one.t, step_s) - step_s) // DAY_S * DAY_S
        known = [value for value in one.gpu_util if value is not None]
        part = DaySums(
            one.server,
            day,
            gpu_s=one.gpus * step_s,
            known_s=len(known) * step_s,
            used_s=sum(value >= PROOF_PERCENT for value in known) * step_s,
            core_s=(one.cpu_cores or 0.0) * step_s,
            cores_known_s=0.0 if one.cpu_cores is None else step_s,
        )
        key = (one.server, day)
        found[key] = added(found[key], part) if key in found else part
    return tuple(found[key] for key in sorted(found, key=lambda key: (key[1], key[0])))


def added(one: DaySums, other: DaySums) -> DaySums:
    """Return the sums of both."""
    return replace(
        one,
        gpu_s=one.gpu_s + other.gpu_s,
        known_s=one.known_s + other.known_s,
        used_s=one.used_s + other.used_s,
        core_s=one.core_s + other.core_s,
        cores_known_s=one.cores_known_s + other.cores_known_s,
    )
