"""On which machine room is kept for one that finds none, so that it is not overtaken for ever.

Guarantees: such a machine could hold it; that one is taken which is likely to have room first.
"""

from __future__ import annotations

from mlabhub.core.sharing.lifetimes import Lifetimes
from mlabhub.core.sharing.model import Run, Waiter
from mlabhub.core.sharing.places import Hold, Room, Rooms
from mlabhub.core.sharing.reclaims import Amounts, covers

AT_ONCE = 60.0
"""Within how many seconds one that is told to stop already is gone."""


def drain(rooms: Rooms, waiter: Waiter, gpu_types: tuple[str | None, ...], lives: Lifetimes, now: float) -> Hold | None:
    """Keep what is free on the best machine for a waiter; None if no machine could hold it."""
    best: tuple[float, int, str] | None = None
    found: tuple[Room, str | None] | None = None
    for gpu_type in gpu_types:
        for room in rooms.possible(waiter, gpu_type):
            if waiter.ask.gpus and any(hold.gpus for hold in room.holds):
                continue  # it is kept for somebody already
            free = room.gpus[gpu_type] if gpu_type is not None else 0
            key = (_until_room(room, gpu_type, waiter, lives, now), -free, room.machine.name)
            if best is None or key < best:
                best, found = key, (room, gpu_type)
    return None if found is None else found[0].hold(waiter.ask, found[1])


def remaining(run: Run, lives: Lifetimes, now: float) -> float:
    """Return how many seconds something is likely to run on."""
    if run.ending:
        return AT_ONCE
    likely = 1 / lives.rate(max(0.0, now - run.started))
    if run.notice is not None:
        likely = min(likely, max(AT_ONCE, run.notice.deadline - now))
    return likely if run.ends_by is None else max(0.0, min(likely, run.ends_by - now))


def _until_room(room: Room, gpu_type: str | None, waiter: Waiter, lives: Lifetimes, now: float) -> float:
    """Return after how many seconds a machine is likely to have room, if it gets nothing new."""
    coming: Amounts = (0, 0, 0)
    at = 0.0
    for after, run in sorted(((remaining(run, lives, now), run) for run in room.runs), key=lambda one: one[0]):
        if covers(room, gpu_type, waiter.ask, coming):
            break
        at = after
        gpus = run.ask.gpus if run.ask.gpu_type == gpu_type else 0
        coming = (coming[0] + gpus, coming[1] + run.ask.cpu, coming[2] + run.ask.memory)
    return at
