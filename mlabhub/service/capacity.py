"""What the machines have, asked again every few seconds and not for every launch.

Guarantees: an answer is never older than `OLDEST_S`; when the backend cannot be asked for longer than that, launches
are refused with its sentence rather than decided on what was once there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from mlabhub.core.admission import Capacity
from mlabhub.errors import MLabError

log = logging.getLogger(__name__)
FRESH_S = 10.0
OLDEST_S = 60.0


class CapacityCache:
    """Keeps the last answer of the backend. ``clock`` is monotonic."""

    def __init__(self, ask: Callable[[], Awaitable[Capacity]], clock: Callable[[], float]):
        self._ask = ask
        self._clock = clock
        self._known: Capacity | None = None
        self._at = float("-inf")
        self._asking: asyncio.Task[Capacity] | None = None

    async def get(self) -> Capacity:
        """Return what there is. Raises the backend's `MLabError` if that is not known."""
        age = self._clock() - self._at
        if self._known is not None and age < FRESH_S:
            return self._known
        if self._asking is None:
            self._asking = asyncio.create_task(self._refresh(), name="capacity")
            self._asking.add_done_callback(_note_failure)
        if self._known is not None and age < OLDEST_S:
            return self._known
        return await asyncio.shield(self._asking)

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
