"""What a policy owed: GPU-hours in which a group stood below its guarantee while somebody of it waited in vain.

Guarantees: counted from the events alone, alike for every policy. At a moment a waiting request is *owed* if its group
has a guarantee for GPUs that it asks for, if with it (and with those owed before it, in the order they came) the group
stays within all that it is guaranteed, if its person's cap and its group's limit admit it, and if it fits on a node
once the borrowers are away: of each group beyond its guarantee the newest runs, as many as it is beyond. What a notice
excuses is not counted: the first ``notice_s`` of each stretch in which a request is owed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mlabhub.core.quotas import Quotas
from mlabhub.core.sharing.model import Ask
from mlabhub.core.units import GPU, GPU_PREFIX, to_micro
from mlabhub.replay.model import Request
from mlabhub.replay.timeline import Held, Timeline

Micro = Mapping[str, int]


@dataclass
class Debt:
    """Sums up the debt, moment by moment."""

    quotas: Quotas
    notice_s: float
    gpu_seconds: float = 0.0
    by_group: dict[str, float] = field(default_factory=dict)
    _since: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._guaranteed = {
            name: {resource: to_micro(amount) for resource, amount in group.guaranteed.items()}
            for name, group in self.quotas.groups.items()
        }
        self._owning = {
            name
            for name, amounts in self._guaranteed.items()
            if any(amount for key, amount in amounts.items() if _is_gpu(key))
        }

    def step(self, timeline: Timeline, now: float, lasts: float) -> None:
        """Count one moment."""
        owed = self._owed(timeline)
        self._since = {request.id: self._since.get(request.id, now) for request in owed}
        for request in owed:
            counted = now + lasts - max(now, self._since[request.id] + self.notice_s)
            if counted > 0:
                self.gpu_seconds += counted * request.gpus
                group = request.group or ""
                self.by_group[group] = self.by_group.get(group, 0.0) + counted * request.gpus

    def _owed(self, timeline: Timeline) -> list[Request]:
        """Return the requests that are owed now and would fit."""
        candidates = [
            one
            for group in self._owning
            for ask, requests in timeline.waiting_by.get(group, {}).items()
            if ask.gpus and self._below(timeline, group, ask)
            for one in requests.values()
        ]
        if not candidates:
            return []
        candidates.sort(key=lambda one: (one.t, one.id))
        rooms = self._rooms(timeline)
        used = {group: dict(timeline.used.get(group, {})) for group in self._owning}
        used_by: dict[str, dict[str, int]] = {}
        owed = []
        failed: set[tuple[str | None, Ask]] = set()
        for one in candidates:
            key = (one.group, timeline.asks[one.id])
            if key in failed:
                continue
            mine = used_by.setdefault(one.user, dict(timeline.used_by.get(one.user, {})))
            place, nobody = self._place(timeline, one, rooms, used[one.group or ""], mine)
            if place is not None:
                owed.append(one)
            elif nobody:
                failed.add(key)
        return owed

    def _below(self, timeline: Timeline, group: str, ask: Ask) -> bool:
        """Whether a group stays within its guarantee with one more such request; of any type it is not yet known."""
        used, guaranteed = timeline.used.get(group, {}), self._guaranteed[group]
        vector = timeline.vector(ask)
        keys = [key for key in vector if key in guaranteed]
        if ask.gpu_type is not None and not any(_is_gpu(key) for key in keys):
            return False
        return all(used.get(key, 0) + vector[key] <= guaranteed[key] for key in keys)

    def _place(
        self,
        timeline: Timeline,
        one: Request,
        rooms: dict[str, list[int]],
        used: dict[str, int],
        mine: dict[str, int],
    ) -> tuple[str | None, bool]:
        """Take the room that one needs; return where, or None and whether that goes for all of its group."""
        ask, guaranteed = timeline.asks[one.id], self._guaranteed[one.group or ""]
        nobody = True
        within: dict[str | None, bool] = {}
        for name, room in rooms.items():
            node = timeline.nodes[name]
            if room[0] < ask.gpus or room[1] < ask.cpu or room[2] < ask.memory:
                continue
            if ask.gpu_type not in (None, node.gpu_type) or to_micro(node.cpu) < ask.cpu:
                continue
            vector = timeline.vector(ask, node.gpu_type)
            if node.gpu_type not in within:
                keys = [key for key in vector if key in guaranteed]
                bounds = {key: guaranteed[key] for key in keys}
                within[node.gpu_type] = any(_is_gpu(key) for key in keys) and _fits(vector, used, bounds)
            if not within[node.gpu_type]:
                continue
            nobody = False
            if self._admitted(one, vector, used, mine):
                for at, amount in enumerate((ask.gpus, ask.cpu, ask.memory)):
                    room[at] -= amount
                for sums in (used, mine):
                    for key, amount in vector.items():
                        sums[key] = sums.get(key, 0) + amount
                return name, False
        return None, nobody

    def _admitted(self, one: Request, vector: Micro, used: Micro, mine: Micro) -> bool:
        soft = self.quotas.user_soft(one.user, one.group)
        cap = {
            key: to_micro(most) for key, most in self.quotas.user_limit(one.user, one.group).items() if key not in soft
        }
        limit = {key: to_micro(most) for key, most in self.quotas.group_limit(one.group).items()}
        return _fits(vector, mine, cap) and _fits(vector, used, limit)

    def _rooms(self, timeline: Timeline) -> dict[str, list[int]]:
        """Return what would be free on each node if the borrowers were away."""
        rooms = {name: list(room) for name, room in timeline.free.items()}
        by_group: dict[str | None, list[Held]] = {}
        for held in timeline.running.values():
            by_group.setdefault(held.request.group, []).append(held)
        for group, all_of in by_group.items():
            used = dict(timeline.used.get(group, {}))
            guaranteed = self._guaranteed.get(group or "", {})
            if used.get(GPU, 0) <= guaranteed.get(GPU, 0):
                continue
            for held in sorted(all_of, key=lambda one: (-one.started, one.request.id)):
                keys = [key for key in held.vector if _is_gpu(key) and (key == GPU or key in guaranteed)]
                if keys and all(used.get(key, 0) > guaranteed.get(key, 0) for key in keys):
                    for key, amount in held.vector.items():
                        used[key] -= amount
                    ask, room = timeline.asks[held.request.id], rooms[held.node.name]
                    for at, amount in enumerate((ask.gpus, ask.cpu, ask.memory)):
                        room[at] += amount
        return rooms


def _is_gpu(key: str) -> bool:
    return key == GPU or key.startswith(GPU_PREFIX)


def _fits(vector: Micro, used: Micro, most: Micro) -> bool:
    return all(used.get(key, 0) + amount <= most[key] for key, amount in vector.items() if key in most)
