"""What the baselines stand on: free room by node, what groups and people hold, the first node that fits.

Guarantees: amounts are millionths, as in scenes; taking is never undone within a round, so that what did not fit once
does not fit later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mlabhub.core.quotas import Quotas
from mlabhub.core.sharing.model import Ask, Scene, Start, Waiter
from mlabhub.core.units import GPU, GPU_PREFIX, to_micro

Micro = Mapping[str, int]


class Amounts:
    """Quotas in millionths, looked up once."""

    def __init__(self, quotas: Quotas) -> None:
        self._quotas = quotas
        self.guaranteed = {name: in_micro(group.guaranteed) for name, group in quotas.groups.items()}
        self._limits = {name: in_micro(group.limit) for name, group in quotas.groups.items()}
        self._caps: dict[tuple[str, str | None], dict[str, int]] = {}

    def of(self, group: str | None) -> Micro:
        """Return what a group is guaranteed."""
        return self.guaranteed.get(group or "", {})

    def limit(self, group: str | None) -> Micro:
        """Return what a group may hold at most."""
        return self._limits.get(group or "", {})

    def cap(self, user: str, group: str | None) -> Micro:
        """Return what a person may hold at most while a group pays; soft caps do not count."""
        if (user, group) not in self._caps:
            soft = self._quotas.user_soft(user, group)
            limit = in_micro(self._quotas.user_limit(user, group))
            self._caps[user, group] = {key: most for key, most in limit.items() if key not in soft}
        return self._caps[user, group]


@dataclass
class _Room:
    """What is left of a machine."""

    gpus: dict[str, int]
    cpu: int
    memory: int
    most_cpu: int

    def types(self, ask: Ask) -> list[str | None]:
        """Return the types of GPU with which it could hold an ask; None where it takes no GPU."""
        if self.cpu < ask.cpu or self.memory < ask.memory or self.most_cpu < ask.cpu:
            return []
        if not ask.gpus:
            return [None]
        return [one for one, free in self.gpus.items() if ask.gpu_type in (None, one) and free >= ask.gpus]


class Ground:
    """A scene that a baseline fills."""

    def __init__(self, scene: Scene, amounts: Amounts) -> None:
        self.amounts = amounts
        self.scene = scene
        self.rooms = {
            one.name: _Room(dict(one.free_gpus), one.free_cpu, one.free_memory, one.most_cpu)
            for one in scene.machines
            if one.open and (one.closes is None or one.closes > scene.now)
        }
        self.by_group: dict[str | None, dict[str, int]] = {}
        self.by_user: dict[str, dict[str, int]] = {}
        self._full: set[Ask] = set()
        for run in scene.runs:
            self.count(run.group, run.user, run.ask.vector())

    def count(self, group: str | None, user: str, vector: Micro, sign: int = 1) -> None:
        """Add to what a group and a person hold."""
        add(self.by_group.setdefault(group, {}), vector, sign)
        add(self.by_user.setdefault(user, {}), vector, sign)

    def permitted(self, waiter: Waiter, vector: Micro) -> bool:
        """Whether limit and cap admit it."""
        return fits(vector, self.by_group.get(waiter.group, {}), self.amounts.limit(waiter.group)) and fits(
            vector, self.by_user.get(waiter.user, {}), self.amounts.cap(waiter.user, waiter.group)
        )

    def within(self, waiter: Waiter, vector: Micro) -> bool:
        """Whether its group stays within what it is guaranteed of GPUs, or of CPU and memory if it wants none."""
        guaranteed = self.amounts.of(waiter.group)
        keys = [key for key in vector if key in guaranteed]
        counting = [key for key in keys if is_gpu(key)] if waiter.ask.gpus else keys
        bounds = {key: guaranteed[key] for key in keys}
        return bool(counting) and fits(vector, self.by_group.get(waiter.group, {}), bounds)

    def first_fit(self, waiter: Waiter, only_within: bool = False) -> Start | None:
        """Start a waiter on the first node that fits, if limits permit (and the guarantee covers it)."""
        ask = waiter.ask
        if ask in self._full:
            return None
        anywhere = False
        for name, room in self.rooms.items():
            for gpu_type in room.types(ask):
                anywhere = True
                vector = ask.vector(gpu_type)
                if self.permitted(waiter, vector) and (not only_within or self.within(waiter, vector)):
                    return self._take(waiter, name, gpu_type, vector)
        if not anywhere:
            self._full.add(ask)
        return None

    def place(self, waiter: Waiter, gpu_type: str | None) -> Start | None:
        """Start a waiter on the first node of a type that fits, whatever limits say."""
        for name, room in self.rooms.items():
            if gpu_type in room.types(waiter.ask):
                return self._take(waiter, name, gpu_type, waiter.ask.vector(gpu_type))
        return None

    def _take(self, waiter: Waiter, name: str, gpu_type: str | None, vector: Micro) -> Start:
        room, ask = self.rooms[name], waiter.ask
        borrowed = not self.within(waiter, vector)
        if gpu_type is not None:
            room.gpus[gpu_type] -= ask.gpus
        room.cpu -= ask.cpu
        room.memory -= ask.memory
        self.count(waiter.group, waiter.user, vector)
        return Start(waiter.id, name, gpu_type, borrowed)


def in_micro(amounts: Mapping[str, float]) -> dict[str, int]:
    """Return amounts in millionths."""
    return {key: to_micro(amount) for key, amount in amounts.items()}


def is_gpu(key: str) -> bool:
    """Whether a resource is GPUs."""
    return key == GPU or key.startswith(GPU_PREFIX)


def fits(vector: Micro, used: Micro, most: Micro) -> bool:
    """Whether ``vector`` on top of ``used`` stays within ``most``, which limits what it names."""
    return all(used.get(key, 0) + amount <= most[key] for key, amount in vector.items() if key in most)


def add(sums: dict[str, int], vector: Micro, sign: int = 1) -> None:
    """Add to sums."""
    for key, amount in vector.items():
        sums[key] = sums.get(key, 0) + sign * amount
