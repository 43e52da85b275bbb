"""What would happen to a request: it starts now, not now and why, or never; and the nearest choice that starts now.

Guarantees: pure and deterministic; a forecast is the very decision that a launch gets at that moment; the nearest
choice lies within the profile and is one that `decide` admits; no more than `MOST_TRIED` others are looked at. Of what
never starts and has nothing near that starts now, the nearest choice is told that could start once others have stopped,
if there is one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

from mlabhub.core.admission import NOTHING, Decision, Standing, decide, would_start
from mlabhub.core.capacity import Capacity
from mlabhub.core.holdings import Holdings
from mlabhub.core.options import NumberOption
from mlabhub.core.privacy import Viewer
from mlabhub.core.profiles import LaunchRequest, Profile
from mlabhub.core.quotas import Quotas
from mlabhub.core.reasons import amount_of, joined
from mlabhub.core.units import CPU, MEMORY, format_gpus
from mlabhub.core.waiting import Waiting, in_the_way
from mlabhub.messages import N_, Message

State = Literal["now", "later", "never"]
MOST_TRIED = 200

WAIT = N_("Wait until a server stops.")
START_NOW = N_("{gpus} start now.")
STARTS_NOW = N_("{gpus} starts now.")
START_NOW_WITH = N_("{gpus} with {amounts} start now.")
STARTS_NOW_WITH = N_("{gpus} with {amounts} starts now.")
WITH_LESS = N_("With {amounts} it starts now.")
POSSIBLE = N_("{what} can start once others have stopped.")
POSSIBLE_LESS = N_("With {amounts} it can start once others have stopped.")
GPUS_WITH = N_("{gpus} with {amounts}")


@dataclass(frozen=True)
class Nearest:
    """Another choice of the same profile that starts; ``changes`` are the launch options that differ."""

    request: LaunchRequest
    changes: Mapping[str, Any] = field(hash=False)

    def say(self) -> Message:
        """Say it: ``2 A100 start now.``"""
        less, gpus = self._less(), format_gpus(self.request.gpus, self.request.gpu_type)
        amounts = joined(", ", less)
        if not {"gpus", "gpu_type"} & set(self.changes):
            return Message.of(WITH_LESS, amounts=amounts)
        if less:
            template = STARTS_NOW_WITH if self.request.gpus == 1 else START_NOW_WITH
        else:
            template = STARTS_NOW if self.request.gpus == 1 else START_NOW
        return Message.of(template, gpus=gpus, amounts=amounts)

    def say_later(self) -> Message:
        """Say of one that does not start now that it is possible: ``4 A100 can start once others have stopped.``"""
        less, gpus = self._less(), format_gpus(self.request.gpus, self.request.gpu_type)
        amounts = joined(", ", less)
        if not {"gpus", "gpu_type"} & set(self.changes):
            return Message.of(POSSIBLE_LESS, amounts=amounts)
        return Message.of(POSSIBLE, what=Message.of(GPUS_WITH, gpus=gpus, amounts=amounts) if less else gpus)

    def _less(self) -> list[Message]:
        return [
            amount_of(resource, self.changes[key])
            for key, resource in (("cpu", CPU), ("memory_gib", MEMORY))
            if key in self.changes
        ]


@dataclass(frozen=True)
class Forecast:
    """The decision on a request, and what to do about a refusal."""

    decision: Decision
    nearest: Nearest | None = None
    possible: Nearest | None = None
    """Of what never starts: the nearest choice that does, though not now."""

    @property
    def state(self) -> State:
        """``never`` is what waiting does not cure."""
        if self.decision.placement is not None:
            return "now"
        return "never" if self.decision.never else "later"

    @property
    def advice(self) -> Message | None:
        """Say what could be done, where the reasons do not say it."""
        if self.nearest is not None:
            return self.nearest.say()
        if self.possible is not None:
            return self.possible.say_later()
        short = any(reason.code == "no_room" for reason in self.decision.reasons)
        return Message(WAIT) if short and self.state == "later" else None


def forecast(
    request: LaunchRequest,
    profile: Profile,
    quotas: Quotas,
    holdings: Holdings,
    queue: Sequence[Waiting],
    capacity: Capacity,
    now: float,
    viewer: Viewer | None = None,
    *,
    nearest: bool = True,
    standing: Standing = NOTHING,
) -> Forecast:
    """Return what would happen to a request that was made from ``profile``; without ``nearest``, only the decision.

    ``standing`` is what the last round left: it is not free for a request, nor for what is near it.
    """
    decision = decide(request, quotas, holdings, queue, capacity, now, viewer, standing)
    if decision.placement is not None or not nearest:
        return Forecast(decision)
    found = _find_nearest(request, profile, quotas, holdings, queue, capacity, standing)
    if found is not None or not decision.never:
        return Forecast(decision, found)
    # `Holdings()` keeps no limit used up, and no machine: what starts then can start some day.
    return Forecast(decision, possible=_find_nearest(request, profile, quotas, Holdings(), (), capacity, NOTHING))


def _find_nearest(
    request: LaunchRequest,
    profile: Profile,
    quotas: Quotas,
    holdings: Holdings,
    queue: Sequence[Waiting],
    capacity: Capacity,
    standing: Standing,
) -> Nearest | None:
    """Return the first choice that starts: with less CPU or memory; fewer GPUs; of another type; or all of it."""
    tried = 0
    queue = in_the_way(queue, request)

    def starts(changes: Mapping[str, Any]) -> bool:
        nonlocal tried
        tried += 1
        if tried > MOST_TRIED:
            return False
        return would_start(replace(request, **changes), quotas, holdings, queue, capacity, standing)

    others = list(_other_gpus(request, profile, capacity))
    smaller = _smaller(request, profile)
    changes = _shrunk({}, smaller, starts) or next((other for other in others if starts(other)), None)
    if changes is None:
        changes = next((found for other in others if (found := _shrunk(other, smaller, starts))), None)
    return None if changes is None else Nearest(_changed(request, profile, changes), changes)


def _changed(request: LaunchRequest, profile: Profile, changes: Mapping[str, Any]) -> LaunchRequest:
    """Return the request as the gate would make it of the changed options: shared memory follows the memory."""
    changed = replace(request, **changes)
    if "memory_gib" not in changes or "shm_gib" in request.options:
        return changed
    usual = changed.memory_gib / 2 if profile.shm_gib is None else min(profile.shm_gib.default, changed.memory_gib)
    return replace(changed, shm_gib=usual)


def _other_gpus(request: LaunchRequest, profile: Profile, capacity: Capacity) -> Iterator[dict[str, Any]]:
    """Return other numbers and types of GPUs: fewer of the same type, then as many of another one, then fewer."""
    if not request.gpus or request.gpu_ids is not None:
        return
    most = max((len(node.gpus) for node in capacity.nodes), default=0)
    fewer = [count for count in range(min(request.gpus - 1, most), 0, -1) if profile.gpus.accepts(count)]
    offered = profile.offered_gpu_types(capacity.gpu_types) if request.gpu_type is not None else ()
    types = [gpu_type for gpu_type in offered if gpu_type != request.gpu_type]
    yield from ({"gpus": count} for count in fewer)
    yield from ({"gpu_type": gpu_type} for gpu_type in types)
    yield from ({"gpus": count, "gpu_type": gpu_type} for gpu_type in types for count in fewer)


@dataclass(frozen=True)
class _Amounts:
    """The smaller amounts of one quantity that a profile permits, the least first."""

    count: int
    low: float = 0.0
    step: float = 0.0
    choices: tuple[float, ...] = ()

    @classmethod
    def below(cls, option: NumberOption, amount: float, least: float = 0.0) -> _Amounts:
        """Return those below ``amount``, and at least ``least``."""
        if option.choices:
            choices = sorted(choice for choice in option.choices if least <= choice < amount)
            return cls(len(choices), choices=tuple(choices))
        low = option.min + max(0, math.ceil((least - option.min) / option.step - 1e-9)) * option.step
        return cls(max(0, math.ceil((amount - low) / option.step - 1e-9)), low, option.step)

    def at(self, index: int) -> float:
        """Return one of them."""
        return self.choices[index] if self.choices else self.low + index * self.step

    def most(self, starts: Callable[[float], bool]) -> float:
        """Return the largest that starts; the least does, and whatever is less than one that does."""
        low, high = 0, self.count - 1
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if starts(self.at(middle)) else (low, middle - 1)
        return self.at(low)


def _smaller(request: LaunchRequest, profile: Profile) -> Mapping[str, _Amounts]:
    shared = request.shm_gib if "shm_gib" in request.options else 0.0
    return {
        "cpu": _Amounts.below(profile.cpu, request.cpu),
        "memory_gib": _Amounts.below(profile.memory_gib, request.memory_gib, least=shared),
    }


def _shrunk(
    other: Mapping[str, Any], smaller: Mapping[str, _Amounts], starts: Callable[[Mapping[str, Any]], bool]
) -> dict[str, Any] | None:
    """Return the choice with as little less CPU or memory as lets it start; None if nothing does."""
    for keys in (("cpu",), ("memory_gib",), ("cpu", "memory_gib")):
        changes = {**other, **{key: smaller[key].at(0) for key in keys if smaller[key].count}}
        if not all(key in changes for key in keys) or not starts(changes):
            continue
        for key in keys:
            changes[key] = smaller[key].most(partial(_starts_with, starts, dict(changes), key))
        return changes
    return None


def _starts_with(
    starts: Callable[[Mapping[str, Any]], bool], changes: Mapping[str, Any], key: str, amount: float
) -> bool:
    return starts({**changes, key: amount})
