"""The cluster put a server on another node than was planned: which slots it holds there.

Guarantees: pure; a server gets as many slots as it held, of the same resources, on the node where it is; slots that it
has there already stay its own; no slot gets two holders. Where none is free, it takes those of servers that have not
been put anywhere yet, and these are counted on beyond what the node has, until they are put somewhere or give up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator

from mlabhub.core.capacity import Capacity
from mlabhub.core.holdings import Holding, Holdings
from mlabhub.core.slots import Slot, free_slots, split_slot

Moves = dict[str, tuple[str, ...]]
"""GPUs by launch."""


def move(holding: Holding, node: str, capacity: Capacity, holdings: Holdings, unplaced: Collection[str] = ()) -> Moves:
    """Return what a launch holds on the node where it is, and after it what others hold who have to make room.

    ``holding`` need not be among ``holdings``. ``unplaced`` are launches that have not been put anywhere yet. GPUs that
    are no slots stay as they are.
    """
    slots = [slot for slot in map(split_slot, holding.gpus) if slot is not None]
    if len(slots) != len(holding.gpus):
        return {holding.launch_id: holding.gpus}
    found = _Finder(holding.launch_id, node, capacity, holdings)
    own: list[str] = []
    for resource, count in Counter(slot.resource for slot in slots).items():
        kept = [uuid for uuid in found.real(resource) if uuid in holding.gpus and found.is_its_own(uuid)]
        own += found.choose(resource, count, kept, unplaced)
    return {holding.launch_id: tuple(own), **found.others}


class _Finder:
    """Finds slots of one node for one launch; ``others`` are those who had to make room."""

    def __init__(self, launch_id: str, node: str, capacity: Capacity, holdings: Holdings):
        self._launch_id = launch_id
        self._node = node
        self._holdings = holdings
        gpus = next((one.gpus for one in capacity.nodes if one.name == node), ())
        self._usable = [gpu.uuid for gpu in gpus if gpu.usable]
        self._numbers = [slot.number for slot in map(split_slot, (gpu.uuid for gpu in gpus)) if slot is not None]
        self._taken: set[str] = set()
        self.others: Moves = {}

    def real(self, resource: str) -> list[str]:
        """Return the slots that the node has."""
        prefix = Slot(self._node, resource, 0).uuid.removesuffix("0")
        return [uuid for uuid in self._usable if uuid.startswith(prefix)]

    def choose(self, resource: str, count: int, kept: list[str], unplaced: Collection[str]) -> list[str]:
        """Return slots of a resource: those that it has, free ones, those of others, and made up ones."""
        real = self.real(resource)
        chosen = [*kept, *(uuid for uuid in real if uuid not in kept and self._is_free(uuid))][:count]
        for uuid in [uuid for uuid in real if uuid not in chosen]:
            if len(chosen) < count and self._give_way(uuid, resource, unplaced):
                chosen.append(uuid)
        beyond = self._beyond(resource)
        chosen += [next(beyond) for _ in range(count - len(chosen))]
        self._taken.update(chosen)
        return chosen

    def is_its_own(self, uuid: str) -> bool:
        """Whether nobody else holds a slot."""
        holder = self._holdings.holder_of(uuid)
        return holder is None or holder.launch_id == self._launch_id

    def _is_free(self, uuid: str) -> bool:
        return self._holdings.is_free(uuid) and uuid not in self._taken

    def _give_way(self, uuid: str, resource: str, unplaced: Collection[str]) -> bool:
        holder = self._holdings.holder_of(uuid)
        if holder is None or holder.launch_id == self._launch_id or holder.launch_id not in unplaced:
            return False
        instead = next(self._beyond(resource))
        self._taken.add(instead)
        held = self.others.get(holder.launch_id, holder.gpus)
        self.others[holder.launch_id] = tuple(instead if one == uuid else one for one in held)
        return True

    def _beyond(self, resource: str) -> Iterator[str]:
        """Yield slots that the node does not have, and that nobody is counted on yet."""
        first = max(self._numbers, default=-1) + 1
        return (uuid for uuid in free_slots(self._node, resource, self._taken, first) if self._is_free(uuid))
