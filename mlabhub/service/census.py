"""Count what runs before anything is given away: no decision is made on a ledger that may be older than the machine.

A ledger that was restored from yesterday, or is new, does not know the servers that run. Their GPUs are taken all the
same. So, once after each start of the service and before its first decision, every running server without a reservation
gets one, as `unknown`; what the hub says about them is the reconciler's concern, later.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from mlabhub.core.admission import Capacity
from mlabhub.core.gpu_types import with_types
from mlabhub.inventory import Backend, BackendServer
from mlabhub.ledger import Ledger, Reservation
from mlabhub.messages import N_, Message
from mlabhub.service import reservations
from mlabhub.service.capacity import NO_TYPES, GpuTypes
from mlabhub.service.writer import Writer

log = logging.getLogger(__name__)
WHY = N_("it was found running without a reservation, before anything was given away")


class Census:
    """Counts once; until that was possible, nothing is decided."""

    def __init__(
        self,
        writer: Writer,
        ledger: Ledger,
        backend: Backend,
        clock: Callable[[], float],
        gpu_types: Callable[[], GpuTypes] = lambda: NO_TYPES,
    ):
        self._writer = writer
        self._ledger = ledger
        self._backend = backend
        self._clock = clock
        self._gpu_types = gpu_types
        self._lock = asyncio.Lock()
        self._done = False

    async def ensure(self) -> None:
        """Return when all that runs is counted. Raises the backend's `Unavailable` while it cannot be asked."""
        if self._done:
            return
        async with self._lock:
            if not self._done:
                await self._count()
                self._done = True

    async def _count(self) -> None:
        servers, capacity = await asyncio.gather(self._backend.servers(), self._backend.capacity())
        capacity = with_types(capacity, self._gpu_types())
        running = {server.launch_id for server in servers if server.state != "exited"}
        for server in servers:
            if server.state == "exited" or self._writer.projection.launch(server.launch_id) is not None:
                continue
            last = await asyncio.to_thread(self._ledger.reservation, server.launch_id)
            now = self._clock()
            found = make_found(server, last, capacity, now)
            if await self._writer.submit(reservations.adopt(found, running, now, Message(WHY), capacity)) is None:
                log.error("Not counted, for another server of its name runs: %s/%s", server.user, server.server_name)


def make_found(server: BackendServer, last: Reservation | None, capacity: Capacity, now: float) -> Reservation:
    """Return an `unknown` reservation of a server that was found; what is known of its launch is taken over."""
    if last is not None:
        node = server.node or last.node
        return replace(last, state="unknown", released=None, gpus=server.gpus, node=node, failure=server.lost)
    known = [capacity.gpus[uuid] for uuid in server.gpus if uuid in capacity.gpus]
    nodes = (
        [server.node]
        if server.node
        else [gpu.node for gpu in known] or [node.name for node in capacity.nodes if len(capacity.nodes) == 1]
    )
    started = server.started if server.started is not None else now
    return Reservation(
        launch_id=server.launch_id,
        user=server.user,
        server=server.server_name,
        state="unknown",
        created=started,
        changed=now,
        deadline=now,
        origin="adopted",
        actor="reconciler",
        gpus=server.gpus,
        gpu_type=known[0].type if known else None,
        node=nodes[0] if nodes else "",
        cpu=server.cpu,
        memory_gib=server.memory_gib,
        failure=server.lost,
        held=started,
    )
