"""What there is: nodes with their CPUs, memory and GPUs.

Guarantees: values; what cannot be handed out (a GPU that is not healthy, that something outside of the hub uses or may
use, or that is divided into slices; a node that takes no servers) is listed, and never counted as usable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from mlabhub.core.units import to_micro
from mlabhub.messages import Message


@dataclass(frozen=True)
class GpuProcess:
    """A process that uses a GPU, and that no server accounts for which holds it.

    ``blocks`` is false for the little that a display takes; ``launch_id`` names the launch that started it, if one did:
    it was left behind, or it uses a GPU of somebody else.
    """

    pid: int
    name: str
    memory_gib: float | None = None
    blocks: bool = True
    launch_id: str = ""


@dataclass(frozen=True)
class Gpu:
    """One GPU, or one slice of a divided one. ``type`` is the slug (``a100``), ``cdi`` the device that an engine takes.

    ``utilisation`` (percent) and ``used_gib`` are as of this look; None where they are not known, as with slices'
    utilisation, which nobody measures.

    ``health`` says what is known against it, in words; some of it does not make it unhealthy. ``busy``: used from
    outside of the hub; None if that cannot be told. A ``divided`` GPU is not handed out, its slices are: they have its
    UUID as ``parent`` and their profile (``1g.10gb``) as ``mig``.
    """

    uuid: str
    type: str
    node: str
    name: str
    memory_gib: float | None = None
    simulated: bool = False
    healthy: bool = True
    cdi: str = ""
    index: int | None = None
    utilisation: float | None = None
    used_gib: float | None = None
    health: tuple[Message, ...] = ()
    busy: bool | None = False
    processes: tuple[GpuProcess, ...] = ()
    divided: bool = False
    mig: str = ""
    parent: str = ""

    @property
    def usable(self) -> bool:
        """Whether it may be handed out, if nobody holds it."""
        return self.healthy and self.busy is False and not self.divided


@dataclass(frozen=True)
class Taker:
    """Who else holds GPUs of a node: on Kubernetes, the pods of a namespace. ``gpus`` are their numbers by type."""

    namespace: str
    gpus: Mapping[str, int] = field(hash=False)


@dataclass(frozen=True)
class Node:
    """One machine: cores, GiB, GPUs; ``schedulable`` is false while it takes no new servers.

    If ``counted``, the cluster decides which of its GPUs a server gets: they are slots, and only the number counts.
    It takes servers of all profiles but those of ``exceptions``, or, if not ``for_all``, of those alone. ``notes`` say
    in words what is to be known about it: why it takes no servers, or not those of every profile. ``maintained`` says
    what for, while that is why.

    ``gpu_fault`` says why its GPUs cannot be read, if so: those that are listed are what was known before.

    ``cpu_taken``, ``memory_gib_taken`` and ``gpus_taken`` (by type) are what others than our servers hold of it where
    nobody tells which of its GPUs that are: on Kubernetes, pods that are not ours. ``takers`` are those who hold GPUs.
    """

    name: str
    cpu: float
    memory_gib: float
    gpus: tuple[Gpu, ...] = ()
    schedulable: bool = True
    gpu_fault: Message | None = None
    counted: bool = False
    for_all: bool = True
    exceptions: frozenset[str] = frozenset()
    notes: tuple[Message, ...] = ()
    maintained: str = ""
    cpu_taken: float = 0.0
    memory_gib_taken: float = 0.0
    gpus_taken: Mapping[str, int] = field(default_factory=dict, hash=False)
    takers: tuple[Taker, ...] = ()

    def is_for(self, profile: str) -> bool:
        """Whether it ever takes servers of a profile."""
        return self.for_all != (profile in self.exceptions)

    @cached_property
    def usable(self) -> Mapping[str, tuple[Gpu, ...]]:
        """The GPUs that may be handed out, by type, in the inventory's order."""
        by_type: dict[str, list[Gpu]] = {}
        for gpu in self.gpus:
            if gpu.usable:
                by_type.setdefault(gpu.type, []).append(gpu)
        return {gpu_type: tuple(gpus) for gpu_type, gpus in by_type.items()}

    @cached_property
    def whole(self) -> Mapping[str, int]:
        """How many GPUs of each type there are that are not divided, whoever uses them."""
        counts: dict[str, int] = {}
        for gpu in self.gpus:
            if not gpu.divided:
                counts[gpu.type] = counts.get(gpu.type, 0) + 1
        return counts

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
        """The types that there are to be handed out, now or later, most frequent first."""
        counts: dict[str, int] = {}
        for gpu in self.gpus.values():
            if gpu.divided:
                continue
            counts[gpu.type] = counts.get(gpu.type, 0) + 1
        return tuple(sorted(counts, key=lambda gpu_type: (-counts[gpu_type], gpu_type)))

    @cached_property
    def products(self) -> Mapping[str, tuple[str, ...]]:
        """What the GPUs of each type are called by their makers."""
        names: dict[str, set[str]] = {}
        for gpu in self.gpus.values():
            if gpu.name:
                names.setdefault(gpu.type, set()).add(gpu.name)
        return {gpu_type: tuple(sorted(found)) for gpu_type, found in names.items()}


def products_of(capacity: Capacity, gpu_type: str | None) -> tuple[str, ...]:
    """Return what the GPUs of a type are called by their makers."""
    return capacity.products.get(gpu_type or "", ())


@dataclass(frozen=True)
class Placement:
    """Where a server runs and which GPUs it holds; ``gpu_type`` is theirs, None without any."""

    node: str
    gpus: tuple[str, ...] = ()
    gpu_type: str | None = None
