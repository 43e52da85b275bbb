"""On which machine room is kept for one that finds none, so that it is not overtaken for ever.

Guarantees: such a machine could hold it; that one is taken which is likely to have room first.
"""

from __future__ import annotations

from mlabhub.core.sharing.coming import until_room
from mlabhub.core.sharing.lifetimes import Lifetimes
from mlabhub.core.sharing.model import Waiter
from mlabhub.core.sharing.places import Hold, Room, Rooms


def drain(
    rooms: Rooms, waiter: Waiter, gpu_types: tuple[str | None, ...], lives: Lifetimes, now: float, most_idle: float
) -> Hold | None:
    """Keep what is free on the best machine for a waiter; None if no machine could hold it, or all would be too dear.

    ``most_idle`` is how many seconds of GPUs may be idle for it, as far as can be told.
    """
    best: tuple[float, int, str] | None = None
    found: tuple[Room, str | None] | None = None
    for gpu_type in gpu_types:
        for room in rooms.possible(waiter, gpu_type):
            if waiter.ask.gpus and any(hold.gpus for hold in room.holds):
                continue  # it is kept for somebody already
            free = room.gpus[gpu_type] if gpu_type is not None else 0
            key = (until_room(room, gpu_type, waiter.ask, lives, now), -free, room.machine.name)
            if best is None or key < best:
                best, found = key, (room, gpu_type)
    if best is None or found is None or best[0] * waiter.ask.gpus / 2 > most_idle:
        return None
    return found[0].hold(waiter.ask, found[1])
