"""Long work on the event loop that lets others have their turn.

Guarantees: between two turns of others no more work is done than takes `MOST_S` and one piece more.
"""

from __future__ import annotations

import asyncio
import time

MOST_S = 0.005


class Turns:
    """Work in pieces, from now on."""

    def __init__(self) -> None:
        self._since = time.perf_counter()

    async def give(self) -> None:
        """Let others have their turn if it is time for that: to be called between two pieces."""
        if time.perf_counter() - self._since >= MOST_S:
            await asyncio.sleep(0)
            self._since = time.perf_counter()
