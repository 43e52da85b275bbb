"""Guarantees, limits and caps applied to what runs: who may start, who is owed something, who gives back.

Guarantees: sums are exact; what brings a group or person to a limit is within it. A group is owed what keeps it within
its guarantee in all that it touches; it is beyond its guarantee only where it is so in every kind of GPU of a run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from mlabhub.core.quotas import DEFAULT_USER, Quotas
from mlabhub.core.sharing.model import ONE, Ask, Run, Scene, Waiter
from mlabhub.core.sharing.past import Past, added
from mlabhub.core.units import CPU, GPU, GPU_PREFIX, MEMORY, SERVERS, to_micro

Vector = Mapping[str, int]
_NO_BOUNDS: Vector = {}
LEAST_WEIGHT = 0.05
"""The weight of a group that is guaranteed little or nothing, of 1."""


@lru_cache(4096)
def vector_of(ask: Ask, gpu_type: str | None) -> Vector:
    """Return what an ask takes that is placed on a type, in millionths."""
    return ask.vector(gpu_type)


def _micro(amounts: Mapping[str, float]) -> Vector:
    return {resource: to_micro(amount) for resource, amount in amounts.items()}


def wants(waiter: Waiter, resource: str) -> bool:
    """Whether somebody who waits would be helped by more of a resource; a server less is more of everything."""
    ask = waiter.ask
    if resource == SERVERS:
        return True
    if not ask.gpus:
        return resource in (CPU, MEMORY)
    return resource == GPU or (resource.startswith(GPU_PREFIX) and ask.gpu_type in (None, resource[len(GPU_PREFIX) :]))


class Shares:
    """What groups and people hold in one round, and what they may hold."""

    def __init__(self, quotas: Quotas, runs: Sequence[Run], past: Past | None = None) -> None:
        self._quotas = quotas
        if past is None or not past.saw(runs):
            past = Past().after(Scene((), runs, (), quotas, 0.0))
        self.groups: dict[str | None, Vector] = dict(past.held)
        self.people: dict[str, Vector] = dict(past.held_by)
        self.promised: dict[str | None, dict[str, int]] = {}
        self.promised_to: dict[str, dict[str, int]] = {}
        self.leaving: dict[str | None, dict[str, int]] = {}
        self._guaranteed = {name: _micro(group.guaranteed) for name, group in quotas.groups.items() if group.guaranteed}
        self._limits = {name: _micro(group.limit) for name, group in quotas.groups.items() if group.limit}
        self._capped = bool(quotas.users) or any(group.each is not None for group in quotas.groups.values())
        self._usual_caps: dict[str | None, tuple[Vector, frozenset[str]]] = {}

    def add(self, user: str, group: str | None, vector: Vector) -> None:
        """Count something that runs."""
        self.groups[group] = added(self.groups.get(group, {}), vector)
        self.people[user] = added(self.people.get(user, {}), vector)

    def promise(self, user: str, group: str | None, vector: Vector) -> None:
        """Count what somebody will get that is owed to their group."""
        _add(self.promised.setdefault(group, {}), vector)
        _add(self.promised_to.setdefault(user, {}), vector)

    def leave(self, group: str | None, vector: Vector) -> None:
        """Count what a group will give back."""
        _add(self.leaving.setdefault(group, {}), vector)

    def stay(self, group: str | None, vector: Vector) -> None:
        """Count it no more as what will be given back."""
        _add(self.leaving.setdefault(group, {}), vector, -1)

    def within_limit(self, waiter: Waiter, vector: Vector) -> bool:
        """Whether the group's limit permits it beside what was promised."""
        limit = self._limits.get(waiter.group) if waiter.group is not None else None
        if limit is None:
            return True
        return _within(limit, self.groups.get(waiter.group, {}), self.promised.get(waiter.group, {}), vector)

    def within_caps(self, waiter: Waiter, vector: Vector, soft_counts: bool = True) -> bool:
        """Whether the person's caps permit it beside what was promised; those that are soft can be left out."""
        if not self._capped:
            return True
        caps, soft = self._caps(waiter.user, waiter.group)
        if not caps:
            return True
        if not soft_counts:
            caps = {resource: amount for resource, amount in caps.items() if resource not in soft}
        return _within(caps, self.people.get(waiter.user, {}), self.promised_to.get(waiter.user, {}), vector)

    def beyond_soft(self, waiter: Waiter, vector: Vector) -> list[str]:
        """Return the resources on which a soft cap of the person would be exceeded."""
        caps, soft = self._caps(waiter.user, waiter.group)
        used = self.people.get(waiter.user, {})
        return [one for one in vector if one in soft and one in caps and used.get(one, 0) + vector[one] > caps[one]]

    def has_guarantee(self, group: str | None) -> bool:
        """Whether a group has any guarantee."""
        return group in self._guaranteed

    def owed(self, group: str | None, vector: Vector) -> bool:
        """Whether a group may count on it: it has a guarantee for it, and stays within all that it has."""
        guaranteed = self._guaranteed.get(group) if group is not None else None
        if guaranteed is None:
            return False
        used, promised = self.groups.get(group, {}), self.promised.get(group, {})
        entitled = False
        for resource, amount in vector.items():
            bound = guaranteed.get(resource)
            if bound is None or not amount:
                continue
            if used.get(resource, 0) + promised.get(resource, 0) + amount > bound:
                return False
            entitled = entitled or _entitles(resource, GPU in vector)
        return entitled

    def beyond(self, group: str | None, vector: Vector, less: Vector | None = None) -> bool:
        """Whether a group uses more than it is guaranteed of every kind of GPU that a run has; ``less``: after that."""
        if GPU not in vector:
            return False
        guaranteed = self._guaranteed.get(group, _NO_BOUNDS) if group is not None else _NO_BOUNDS
        used, gone = self.groups.get(group, {}), less or _NO_BOUNDS
        return all(
            used.get(resource, 0) - gone.get(resource, 0) > guaranteed.get(resource, 0)
            for resource in vector
            if resource == GPU or (resource in guaranteed and resource.startswith(GPU_PREFIX))
        )

    def over(self, group: str | None, less: Vector | None = None) -> int:
        """Return how many millionths of GPUs a group uses beyond its guarantee, of all types together."""
        guaranteed = self._guaranteed.get(group, _NO_BOUNDS) if group is not None else _NO_BOUNDS
        total = max(
            guaranteed.get(GPU, 0), sum(amount for one, amount in guaranteed.items() if one.startswith(GPU_PREFIX))
        )
        return self.groups.get(group, {}).get(GPU, 0) - (less or _NO_BOUNDS).get(GPU, 0) - total

    def unused(self, group: str, gpu_type: str) -> int:
        """Return how many GPUs of a type a group may still count on, in whole GPUs."""
        guaranteed, used = self._guaranteed.get(group, _NO_BOUNDS), self.groups.get(group, {})
        left = [guaranteed[key] - used.get(key, 0) for key in (GPU, GPU_PREFIX + gpu_type) if key in guaranteed]
        return max(0, min(left, default=0)) // to_micro(1)

    def weights(self, totals: tuple[float, float, float]) -> dict[str, float]:
        """Return what part of everything each group is guaranteed, of what it is guaranteed most."""
        found = {}
        for group, amounts in self._guaranteed.items():
            typed = sum(amount for one, amount in amounts.items() if one.startswith(GPU_PREFIX))
            gpus = max(amounts.get(GPU, 0), typed) / ONE
            parts = (gpus / totals[0], amounts.get(CPU, 0) / totals[1], amounts.get(MEMORY, 0) / totals[2])
            found[group] = max(LEAST_WEIGHT, *parts)
        return found

    @property
    def guaranteed_groups(self) -> tuple[str, ...]:
        """Those with a guarantee."""
        return tuple(self._guaranteed)

    def may_be_taken_back(self, group: str | None, vector: Vector) -> bool:
        """Whether another group has a guarantee on GPUs that something may have to be taken back for."""
        kinds = [one for one in vector if one == GPU or one.startswith(GPU_PREFIX)]
        return any(
            other != group and any(guaranteed.get(one) for one in kinds)
            for other, guaranteed in self._guaranteed.items()
        )

    def _caps(self, user: str, group: str | None) -> tuple[Vector, frozenset[str]]:
        if user in self._quotas.users and user != DEFAULT_USER:
            return _micro(self._quotas.user_limit(user, group)), self._quotas.user_soft(user, group)
        known = self._usual_caps.get(group)
        if known is None:
            caps = _micro(self._quotas.user_limit(DEFAULT_USER, group))
            known = self._usual_caps[group] = (caps, self._quotas.user_soft(DEFAULT_USER, group))
        return known


def _entitles(resource: str, with_gpus: bool) -> bool:
    return resource == GPU or resource.startswith(GPU_PREFIX) if with_gpus else resource in (CPU, MEMORY)


def _within(bounds: Vector, used: Vector, promised: Vector, vector: Vector) -> bool:
    return all(
        used.get(one, 0) + promised.get(one, 0) + amount <= bounds[one]
        for one, amount in vector.items()
        if amount and one in bounds
    )


def _add(sums: dict[str, int], vector: Vector, sign: int = 1) -> None:
    for resource, amount in vector.items():
        sums[resource] = sums.get(resource, 0) + sign * amount
