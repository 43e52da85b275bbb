"""When room comes by itself: what is likely to end, and when.

Guarantees: what is told to stop is gone soon; nothing runs longer than it may.
"""

from __future__ import annotations

from collections.abc import Iterable

from mlabhub.core.sharing.lifetimes import Lifetimes
from mlabhub.core.sharing.model import Ask, Run
from mlabhub.core.sharing.places import Amounts, Room

AT_ONCE = 60.0
"""Within how many seconds one that is told to stop already is gone."""


def remaining(run: Run, lives: Lifetimes, now: float) -> float:
    """Return how many seconds something is likely to run on."""
    if run.ending:
        return AT_ONCE
    likely = 1 / lives.rate(max(0.0, now - run.started))
    if run.notice is not None:
        likely = min(likely, max(AT_ONCE, run.notice.deadline - now))
    return likely if run.ends_by is None else max(0.0, min(likely, run.ends_by - now))


def until_room(room: Room, gpu_type: str | None, ask: Ask, lives: Lifetimes, now: float) -> float:
    """Return after how many seconds a machine is likely to have room, if it gets nothing new."""
    coming: Amounts = (0, 0, 0)
    at = 0.0
    for after, run in sorted(((remaining(run, lives, now), run) for run in room.runs), key=lambda one: one[0]):
        if covers(room, gpu_type, ask, coming):
            break
        at = after
        gpus = run.ask.gpus if run.ask.gpu_type == gpu_type else 0
        coming = (coming[0] + gpus, coming[1] + run.ask.cpu, coming[2] + run.ask.memory)
    return at


def add_up(gpu_type: str | None, runs: Iterable[Run]) -> Amounts:
    """Return the GPUs of a type, the CPU and the memory of runs."""
    gpus = cpu = memory = 0
    for run in runs:
        gpus += run.ask.gpus if run.ask.gpu_type == gpu_type else 0
        cpu += run.ask.cpu
        memory += run.ask.memory
    return gpus, cpu, memory


def covers(room: Room, gpu_type: str | None, ask: Ask, coming: Amounts) -> bool:
    """Whether an ask fits with what is coming free."""
    return (
        (gpu_type is None or room.gpus.get(gpu_type, 0) + coming[0] >= ask.gpus)
        and room.cpu + coming[1] >= ask.cpu
        and room.memory + coming[2] >= ask.memory
    )
