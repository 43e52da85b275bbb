"""What takes a while to work out and is the same for all who look: worked out once for all of them, beside them.

Guarantees: however many ask, it is worked out once at a time; where it was known a moment ago nobody waits for it; what
fails is told to those who wait for it, and tried again when somebody asks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")
log = logging.getLogger(__name__)


class WorkedOut(Generic[T]):
    """Keeps one thing. It is true enough for ``fresh_s`` seconds, and good enough until it is ``old_s`` seconds old
    while it is worked out anew; ``old_s`` 0: whoever asks waits for that."""

    def __init__(
        self, work_out: Callable[[], Awaitable[T]], clock: Callable[[], float], *, fresh_s: float, old_s: float = 0.0
    ):
        self._work_out = work_out
        self._clock = clock
        self._fresh_s = fresh_s
        self._old_s = old_s
        self._known: tuple[float, T] | None = None
        self._working: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """Return it. Raises what working it out raises."""
        known = self._known
        age = -1.0 if known is None else self._clock() - known[0]
        if known is not None and 0 <= age < self._fresh_s:
            return known[1]
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._renew())
            self._working.add_done_callback(_tell)
        if known is not None and 0 <= age < self._old_s:
            return known[1]
        return await asyncio.shield(self._working)

    async def _renew(self) -> T:
        began = self._clock()
        found = await self._work_out()
        self._known = began, found
        return found


def _tell(task: asyncio.Task[T]) -> None:
    """Note what failed: perhaps nobody waits for it."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.debug("Not worked out: %r", error)
