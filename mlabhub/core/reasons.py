"""Why a launch cannot start: a code for programs and a sentence for people.

Guarantees: who holds what is told by `name_holder` and `describe_holders` alone, to a `Viewer`, so that what may be
said about others is decided in one place.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from mlabhub.core.holdings import Holding
from mlabhub.core.privacy import Held, Viewer
from mlabhub.core.quote import plain
from mlabhub.core.units import CPU, GPU, GPU_PREFIX, MEMORY, SERVERS, format_gpu_type, format_number
from mlabhub.messages import N_, Message

NEVER = frozenset({"group_never", "user_never", "never_fits", "no_such_gpu"})
"""Codes that waiting does not cure."""

MOST_NAMES = 10

BETWEEN = {" ": N_("{first} {second}"), ", ": N_("{first}, {second}"), "; ": N_("{first}; {second}")}


@dataclass(frozen=True)
class Reason:
    """One reason. ``resource`` is what it is about, named as in quotas; empty where it is about something else."""

    code: str
    message: Message
    resource: str = ""


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


def name_holder(held: Held, viewer: Viewer) -> Message | str:
    """Say who holds something, as far as the viewer may know it."""
    if viewer.may_see(held):
        return plain(held.user)
    return Message(N_("somebody of another group") if viewer.privacy == "group" and held.group else N_("somebody else"))


def describe_holders(holders: Mapping[str, float], group: str | None, viewer: Viewer) -> Message | str:
    """Say who holds how much of what a group pays for: ``alice 2, others 4``; of many names, those who hold most."""
    known = {name: amount for name, amount in holders.items() if viewer.may_know(name, group)}
    shown = sorted(heapq.nsmallest(MOST_NAMES, known, key=lambda name: (-known[name], name)))
    text = listed([f"{plain(name)} {format_number(known[name])}" for name in shown], len(known))
    if len(known) == len(holders):
        return text
    rest = sum(amount for name, amount in holders.items() if name not in known)
    others = Message.of(N_("others {amount}"), amount=format_number(rest))
    return Message.of(N_("{first}, {second}"), first=text, second=others) if known else others


def describe_servers(holdings: Iterable[Holding], resource: str) -> Message | str:
    """Say how much of a resource each of one user's servers holds: ``train 2, default 1``; of servers, their names."""
    held = ((holding.server or "default", holding.amounts.get(resource, 0)) for holding in holdings)
    parts = [server if resource == SERVERS else f"{server} {format_number(n)}" for server, n in held if n]
    return listed(parts[:MOST_NAMES], len(parts))


def listed(shown: Sequence[str], count: int) -> Message | str:
    """Say what is shown of a longer list."""
    text = ", ".join(shown)
    if count > len(shown):
        return Message.of(N_("{shown} and {more} more"), shown=text, more=count - len(shown))
    return text


def sentences(parts: Sequence[Message]) -> Message:
    """Return several sentences as one message."""
    return joined(" ", parts)


def joined(separator: str, parts: Sequence[Message]) -> Message:
    """Return several messages as one, with what a language has in place of the separator."""
    between = BETWEEN[separator]
    return reduce(lambda first, second: Message.of(between, first=first, second=second), parts or [Message("")])
