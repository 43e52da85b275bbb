"""On which machine room is kept for one that finds none, so that it is not overtaken for ever.

Guarantees: such a machine could hold it; that one is taken which is likely to have room first.
"""

from __future__ import annotations

import heapq

from mlabhub.core.sharing.coming import until_room
from mlabhub.core.sharing.lifetimes import Lifetimes
from mlabhub.core.sharing.model import Waiter
from mlabhub.core.sharing.places import Hold, Room, Rooms

MOST_LOOKED_AT = 8
"""Of how many machines, those with the most free GPUs, it is estimated when they have room."""


def drain(
    rooms: Rooms, waiter: Waiter, gpu_types: tuple[str | None, ...], lives: Lifetimes, now: float, most_idle: float
) -> Hold | None:
    """Keep what is free on the best machine for a waiter; None if no machine could hold it, or all would be too dear.

    ``most_idle`` is how many seconds of GPUs may be idle for it, as far as can be told.
    """
    free: list[tuple[int, str, Room, str | None]] = []
    for gpu_type in gpu_types:
        for room in rooms.possible(waiter, gpu_type):
            if waiter.ask.gpus and any(hold.gpus for hold in room.holds):
                continue  # it is kept for somebody already
            free.append((-room.gpus[gpu_type] if gpu_type is not None else 0, room.machine.name, room, gpu_type))
    best: tuple[float, int, str] | None = None
    found: tuple[Room, str | None] | None = None
    for less, name, room, gpu_type in heapq.nsmallest(MOST_LOOKED_AT, free, key=lambda one: one[:2]):
        key = (until_room(room, gpu_type, waiter.ask, lives, now), less, name)
        if best is None or key < best:
            best, found = key, (room, gpu_type)
    if best is None or found is None or best[0] * waiter.ask.gpus / 2 > most_idle:
        return None
    return found[0].hold(waiter.ask, found[1])
