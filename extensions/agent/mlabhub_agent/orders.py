"""What the service asks of this server before its GPUs are given back: save what is open, write the bundle, say so.

Guarantees: an order is carried out once, and told until it was taken or its time is over; pages that are open are
waited for, but never longer than there is time; whatever goes wrong, the service is told, for it waits.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from mlabhub_agent.sending import TAKEN, Answer
from mlabhub_agent.standing import Standing

log = logging.getLogger(__name__)
Tell = Callable[[str], Awaitable[Answer]]
"""Says that the order is carried out, and where the bundle is. Raises `OSError` if nobody answers."""
Write = Callable[[Mapping[str, Any]], Awaitable[str]]
"""Writes the bundle for an order; returns where."""

PAGES_S = 35.0
"""How long pages have for saving; they ask every 20 to 30 s how things stand."""
LATELY_S = 75.0
"""A page that has asked since then is still open."""
FOR_THE_BUNDLE_S = 15.0
"""What is left for the bundle at least, as far as pages are concerned."""
AGAIN_S = 5.0
UNSAID_S = 60.0
"""How long an order has that does not say it."""


class Pages:
    """Pages that can save what is open in them, by a name that each gives itself; those that give none are one."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic):
        self._monotonic = monotonic
        self._asked: dict[str, float] = {}
        self._saved: set[str] = set()
        self._changed = asyncio.Event()

    def asks(self, page: str) -> None:
        """A page asked how things stand."""
        self._asked = {one: at for one, at in self._asked.items() if self._monotonic() - at < LATELY_S}
        self._asked[page] = self._monotonic()

    def saved(self, page: str) -> None:
        """A page has saved what was open in it."""
        self._saved.add(page)
        self._changed.set()

    async def wait(self, seconds: float) -> None:
        """Wait until all pages have saved that are open now, at most so long."""
        self._saved.clear()
        deadline = self._monotonic() + seconds
        now = self._monotonic()
        while {one for one, at in self._asked.items() if now - at < LATELY_S} - self._saved:
            self._changed.clear()
            left = deadline - self._monotonic()
            if left <= 0:
                return
            try:
                await asyncio.wait_for(self._changed.wait(), left)
            except asyncio.TimeoutError:
                return


class Orders:
    """Carries orders out, one at a time."""

    def __init__(self, standing: Standing, pages: Pages, write: Write, tell: Tell):
        self._standing = standing
        self._pages = pages
        self._write = write
        self._tell = tell
        self._task: asyncio.Task[None] | None = None

    def look(self) -> None:
        """Begin to carry out what is asked, if that has not begun; be ready for the next when nothing is."""
        order = self._standing.order
        if order is not None and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._carry_out(order), name="mlabhub order")
        elif order is None and self._task is not None and self._task.done():
            self._task = None

    def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()

    async def _carry_out(self, order: Mapping[str, Any]) -> None:
        left = self._standing.left(order.get("until"))
        deadline = time.monotonic() + (UNSAID_S if left is None else left)
        await self._pages.wait(min(PAGES_S, deadline - time.monotonic() - FOR_THE_BUNDLE_S))
        rescue = ""
        try:
            rescue = await asyncio.wait_for(self._write(order), max(1.0, deadline - time.monotonic()))
        except Exception:
            log.exception("The bundle of this server's work could not be written")
        for wait in itertools.repeat(AGAIN_S):
            if await self._told(rescue) or time.monotonic() + wait > deadline:
                return
            await asyncio.sleep(wait)

    async def _told(self, rescue: str) -> bool:
        try:
            answer = await self._tell(rescue)
        except OSError as error:
            log.warning("The service does not hear that an order is carried out: %s", error)
            return False
        return answer.status == TAKEN or (400 <= answer.status < 500 and answer.status != 429)
