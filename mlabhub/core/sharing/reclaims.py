"""Who is told to give back, and for whom: the plan in which the least is lost.

Guarantees: whoever is in a plan is beyond their group's guarantee when their turn in it comes, may be taken back, and
was not told to give back already; what they give back, with what is free and about to be free, is enough for the owner,
on one machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from mlabhub.core.sharing.coming import add_up, covers, until_room
from mlabhub.core.sharing.lifetimes import Lifetimes
from mlabhub.core.sharing.model import Ask, Run, Waiter
from mlabhub.core.sharing.places import Amounts, Room, Rooms
from mlabhub.core.sharing.policy import Policy
from mlabhub.core.sharing.shares import Shares, vector_of


class Plan(NamedTuple):
    """Where an owner starts once ``victims`` have given back; ``cost`` is what is lost, in seconds of GPUs."""

    room: Room
    gpu_type: str
    victims: tuple[Run, ...]
    cost: float


def loss_of(run: Run, shares: Shares, now: float) -> float:
    """Return what is lost if a run is taken back after its notice: seconds of GPUs, more for who lost before."""
    age = max(0.0, now - run.started) + run.notice_s
    lost = run.ask.gpus * age * (1 + run.reclaims)
    if run.idle_since is not None:
        lost *= 0.25
    if shares.over(run.group, shares.leaving.get(run.group)) < run.ask.gpus * 1_000_000:
        lost *= 1.25
    return lost


class Reclaims:
    """Finds plans in one round."""

    def __init__(self, rooms: Rooms, shares: Shares, policy: Policy, most: int, now: float, lives: Lifetimes) -> None:
        self._rooms = rooms
        self._shares = shares
        self._policy = policy
        self._most = most
        self._now = now
        self._lives = lives

    def may_give_back(self, run: Run) -> bool:
        """Whether a run may be told to give back, as for itself."""
        return bool(run.ask.gpus) and run.reclaimable and not run.ending and run.reclaims < self._most

    def best_plan(self, waiter: Waiter, gpu_types: Sequence[str], below: float = math.inf) -> Plan | None:
        """Return the plan that loses least, or None where no one may give back enough, at a cost below a bound."""
        best: Plan | None = None
        for gpu_type in gpu_types:
            for room in self._rooms.possible(waiter, gpu_type):
                if below < math.inf and not self._may_be_below(below, waiter.ask, room, gpu_type):
                    continue
                plan = self._plan_on(waiter.ask, room, gpu_type)
                if plan is not None and plan.cost < below and (best is None or plan.cost < best.cost):
                    best = plan
        return best

    def without_loss(self, waiter: Waiter, gpu_types: Sequence[str]) -> Plan | None:
        """Return a plan in which nobody gives back: somewhere enough is about to be free."""
        for gpu_type in gpu_types:
            for room in self._rooms.of_type(gpu_type):
                enough = covers(room, gpu_type, waiter.ask, room.soon(gpu_type))
                if room.soon_gpus.get(gpu_type) and enough and room in self._rooms.possible(waiter, gpu_type):
                    return Plan(room, gpu_type, (), 0.0)
        return None

    def is_bettered(self, waiter: Waiter, gpu_types: Sequence[str], plan: Plan) -> bool:
        """Whether far less would be lost elsewhere by now than by a plan whose notices are over."""
        cost = sum(loss_of(run, self._shares, self._now) for run in plan.victims)
        return self.best_plan(waiter, gpu_types, self._policy.better * cost) is not None

    def _may_be_below(self, bound: float, ask: Ask, room: Room, gpu_type: str) -> bool:
        """Whether a plan on a machine may cost less than a bound: a quick look at those who lose less alone."""
        gpus = cpu = memory = 0
        for run in room.runs:
            held = run.ask.gpus
            if held and 0.25 * held * (self._now - run.started) < bound:
                gpus += held if run.ask.gpu_type == gpu_type else 0
                cpu += run.ask.cpu
                memory += run.ask.memory
        return covers(room, gpu_type, ask, add(room.soon(gpu_type), (gpus, cpu, memory)))

    def is_worth(self, ask: Ask, plan: Plan, overdue: float, owners_waiting: int) -> bool:
        """Whether it is time to take back: an owner waited as long as it costs, or room is not likely to come soon.

        A second of waiting costs the owner's GPUs and those that are kept idle for it, and lets those grow that would
        be lost; what it may save is all that would be lost, as often as room comes by itself, for which other owners
        wait as well. What it costs is held against what was lost when the notices were over: what grows since then
        grows as fast as the waiting, and would put off the end of it for ever.
        """
        begun = self._now - overdue
        lost_then = sum(run.ask.gpus * (begun - run.started) for run in plan.victims)
        lost = sum(run.ask.gpus * (self._now - run.started) for run in plan.victims)
        grows = sum(run.ask.gpus for run in plan.victims)
        idle = max(0, ask.gpus - grows)
        if (ask.gpus + idle) * overdue >= self._policy.ski * lost_then:
            return True
        rate = self._room_rate(ask, plan) * ask.gpus / max(ask.gpus, owners_waiting)
        return rate * lost < self._policy.eagerness * (ask.gpus + idle + grows)

    def _room_rate(self, ask: Ask, plan: Plan) -> float:
        """Return how often in a second room is likely to come for an ask by itself."""
        rate = 0.0
        for room in self._rooms.of_type(plan.gpu_type):
            alone = 0.0
            for run in room.runs:
                if run.ask.gpus and covers(room, plan.gpu_type, ask, add_up(plan.gpu_type, (run,))):
                    alone += self._lives.rate(max(0.0, self._now - run.started))
            if not alone and room is plan.room:
                alone = 1 / max(60.0, until_room(room, plan.gpu_type, ask, self._lives, self._now))
            rate += alone
        return rate

    def _plan_on(self, ask: Ask, room: Room, gpu_type: str) -> Plan | None:
        soon = room.soon(gpu_type)
        if covers(room, gpu_type, ask, soon):
            return Plan(room, gpu_type, (), 0.0)
        able = [run for run in room.runs if run.notice is None and self.may_give_back(run)]
        all_of = add_up(gpu_type, able)
        if not covers(room, gpu_type, ask, add(soon, all_of)):
            return None
        costs = {run.id: loss_of(run, self._shares, self._now) for run in able}
        enough = lambda runs: covers(room, gpu_type, ask, add(soon, add_up(gpu_type, runs)))  # noqa: E731
        found = self._cheapest(able, gpu_type, costs, enough)
        return None if found is None else Plan(room, gpu_type, found, sum(costs[run.id] for run in found))

    def _cheapest(
        self, able: list[Run], gpu_type: str, costs: dict[str, float], enough: Callable[[Sequence[Run]], bool]
    ) -> tuple[Run, ...] | None:
        """Return the one run that is enough, or several together, whichever loses less."""
        found: list[tuple[float, tuple[Run, ...]]] = []
        for run in able:
            if enough((run,)) and self.are_beyond((run,)):
                found.append((costs[run.id], (run,)))
        chosen: list[Run] = []
        for run in sorted(able, key=lambda one: (one.ask.gpu_type != gpu_type, costs[one.id] / one.ask.gpus, one.id)):
            if self.are_beyond((*chosen, run)):
                chosen.append(run)
                if enough(chosen):
                    break
        if enough(chosen):
            kept = without_needless(chosen, costs, enough)
            if self.are_beyond(kept):
                found.append((sum(costs[run.id] for run in kept), tuple(kept)))
        return min(found, key=lambda one: (one[0], [run.id for run in one[1]]), default=(0.0, None))[1]

    def are_beyond(self, runs: Sequence[Run]) -> bool:
        """Whether each one's group is beyond its guarantee when its turn comes, one after the other."""
        gone: dict[str | None, dict[str, int]] = {}
        for run in runs:
            vector = vector_of(run.ask, None)
            if run.group not in gone:
                gone[run.group] = dict(self._shares.leaving.get(run.group, {}))
            less = gone[run.group]
            if not self._shares.beyond(run.group, vector, less):
                return False
            for resource, amount in vector.items():
                less[resource] = less.get(resource, 0) + amount
        return True


def without_needless(
    runs: Sequence[Run], costs: dict[str, float], enough: Callable[[Sequence[Run]], bool]
) -> list[Run]:
    """Return the runs without those that are not needed, dearest first."""
    kept = list(runs)
    for run in sorted(runs, key=lambda one: (-costs[one.id], one.id)):
        rest = [one for one in kept if one is not run]
        if enough(rest):
            kept = rest
    return kept


def add(one: Amounts, other: Amounts) -> Amounts:
    """Add up two."""
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]
