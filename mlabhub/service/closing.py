"""What the machines have, those closed that are being maintained.

Guarantees: while its maintenance lasts nothing new starts on a machine, by whatever way it comes; between two changes
it is the same object, as placement remembers machines by what they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mlabhub.core.capacity import Capacity, Node
from mlabhub.core.quotas import Maintenance, Quotas
from mlabhub.messages import N_, Message
from mlabhub.service.capacity import CapacityCache

CLOSED = N_("It is being maintained ({reason}), and takes no servers until that is over.")


class ClosingCapacity:
    """Asks ``source``, and closes machines by the maintenance in ``quotas``."""

    def __init__(self, source: CapacityCache, quotas: Callable[[], Quotas], clock: Callable[[], float]):
        self._source = source
        self._quotas = quotas
        self._clock = clock
        self._kept: tuple[Capacity, dict[str, Maintenance], Capacity] | None = None

    async def get(self) -> Capacity:
        """Return what there is. Raises the backend's `MLabError` if that is not known."""
        return self._closed(await self._source.get())

    async def look(self) -> Capacity:
        """Return what there is now, asked after this was called. Raises the backend's `MLabError`."""
        return self._closed(await self._source.look())

    def _closed(self, capacity: Capacity) -> Capacity:
        quotas, now = self._quotas(), self._clock()
        if not quotas.maintenance:
            return capacity
        windows = {node.name: quotas.maintenance_of(node.name, now) for node in capacity.nodes}
        begun = {name: one for name, one in windows.items() if one is not None and one.start <= now}
        if self._kept is None or self._kept[0] is not capacity or self._kept[1] != begun:
            nodes = tuple(_close(node, begun[node.name]) if node.name in begun else node for node in capacity.nodes)
            self._kept = (capacity, begun, Capacity(nodes) if begun else capacity)
        return self._kept[2]


def _close(node: Node, window: Maintenance) -> Node:
    note = Message.of(CLOSED, reason=window.reason)
    return replace(node, schedulable=False, notes=(*node.notes, note), maintained=window.reason)
