"""That something changed, told to whoever follows it: a number that grows, and one future that all of them wait for.

Guarantees: a change costs the same however many follow; nobody misses one, as a follower compares numbers before it
waits.
"""

from __future__ import annotations

import asyncio


class Changes:
    """Counts changes. ``number`` is that of the last one."""

    def __init__(self) -> None:
        self.number = 0
        self._next: asyncio.Future[None] | None = None

    def note(self) -> None:
        """Say that something changed."""
        self.number += 1
        waiting, self._next = self._next, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def next(self) -> asyncio.Future[None]:
        """Return what is done at the next change. It is everybody's: wait for it with `asyncio.wait`, cancel it not."""
        if self._next is None or self._next.done():
            self._next = asyncio.get_running_loop().create_future()
        return self._next
