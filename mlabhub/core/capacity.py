"""What there is: nodes with their CPUs, memory and GPUs.

Guarantees: values; a GPU that is not healthy and a node that takes no servers are listed, and never counted as usable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from mlabhub.core.units import to_micro


@dataclass(frozen=True)
class Gpu:
    """One GPU. ``type`` is the slug (``a100``), ``cdi`` the device name that an engine takes."""

    uuid: str
    type: str
    node: str
    name: str
    memory_gib: float | None = None
    simulated: bool = False
    healthy: bool = True
    cdi: str = ""


@dataclass(frozen=True)
class Node:
    """One machine: cores, GiB, GPUs; ``schedulable`` is false while it takes no new servers."""

    name: str
    cpu: float
    memory_gib: float
    gpus: tuple[Gpu, ...] = ()
    schedulable: bool = True

    @cached_property
    def usable(self) -> Mapping[str, tuple[Gpu, ...]]:
        """Healthy GPUs by type, in the inventory's order."""
        by_type: dict[str, list[Gpu]] = {}
        for gpu in self.gpus:
            if gpu.healthy:
                by_type.setdefault(gpu.type, []).append(gpu)
        return {gpu_type: tuple(gpus) for gpu_type, gpus in by_type.items()}

    @cached_property
    def cpu_micro(self) -> int:
        """The cores in millionths."""
        return to_micro(self.cpu)

    @cached_property
    def memory_micro(self) -> int:
        """The memory in millionths of a GiB."""
        return to_micro(self.memory_gib)


@dataclass(frozen=True)
class Capacity:
    """All nodes."""

    nodes: tuple[Node, ...] = ()

    @cached_property
    def gpus(self) -> Mapping[str, Gpu]:
        """Every GPU by its UUID."""
        return {gpu.uuid: gpu for node in self.nodes for gpu in node.gpus}

    @cached_property
    def gpu_types(self) -> tuple[str, ...]:
        """The types that there are, most frequent first."""
        counts: dict[str, int] = {}
        for gpu in self.gpus.values():
            counts[gpu.type] = counts.get(gpu.type, 0) + 1
        return tuple(sorted(counts, key=lambda gpu_type: (-counts[gpu_type], gpu_type)))


@dataclass(frozen=True)
class Placement:
    """Where a server runs and which GPUs it holds; ``gpu_type`` is theirs, None without any."""

    node: str
    gpus: tuple[str, ...] = ()
    gpu_type: str | None = None
