"""What the machines have, asked again every few seconds and not for every launch.

Guarantees: an answer is at most `FRESH_S` old (`WATCHED_S` where the backend itself is told of every change), or
`OLDEST_S` while the machine takes longer than `PATIENCE_S` to answer; when the backend cannot be asked for longer than
that, launches are refused with its sentence rather than decided on what was once there. GPUs have the catalogue's types
as they are in force now.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from mlabhub.core.admission import Capacity
from mlabhub.core.gpu_types import GpuTypeSpec, with_types
from mlabhub.errors import MLabError

log = logging.getLogger(__name__)
FRESH_S = 10.0
WATCHED_S = 0.5
OLDEST_S = 60.0
PATIENCE_S = 1.0

GpuTypes = Mapping[str, GpuTypeSpec]
NO_TYPES: GpuTypes = {}


class CapacityCache:
    """Keeps the last answer of the backend. ``clock`` is monotonic; ``gpu_types`` returns the catalogue's."""

    def __init__(
        self,
        ask: Callable[[], Awaitable[Capacity]],
        clock: Callable[[], float],
        gpu_types: Callable[[], GpuTypes] = lambda: NO_TYPES,
        fresh_s: float = FRESH_S,
    ):
        self._ask = ask
        self._clock = clock
        self._known: Capacity | None = None
        self._at = self._asked_at = float("-inf")
        self._asking: asyncio.Task[Capacity] | None = None
        self._gpu_types = gpu_types
        self._fresh_s = fresh_s
        self._typed: tuple[Capacity, GpuTypes, Capacity] | None = None

    async def get(self) -> Capacity:
        """Return what there is. Raises the backend's `MLabError` if that is not known."""
        return self._with_types(await self._get())

    async def look(self) -> Capacity:
        """Return what there is now, asked after this was called. Raises the backend's `MLabError`."""
        return self._with_types(await self._refresh())

    async def _get(self) -> Capacity:
        age = self._clock() - self._at
        if self._known is not None and age < self._fresh_s:
            return self._known
        if self._asking is None:
            self._asked_at = self._clock()
            self._asking = asyncio.create_task(self._refresh(), name="capacity")
            self._asking.add_done_callback(_note_failure)
        if self._known is not None and age < OLDEST_S:
            asking, known = self._asking, self._known
            await asyncio.wait([asking], timeout=max(0.0, self._asked_at + PATIENCE_S - self._clock()))
            return known if not asking.done() or asking.cancelled() or asking.exception() else asking.result()
        return await asyncio.shield(self._asking)

    def _with_types(self, capacity: Capacity) -> Capacity:
        """Return the same object for the same machines and types: placement remembers nodes by what they are."""
        types, typed = self._gpu_types(), self._typed
        if typed is None or typed[0] is not capacity or typed[1] is not types:
            before = (typed[0], typed[2]) if typed is not None and typed[1] is types else None
            self._typed = typed = (capacity, types, with_types(capacity, types, before))
        return typed[2]

    async def _refresh(self) -> Capacity:
        try:
            self._known = await self._ask()
            self._at = self._clock()
            return self._known
        finally:
            self._asking = None


def _note_failure(task: asyncio.Task[Capacity]) -> None:
    error = None if task.cancelled() else task.exception()
    if isinstance(error, MLabError):
        log.warning("The machine's capacity could not be asked: %s", error.log_text)
    elif error is not None:
        log.error("Asking for the machine's capacity failed", exc_info=error)
