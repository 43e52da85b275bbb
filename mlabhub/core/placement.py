"""Where a server can run: what is free on each node, and the place that leaves the largest holes.

Guarantees: a place has all that is asked for at once, on one node that takes servers, with usable GPUs of one type
that nobody holds; where there is such a place, one is found. Placement is best fit: of all places the one where the
fewest GPUs of that type are left, then the least CPU and memory; a server without GPUs goes to nodes with few first.
Where there are many nodes, their rooms are kept in that order beside the holdings: a place is found among them without
a look at every node, and only the nodes on which something changed are looked at anew.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Collection, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

from mlabhub.core.capacity import Capacity, Gpu, Node, Placement
from mlabhub.core.holdings import Holdings, Kept, Usage
from mlabhub.core.profiles import LaunchRequest
from mlabhub.core.sharing.model import Claim
from mlabhub.core.units import CPU, GPU, GPU_PREFIX, MEMORY, from_micro, to_micro

Claims = Mapping[str, Sequence[Claim]]
NO_CLAIMS: Claims = {}

_NO_TYPE: tuple[None] = (None,)
_RANK = attrgetter("rank")
FEW = 4
"""So many nodes are looked at one by one."""


class Room(NamedTuple):
    """What one node could give to one server: GPUs of one type, CPU and memory in millionths."""

    node: Node
    gpu_type: str | None
    gpus: Sequence[Gpu]
    cpu: int
    memory: int
    rank: tuple[int, int, int, int, str, str]
    """Its order of preference, the least first."""

    def of(self, resource: str) -> int:
        """Return the amount of a resource, in millionths; ``gpu`` is the one type."""
        if resource == GPU:
            return to_micro(len(self.gpus))
        return {CPU: self.cpu, MEMORY: self.memory}[resource]


def needs_of(request: LaunchRequest) -> dict[str, int]:
    """Return what one node must give at once, in millionths, scarcest kind first."""
    return {GPU: to_micro(request.gpus), CPU: to_micro(request.cpu), MEMORY: to_micro(request.memory_gib)}


def find_place(
    request: LaunchRequest,
    gpu_types: Sequence[str],
    overcommit: float,
    holdings: Holdings,
    capacity: Capacity,
    claims: Claims = NO_CLAIMS,
) -> Placement | None:
    """Return the best place for a request whose GPUs may be of any one of ``gpu_types``, or None.

    What is claimed on a node is not free.
    """
    gpus, cpu, memory = request.gpus, to_micro(request.cpu), to_micro(request.memory_gib)
    if request.gpu_ids is None and len(capacity.nodes) > FEW:
        rooms = _best_rooms(request, gpu_types, overcommit, holdings, capacity, claims)
    else:
        rooms = free_rooms(request, gpu_types, overcommit, holdings, capacity, claims)
    fitting = (room for room in rooms if len(room.gpus) >= gpus and room.cpu >= cpu and room.memory >= memory)
    best = min(fitting, key=_RANK, default=None)
    if best is None:
        return None
    chosen = best.gpus[:gpus]
    return Placement(best.node.name, tuple(gpu.uuid for gpu in chosen), best.gpu_type if chosen else None)


def free_gpus(
    profile: str, gpu_type: str, overcommit: float, holdings: Holdings, capacity: Capacity, claims: Claims = NO_CLAIMS
) -> int:
    """Return how many GPUs of a type are free and claimed by nobody, on nodes that take servers of a profile."""
    shelf = _shelf_of(gpu_type, overcommit, holdings, capacity)
    free = 0
    for room in shelf.with_gpus(1):
        node = room.node
        if node.schedulable and node.is_for(profile):
            free += len((_unclaimed(room, claims[node.name]) if node.name in claims else room).gpus)
    return free


class _Shelf:
    """What is free of one GPU type on each node of a capacity, in order of preference."""

    def __init__(self, capacity: Capacity, rooms: Iterator[Room]) -> None:
        self.capacity = capacity
        self.of = {room.node.name: room for room in rooms}
        self._ordered = sorted(self.of.values(), key=_RANK)

    def renew(self, room: Room) -> None:
        """Take over what is free on a node now."""
        at = bisect_left(self._ordered, self.of[room.node.name].rank, key=_RANK)
        del self._ordered[at]
        insort(self._ordered, room, key=_RANK)
        self.of[room.node.name] = room

    def with_gpus(self, gpus: int) -> Iterator[Room]:
        """Return the rooms with at least so many GPUs, the best first."""
        ordered = self._ordered
        return (ordered[at] for at in range(bisect_left(ordered, (gpus,), key=_RANK), len(ordered)))


def _shelf_of(gpu_type: str | None, overcommit: float, holdings: Holdings, capacity: Capacity) -> _Shelf:
    kept = holdings.kept.get((gpu_type, overcommit))
    if kept is None or kept.value.capacity is not capacity:
        rooms = (_room_of(node, gpu_type, overcommit, holdings) for node in capacity.nodes)
        kept = holdings.kept[gpu_type, overcommit] = Kept(_Shelf(capacity, rooms))
    shelf: _Shelf = kept.value
    while kept.stale:
        known = shelf.of.get(kept.stale.pop())
        if known is not None:
            shelf.renew(_room_of(known.node, gpu_type, overcommit, holdings))
    return shelf


def _best_rooms(
    request: LaunchRequest,
    gpu_types: Sequence[str],
    overcommit: float,
    holdings: Holdings,
    capacity: Capacity,
    claims: Claims,
) -> Iterator[Room]:
    """Return of each GPU type the best room in which nothing is claimed, and all in which something is."""
    cpu, memory, profile = to_micro(request.cpu), to_micro(request.memory_gib), request.profile
    for gpu_type in gpu_types if request.gpus else _NO_TYPE:
        shelf = _shelf_of(gpu_type, overcommit, holdings, capacity)
        for room in shelf.with_gpus(request.gpus):
            node = room.node
            if room.cpu < cpu or room.memory < memory or node.name in claims:
                continue
            if node.schedulable and node.is_for(profile):
                yield room
                break
        for name in claims.keys() & shelf.of.keys() if claims else ():
            node = shelf.of[name].node
            if node.schedulable and node.is_for(profile):
                yield _unclaimed(shelf.of[name], claims[name])


def free_rooms(
    request: LaunchRequest,
    gpu_types: Sequence[str],
    overcommit: float,
    holdings: Holdings,
    capacity: Capacity,
    claims: Claims = NO_CLAIMS,
) -> Iterator[Room]:
    """Return what is free on each node that takes servers, by GPU type; only the GPUs chosen by id, if any."""
    for node in capacity.nodes:
        if not (node.schedulable and node.is_for(request.profile)):
            continue
        for gpu_type in gpu_types if request.gpus else _NO_TYPE:
            room = _room_of(node, gpu_type, overcommit, holdings)
            if claims and node.name in claims:
                room = _unclaimed(room, claims[node.name])
            yield room if request.gpu_ids is None else _asked(room, request.gpu_ids)


def whole_rooms(request: LaunchRequest, gpu_types: Sequence[str], capacity: Capacity) -> Iterator[Room]:
    """Return what each node for such servers has when nobody uses anything, all is healthy and no node is closed."""
    for node in capacity.nodes:
        if not node.is_for(request.profile):
            continue
        for gpu_type in gpu_types if request.gpus else _NO_TYPE:
            gpus = [gpu for gpu in node.gpus if gpu.type == gpu_type and not gpu.divided]
            room = _room(node, gpu_type, gpus, node.cpu_micro, node.memory_micro)
            yield room if request.gpu_ids is None else _asked(room, request.gpu_ids)


def _room_of(node: Node, gpu_type: str | None, overcommit: float, holdings: Holdings) -> Room:
    """Return what is free on one node, of one GPU type, as it was worked out before if nothing changed."""
    notes = holdings.notes(node)
    room: Room | None = notes.get((gpu_type, overcommit))
    if room is None or room.node is not node:
        room = notes[gpu_type, overcommit] = _free_room(node, gpu_type, overcommit, holdings)
    return room


def _free_room(node: Node, gpu_type: str | None, overcommit: float, holdings: Holdings) -> Room:
    usage, held = holdings.node(node.name), holdings.gpus
    # CPUs may be promised several times over, but no server gets more than the machine has.
    shared = int((node.cpu_micro - to_micro(node.cpu_taken)) * overcommit)
    cpu = max(0, min(node.cpu_micro, shared - usage.get(CPU)))
    memory = max(0, node.memory_micro - to_micro(node.memory_gib_taken) - usage.get(MEMORY))
    gpus = [gpu for gpu in node.usable.get(gpu_type, ()) if gpu.uuid not in held] if gpu_type else []
    free = free_count(node, gpu_type, len(gpus), usage) if gpu_type else 0
    return _room(node, gpu_type, gpus[:free], cpu, memory)


def free_count(node: Node, gpu_type: str, unheld: int, usage: Usage) -> int:
    """Return how many GPUs of a type can be had, of which that many are usable and held by none of our servers."""
    if node.counted:  # also what is held under a number that the node does not have any more
        held = round(from_micro(usage.get(GPU_PREFIX + gpu_type)))
        unheld = min(unheld, len(node.usable.get(gpu_type, ())) - held)
    return max(0, unheld - node.gpus_taken.get(gpu_type, 0))


def _room(node: Node, gpu_type: str | None, gpus: Sequence[Gpu], cpu: int, memory: int) -> Room:
    rank = (len(gpus), len(node.gpus), cpu, memory, node.name, gpu_type or "")
    return Room(node, gpu_type, gpus, cpu, memory, rank)


def _unclaimed(room: Room, claims: Sequence[Claim]) -> Room:
    gpus = sum(one.gpus for one in claims if one.gpu_type == room.gpu_type)
    cpu = max(0, room.cpu - sum(one.cpu for one in claims))
    memory = max(0, room.memory - sum(one.memory for one in claims))
    return _room(room.node, room.gpu_type, room.gpus[: max(0, len(room.gpus) - gpus)], cpu, memory)


def _asked(room: Room, gpu_ids: Collection[str]) -> Room:
    """Keep the GPUs that were chosen by id; of slots, none can be."""
    gpus = [gpu for gpu in room.gpus if gpu.uuid in gpu_ids and not room.node.counted]
    return _room(room.node, room.gpu_type, gpus, room.cpu, room.memory)
