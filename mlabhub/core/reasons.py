"""Why a launch cannot start: a code for programs and a sentence for people.

Guarantees: who holds what is told by `name_holder` alone, so that what may be said about others is decided in one
place.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mlabhub.core.holdings import Holding
from mlabhub.core.quote import plain
from mlabhub.core.units import CPU, GPU, GPU_PREFIX, MEMORY, SERVERS, format_gpu_type, format_number
from mlabhub.messages import N_, Message

NEVER = frozenset({"group_never", "user_never", "never_fits", "no_such_gpu"})
"""Codes that waiting does not cure."""

MOST_NAMES = 10


@dataclass(frozen=True)
class Reason:
    """One reason."""

    code: str
    message: Message


def unit_of(resource: str) -> Message | str:
    """Return what stands behind an amount: ``A100``, ``GPU``, ``CPU``, ``GiB``, ``servers``."""
    if resource.startswith(GPU_PREFIX):
        return format_gpu_type(resource[len(GPU_PREFIX) :])
    units: dict[str, Message | str] = {
        CPU: "CPU",
        MEMORY: Message(N_("GiB of memory")),
        SERVERS: Message(N_("servers")),
        GPU: "GPU",
    }
    return units[resource]


def amount_of(resource: str, amount: float) -> Message:
    """Say an amount: ``2 A100``, ``16 GiB of memory``."""
    return Message.of(N_("{number} {unit}"), number=format_number(amount), unit=unit_of(resource))


def name_holder(user: str) -> str:
    """Return what may be told of who holds something."""
    return plain(user)


def describe_holders(holders: Mapping[str, float]) -> Message | str:
    """Say who holds how much, by name: ``alice 2, bob 4``; of many, those who hold most."""
    shown = sorted(heapq.nsmallest(MOST_NAMES, holders, key=lambda name: (-holders[name], name)))
    listed = [f"{name_holder(name)} {format_number(holders[name])}" for name in shown]
    return _list(listed, len(holders))


def describe_servers(holdings: Iterable[Holding], resource: str) -> Message | str:
    """Say how much of a resource each of one user's servers holds: ``train 2, default 1``."""
    held = ((holding.server or "default", holding.amounts.get(resource, 0)) for holding in holdings)
    listed = [f"{server} {format_number(amount)}" for server, amount in held if amount]
    return _list(listed[:MOST_NAMES], len(listed))


def _list(shown: Sequence[str], count: int) -> Message | str:
    text = ", ".join(shown)
    if count > len(shown):
        return Message.of(N_("{shown} and {more} more"), shown=text, more=count - len(shown))
    return text
