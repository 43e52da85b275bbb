"""Whose turn it is: between groups, between the people of one group, and among what one person asked for.

Guarantees: everybody who waits is in the order once. The next one is always of the group whose dominant share is the
least, of what it holds, held lately, and would hold if those before were served; within the group, of the person of
whom the same is true. So one person's 500 requests do not hold up anybody, and everybody's place can be told.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

from mlabhub.core.sharing.model import Machine, Waiter
from mlabhub.core.sharing.past import Past, Use
from mlabhub.core.sharing.shares import LEAST_WEIGHT
from mlabhub.core.units import CPU, GPU, MEMORY

Totals = tuple[float, float, float]


def totals_of(machines: Sequence[Machine]) -> Totals:
    """Return all GPUs, CPU and memory, each at least 1, so that shares of them can be told."""
    gpus = sum(sum(machine.gpus.values()) for machine in machines)
    return (
        float(max(1, gpus)),
        float(max(1, sum(machine.cpu for machine in machines))),
        float(max(1, sum(machine.memory for machine in machines))),
    )


class _Share:
    """What one group or person holds, held lately, and would hold."""

    __slots__ = ("cpu", "gpus", "memory", "weight")

    def __init__(self, used: Mapping[str, int], average: tuple[float, float, float], length: float) -> None:
        self.weight = 1.0
        self.gpus = used.get(GPU, 0) / 1e6 * length + average[0]
        self.cpu = used.get(CPU, 0) * length + average[1]
        self.memory = used.get(MEMORY, 0) * length + average[2]

    def add(self, waiter: Waiter, length: float) -> None:
        ask = waiter.ask
        self.gpus += ask.gpus * length
        self.cpu += ask.cpu * length
        self.memory += ask.memory * length

    def dominant(self, totals: Totals) -> float:
        return max(self.gpus / totals[0], self.cpu / totals[1], self.memory / totals[2]) / self.weight


class _Person:
    """One person's waiting requests in one group, last first."""

    __slots__ = ("length", "share", "waiters")

    def __init__(self, waiters: list[Waiter], share: _Share, length: float) -> None:
        self.length = length
        self.waiters = waiters
        self.share = share


def fair_order(
    waiters: Sequence[Waiter],
    groups: Mapping[str | None, Mapping[str, int]],
    people: Mapping[str, Mapping[str, int]],
    past: Past,
    totals: Totals,
    now: float,
    weights: Mapping[str, float] | None = None,
) -> list[Waiter]:
    """Return those who wait, next first; ``groups`` and ``people`` are what they hold, ``weights`` those of groups."""
    lanes: dict[str | None, dict[str, list[Waiter]]] = {}
    for waiter in waiters:
        lanes.setdefault(waiter.group, {}).setdefault(waiter.user, []).append(waiter)

    def share(used: Mapping[str, int] | None, before: Use | None, length: float = 1.0) -> _Share:
        return _Share(used or {}, past.average(before, now), length)

    turns = []
    for group, of_people in lanes.items():
        queue = []
        for user, own in of_people.items():
            own.sort(key=lambda one: (-one.priority, one.since, one.id), reverse=True)
            length = past.length(user)
            person = _Person(own, share(people.get(user), past.people.get(user), length), length)
            queue.append((person.share.dominant(totals), own[-1].since, user, person))
        heapq.heapify(queue)
        held = share(groups.get(group), past.groups.get(group))
        held.weight = (weights or {}).get(group or "", LEAST_WEIGHT)
        turns.append((held.dominant(totals), group or "", queue, held))
    turns.sort(key=lambda turn: turn[:2])
    return _take_turns(turns, totals)


def _take_turns(
    turns: list[tuple[float, str, list[tuple[float, float, str, _Person]], _Share]], totals: Totals
) -> list[Waiter]:
    order = []
    while turns:
        _, name, queue, held = turns[0]
        _, _, user, person = queue[0]
        waiter = person.waiters.pop()
        order.append(waiter)
        held.add(waiter, person.length)
        person.share.add(waiter, person.length)
        if person.waiters:
            heapq.heapreplace(queue, (person.share.dominant(totals), person.waiters[-1].since, user, person))
        else:
            heapq.heappop(queue)
        if queue:
            heapq.heapreplace(turns, (held.dominant(totals), name, queue, held))
        else:
            heapq.heappop(turns)
    return order
