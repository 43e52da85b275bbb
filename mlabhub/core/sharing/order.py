"""Whose turn it is: between groups, between the people of one group, and among what one person asked for.

Guarantees: everybody who waits is in the order once. The next one is always of the group whose dominant share is the
least, of what it holds, held lately, and would hold if those before were served. Within the group it is the one that
came first, where each counts as come later: by what its person holds, held lately and would hold, and by what it takes
itself for as long as it is likely to run. So one person's 500 requests do not hold up anybody, short work does not wait
for long work, and nobody is overtaken for ever: by those alone that come within a bounded time.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

from mlabhub.core.sharing.model import Ask, Machine, Waiter
from mlabhub.core.sharing.past import Past, Use
from mlabhub.core.sharing.shares import LEAST_WEIGHT
from mlabhub.core.units import CPU, GPU, MEMORY

Totals = tuple[float, float, float]

HOLDING_S = 0.5 * 86_400.0
"""By how much later those count as come whose person holds everything there is, for as long as things usually run."""

TAKING_S = 5 * 86_400.0
"""The same for a request that takes everything itself."""

MOST_S = 86_400.0
"""By how much later a request counts as come at most for what it takes itself."""


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

    def add(self, ask: Ask, length: float) -> None:
        self.gpus += ask.gpus * length
        self.cpu += ask.cpu * length
        self.memory += ask.memory * length

    def dominant(self, totals: Totals) -> float:
        return max(self.gpus / totals[0], self.cpu / totals[1], self.memory / totals[2]) / self.weight


class _Person:
    """One person's waiting requests in one group, last first."""

    __slots__ = ("later", "lengths", "share", "waiters")

    def __init__(self, user: str, waiters: list[Waiter], share: _Share, past: Past, totals: Totals) -> None:
        self.lengths = {ask: past.length(user, ask) for ask in {waiter.ask for waiter in waiters}}
        self.later = {ask: _later(ask, length, totals) for ask, length in self.lengths.items()}
        self.share = share
        self.waiters = sorted(
            waiters,
            key=lambda one: (-one.priority, one.since + self.later[one.ask], one.since, one.id),
            reverse=True,
        )

    def next_at(self, totals: Totals) -> float:
        """Return when the next one counts as come."""
        waiter = self.waiters[-1]
        return waiter.since + HOLDING_S * self.share.dominant(totals) + self.later[waiter.ask]

    def take(self) -> tuple[Waiter, float]:
        """Return the next one, and how long it is likely to run."""
        waiter = self.waiters.pop()
        length = self.lengths[waiter.ask]
        self.share.add(waiter.ask, length)
        return waiter, length


def _later(ask: Ask, length: float, totals: Totals) -> float:
    """Return by how much later a request counts as come that is likely to run for so long."""
    share = max(ask.gpus / totals[0], ask.cpu / totals[1], ask.memory / totals[2])
    return min(MOST_S, TAKING_S * share * length)


_Queue = list[tuple[float, str, _Person]]


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
            holds = share(people.get(user), past.people.get(user), past.length(user))
            person = _Person(user, own, holds, past, totals)
            queue.append((person.next_at(totals), user, person))
        heapq.heapify(queue)
        held = share(groups.get(group), past.groups.get(group))
        held.weight = (weights or {}).get(group or "", LEAST_WEIGHT)
        turns.append((held.dominant(totals), group or "", queue, held))
    turns.sort(key=lambda turn: turn[:2])
    return _take_turns(turns, totals)


def _take_turns(turns: list[tuple[float, str, _Queue, _Share]], totals: Totals) -> list[Waiter]:
    order = []
    while turns:
        _, name, queue, held = turns[0]
        _, user, person = queue[0]
        waiter, length = person.take()
        order.append(waiter)
        held.add(waiter.ask, length)
        if person.waiters:
            heapq.heapreplace(queue, (person.next_at(totals), user, person))
        else:
            heapq.heappop(queue)
        if queue:
            heapq.heapreplace(turns, (held.dominant(totals), name, queue, held))
        else:
            heapq.heappop(turns)
    return order
