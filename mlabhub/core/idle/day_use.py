"""A launch's last day in few values, for a small picture of it: how busy its GPUs and its processors were.

Guarantees: pure; a stretch of which something is not known is not known, except that work which was seen is kept: the
rule of `readings.fold`, over longer stretches. What was before the launch is not part of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mlabhub.core.idle.samples import ALL_KNOWN, NO_GPU, Samples
from mlabhub.core.readings import PROOF_PERCENT, TICK_S

DAY_S = 86_400.0
PLACES = 96
STEP_S = DAY_S / PLACES
LATE_S = 2.5 * TICK_S
"""What is older than this is not how it is now."""

Value = float | None


@dataclass(frozen=True)
class DayUse:
    """The day up to ``until``, in `PLACES` of `STEP_S` each, of which the first ones may be ``before`` it was known at
    all. ``gpu`` is the highest percentage of any GPU, empty for a launch without; ``cores`` the mean of those in use.
    ``gpu_now`` and ``cores_now`` are the last minute's.
    """

    until: float
    before: int
    gpu: tuple[Value, ...]
    cores: tuple[Value, ...]
    gpu_now: Value = None
    cores_now: Value = None


def day_use(samples: Samples, until: float) -> DayUse:
    """Return the day of a launch that ends at ``until``."""
    rows: list[list[int]] = [[] for _ in range(PLACES)]
    last = -1
    for row in range(samples.seen):
        place = PLACES - 1 - math.floor((until - samples.t[row]) / STEP_S)
        if 0 <= place < PLACES:
            rows[place].append(row)
            last = row if last < 0 or samples.t[row] >= samples.t[last] else last
    before = next((place for place, found in enumerate(rows) if found), PLACES)
    fresh = last >= 0 and until - samples.t[last] <= LATE_S
    return DayUse(
        until,
        before,
        tuple(_gpu(samples, found) for found in rows) if samples.gpus else (),
        tuple(_cores(samples, found) for found in rows),
        _gpu(samples, [last]) if fresh and samples.gpus else None,
        _cores(samples, [last]) if fresh else None,
    )


def _gpu(samples: Samples, rows: Sequence[int]) -> Value:
    rows = [row for row in rows if samples.known[row] != NO_GPU]
    known = [samples.gpu[row] for row in rows if not math.isnan(samples.gpu[row])]
    if not known:
        return None
    whole = all(samples.known[row] == ALL_KNOWN for row in rows)
    return max(known) if whole or max(known) >= PROOF_PERCENT else None


def _cores(samples: Samples, rows: Sequence[int]) -> Value:
    known = [samples.cpu[row] for row in rows if not math.isnan(samples.cpu[row])]
    return sum(known) / len(known) if known and len(known) == len(rows) else None
