"""Guarantees held against what the machines have: more than there is cannot be kept, and administrators are told.

Guarantees: pure; what machines have counts whether it is in use or not; without any machine nothing is known, and
nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mlabhub.core.capacity import Capacity
from mlabhub.core.quotas import ALL_NODES, GroupQuota, Quotas
from mlabhub.core.quote import plain
from mlabhub.core.units import CPU, GPU, GPU_PREFIX, MEMORY, format_amount, from_micro, to_micro
from mlabhub.messages import N_, Message

MORE_THAN_THERE_IS = N_(
    "Groups are guaranteed {guaranteed} together, and the machines have {there}: {groups}. Whoever asks for the rest "
    "of a guarantee may find nothing to take back."
)
MOST_GROUPS = 8


def notes_on_sums(quotas: Quotas, capacity: Capacity) -> Iterator[Message]:
    """Say of each resource of which more is guaranteed than there is."""
    if not capacity.nodes:
        return
    for resource, there in _there(capacity, quotas).items():
        parts = {name: _guaranteed(group, resource) for name, group in quotas.groups.items()}
        together = sum(parts.values())
        if together > there:
            yield Message.of(
                MORE_THAN_THERE_IS,
                guaranteed=format_amount(resource, from_micro(together)),
                there=format_amount(resource, from_micro(there)),
                groups=_listed(resource, parts),
            )


def _there(capacity: Capacity, quotas: Quotas) -> dict[str, int]:
    """Return what there is in all of each resource that is guaranteed, in millionths."""
    gpus = [gpu.type for node in capacity.nodes for gpu in node.gpus if not gpu.divided]
    there = {
        CPU: sum(to_micro(node.cpu * quotas.cpu_overcommit) for node in capacity.nodes),
        MEMORY: sum(to_micro(node.memory_gib) for node in capacity.nodes),
        GPU: to_micro(len(gpus)),
    }
    for one in sorted({key for group in quotas.groups.values() for key in group.guaranteed}):
        if one.startswith(GPU_PREFIX):
            there[one] = to_micro(gpus.count(one.removeprefix(GPU_PREFIX)))
    return there


def _guaranteed(group: GroupQuota, resource: str) -> int:
    """Return what a group is guaranteed; of GPUs in all it is no less than of all types together."""
    amount = to_micro(group.guaranteed.get(resource, 0.0))
    if resource != GPU:
        return amount
    return max(amount, sum(to_micro(one) for key, one in group.guaranteed.items() if key.startswith(GPU_PREFIX)))


def _listed(resource: str, parts: dict[str, int]) -> str:
    largest = sorted(((amount, name) for name, amount in parts.items() if amount), key=lambda one: (-one[0], one[1]))
    told = [f"{plain(name)} {format_amount(resource, from_micro(amount))}" for amount, name in largest[:MOST_GROUPS]]
    return ", ".join(told) + (", …" if len(largest) > MOST_GROUPS else "")


def unknown_machines(quotas: Quotas, capacity: Capacity, now: float) -> tuple[str, ...]:
    """Return the machines of a maintenance, now or ahead, that are not there; none where no machine is known."""
    there = {ALL_NODES, *(node.name for node in capacity.nodes)}
    named = (name for one in quotas.maintenance if one.until > now for name in one.nodes)
    return tuple(dict.fromkeys(name for name in named if name not in there)) if capacity.nodes else ()


def unknown_groups(quotas: Quotas, known: Iterable[str]) -> tuple[str, ...]:
    """Return the groups with a quota that the hub does not have."""
    there = frozenset(known)
    return tuple(name for name in quotas.groups if name not in there)
