"""The most that one machine has, and what of a profile a page can offer because of it.

Guarantees: pure; without any machine nothing is known of what there is, and nothing is bounded.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from mlabhub.core.capacity import Capacity
from mlabhub.core.profiles import Profile


@dataclass(frozen=True)
class Bounds:
    """The most that one machine has of each; ``gpus`` by type, those that are not divided."""

    cpu: float
    memory_gib: float
    gpus: tuple[tuple[str, int], ...]


def bounds_of(capacity: Capacity) -> Bounds | None:
    """Return the most that one machine has; None where there is none, so that nothing is known."""
    nodes = capacity.nodes
    if not nodes:
        return None
    counts = [Counter(gpu.type for gpu in node.gpus if not gpu.divided) for node in nodes]
    gpus = tuple((gpu_type, max(count[gpu_type] for count in counts)) for gpu_type in capacity.gpu_types)
    return Bounds(max(node.cpu for node in nodes), max(node.memory_gib for node in nodes), gpus)


def bounded_by(profile: Profile, capacity: Capacity) -> Profile:
    """Return the profile with the amounts that the largest machine can serve, for pages to offer.

    Without any machine, nothing is known of what there is, and the profile stays as it is.
    """
    return bounded_within(profile, bounds_of(capacity))


def bounded_within(profile: Profile, bounds: Bounds | None) -> Profile:
    """Return the same by what `bounds_of` said."""
    if bounds is None:
        return profile
    gpus = dict(bounds.gpus)
    memory = profile.memory_gib.at_most(bounds.memory_gib)
    bounded = {
        "cpu": profile.cpu.at_most(bounds.cpu),
        "memory_gib": memory,
        "gpus": profile.gpus.at_most(max((gpus[one] for one in profile.offered_gpu_types(gpus)), default=0)),
        "shm_gib": profile.shm_gib and profile.shm_gib.at_most(memory.max),
    }
    return profile.model_copy(update=bounded)
