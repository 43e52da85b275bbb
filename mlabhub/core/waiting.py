"""Who waits, as admission needs to know it: what somebody asked for and could not have because of what others hold.

Guarantees: nobody counts as waiting for themself; who waits for the rest of a group's limit is only in the way of those
whom the same group pays for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mlabhub.core.profiles import LaunchRequest
from mlabhub.core.units import GPU, GPU_PREFIX, SERVERS


@dataclass(frozen=True)
class Waiting:
    """One person who waits. ``lacks`` are the resources that were short, by their names in quotas.

    ``in_group``: it was their group's limit that others used up, not the machines.
    """

    request: LaunchRequest
    since: float
    lacks: frozenset[str]
    in_group: bool = False

    @property
    def user(self) -> str:
        """Who waits."""
        return self.request.user

    @property
    def group(self) -> str | None:
        """Which group would pay."""
        return self.request.group

    def needs(self, resource: str) -> bool:
        """Whether they would be helped by more of a resource. A server less is more of everything."""
        return any(resource == one or SERVERS in (resource, one) or _same_gpus(resource, one) for one in self.lacks)


def others_wait(queue: Iterable[Waiting], request: LaunchRequest, resource: str) -> bool:
    """Whether somebody else waits for a resource of which this request takes some."""
    return any(one.needs(resource) and _counts(one, request) for one in queue)


def in_the_way(queue: Iterable[Waiting], request: LaunchRequest) -> tuple[Waiting, ...]:
    """Return those who wait as far as they matter to a request, one for each thing that is waited for."""
    return tuple({one.lacks: one for one in queue if _counts(one, request)}.values())


def _counts(one: Waiting, request: LaunchRequest) -> bool:
    return one.user != request.user and (not one.in_group or one.group == request.group)


def _same_gpus(one: str, other: str) -> bool:
    """Whether one of two resources is GPUs of any type, and the other one GPUs, too."""
    return GPU in (one, other) and all(name == GPU or name.startswith(GPU_PREFIX) for name in (one, other))
