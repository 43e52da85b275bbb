"""One round over all that waits: who starts where, who is told to give back, who gives back now."""

from __future__ import annotations

from typing import Any

from mlabhub.core.sharing.model import Round, Scene, Start, Waiter


def plan_round(scene: Scene) -> Round:
    """Decide a round."""
    free = {one.name: [dict(one.free_gpus), one.free_cpu, one.free_memory] for one in scene.machines if one.open}
    starts, stay = [], []
    for waiter in sorted(scene.waiters, key=lambda one: (one.since, one.id)):
        start = _first_fit(waiter, free)
        if start is None:
            stay.append(waiter.id)
        else:
            starts.append(start)
    return Round(starts=tuple(starts), order=tuple(stay), blocked=dict.fromkeys(stay, "room"))


def _first_fit(waiter: Waiter, free: dict[str, list[Any]]) -> Start | None:
    ask = waiter.ask
    for name, room in free.items():
        gpus, cpu, memory = room
        types = [None] if not ask.gpus else [one for one in gpus if ask.gpu_type in (None, one)]
        for gpu_type in types:
            if cpu >= ask.cpu and memory >= ask.memory and (gpu_type is None or gpus[gpu_type] >= ask.gpus):
                if gpu_type is not None:
                    gpus[gpu_type] -= ask.gpus
                room[1:] = cpu - ask.cpu, memory - ask.memory
                return Start(waiter.id, name, gpu_type, borrowed=False)
    return None
