"""Where a server can run: what is free on each node, and the place that leaves the largest holes.

Guarantees: a place has all that is asked for at once, on one node that takes servers, with healthy GPUs of one type
that nobody holds; where there is such a place, one is found. Placement is best fit: of all places the one where the
fewest GPUs of that type are left, then the least CPU and memory; a server without GPUs goes to nodes with few first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mlabhub.core.capacity import Capacity, Gpu, Node, Placement
from mlabhub.core.holdings import Holdings
from mlabhub.core.profiles import LaunchRequest
from mlabhub.core.units import CPU, GPU, MEMORY, to_micro


@dataclass(frozen=True)
class Room:
    """What one node could give to one server: GPUs of one type, CPU and memory in millionths."""

    node: Node
    gpu_type: str | None
    gpus: tuple[Gpu, ...]
    cpu: int
    memory: int

    def of(self, resource: str) -> int:
        """Return the amount of a resource, in millionths; ``gpu`` is the one type."""
        return {CPU: self.cpu, MEMORY: self.memory, GPU: to_micro(len(self.gpus))}[resource]

    @property
    def rank(self) -> tuple[int, int, int, int, str, str]:
        """Order of preference, the least first."""
        return (len(self.gpus), len(self.node.gpus), self.cpu, self.memory, self.node.name, self.gpu_type or "")


def needs_of(request: LaunchRequest) -> dict[str, int]:
    """Return what one node must give at once, in millionths, scarcest kind first."""
    return {GPU: to_micro(request.gpus), CPU: to_micro(request.cpu), MEMORY: to_micro(request.memory_gib)}


def find_place(
    request: LaunchRequest, gpu_types: Sequence[str], overcommit: float, holdings: Holdings, capacity: Capacity
) -> Placement | None:
    """Return the best place for a request whose GPUs may be of any one of ``gpu_types``, or None."""
    needs = needs_of(request)
    rooms = free_rooms(request, gpu_types, overcommit, holdings, capacity)
    fitting = (room for room in rooms if all(room.of(resource) >= need for resource, need in needs.items()))
    best = min(fitting, key=lambda room: room.rank, default=None)
    if best is None:
        return None
    chosen = best.gpus[: request.gpus]
    return Placement(best.node.name, tuple(gpu.uuid for gpu in chosen), best.gpu_type if chosen else None)


def free_rooms(
    request: LaunchRequest, gpu_types: Sequence[str], overcommit: float, holdings: Holdings, capacity: Capacity
) -> Iterator[Room]:
    """Return what is free on each node that takes servers, by GPU type; only the GPUs chosen by id, if any."""
    for node in capacity.nodes:
        if not node.schedulable:
            continue
        usage = holdings.node(node.name)
        # CPUs may be promised several times over, but no server gets more than the machine has.
        cpu = max(0, min(to_micro(node.cpu), to_micro(node.cpu * overcommit) - usage.get(CPU)))
        memory = max(0, to_micro(node.memory_gib) - usage.get(MEMORY))
        if not request.gpus:
            yield Room(node, None, (), cpu, memory)
            continue
        for gpu_type in gpu_types:
            gpus = node.usable.get(gpu_type, ())
            yield Room(node, gpu_type, tuple(gpu for gpu in gpus if _is_open(gpu, request, holdings)), cpu, memory)


def whole_rooms(request: LaunchRequest, gpu_types: Sequence[str], capacity: Capacity) -> Iterator[Room]:
    """Return what each node has when nobody holds anything, all is healthy and every node takes servers."""
    for node in capacity.nodes:
        cpu, memory = to_micro(node.cpu), to_micro(node.memory_gib)
        for gpu_type in gpu_types if request.gpus else (None,):
            gpus = tuple(gpu for gpu in node.gpus if gpu.type == gpu_type and _is_asked(gpu, request))
            yield Room(node, gpu_type, gpus, cpu, memory)


def _is_open(gpu: Gpu, request: LaunchRequest, holdings: Holdings) -> bool:
    return holdings.is_free(gpu.uuid) and _is_asked(gpu, request)


def _is_asked(gpu: Gpu, request: LaunchRequest) -> bool:
    return request.gpu_ids is None or gpu.uuid in request.gpu_ids
