"""Add usage up as time goes by, so that it outlives samples.

Guarantees: each stretch of time is added once, with up to when, in one transaction (`UsageStore.add`): after a crash it
goes on where it was. A stretch is added only when what happened in it is in the ledger. What is read and added up is so
in a thread, and while the ledger is away nothing is lost: samples are kept for 30 days.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from mlabhub.core.sample_history import FINE_FOR_S
from mlabhub.core.usage.sums import Fold, Key, Sums, days_between
from mlabhub.errors import MLabError
from mlabhub.ledger.usage import There
from mlabhub.service.metrics import gpu_states

if TYPE_CHECKING:
    from mlabhub.service.world import World

log = logging.getLogger(__name__)
EACH_S = 300.0
"""Stretches begin and end at multiples of this; samples of any age do, too."""
LATE_S = 90.0
"""How long after its end a stretch is added: by then its samples are kept."""
MOST_S = 86_400.0
"""The longest stretch that is added at once, where there is much to catch up with."""
LIVE_S = 900.0
"""What is longer was not watched: nobody knows which GPUs there were."""
LOOK_S = 30.0
OURS = ("held", "free", "closed")
"""GPUs in these states are there for people; others' and broken ones are not."""


class UsageLoop:
    """Adds up. ``until`` is up to when that was done, None: nobody knows yet."""

    def __init__(self, world: World):
        self._world = world
        self.until: float | None = None
        self._known = False
        self._works = True

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Add up for ever."""
        while True:
            await sleep(0.0 if await self._try() else LOOK_S)

    async def _try(self) -> bool:
        """Make a step. Return whether the next one need not wait."""
        try:
            more = await self.step()
        except MLabError as error:
            if self._works:
                log.warning("Usage is not added up, until the ledger answers: %s", error.log_text or error)
            self._works = more = False
        except Exception:  # whatever it is, the next time may do
            log.exception("Adding up usage failed")
            more = False
        else:
            self._works = True
        return more

    async def step(self) -> bool:
        """Add the next stretch up, if it is over. Return whether one was. Raises `LedgerUnavailable`."""
        if not self._known:
            self.until = await asyncio.to_thread(self._world.usage.until)
            self._known = True
        now = self._world.clock()
        since = self.until if self.until is not None else await self._begin(now)
        until = min((now - LATE_S) // EACH_S * EACH_S, since + MOST_S)
        if until <= since:
            return False
        sums = await asyncio.to_thread(self._fold, since, until, now)
        there = await self._there(since, until) if now - since < LIVE_S else {}
        added = await asyncio.to_thread(self._world.usage.add, self.until, until, sums, there)
        if not added:  # somebody else did: look again
            self._known = False
            return True
        self.until = until
        if now - since < LIVE_S:
            for key, one in sums.items():
                self._world.metrics.gpu_seconds.count(key.group, one)
        return True

    async def _begin(self, now: float) -> float:
        begin = await asyncio.to_thread(self._world.usage.begin)
        return min(now, now if begin is None else begin) // EACH_S * EACH_S

    def _fold(self, since: float, until: float, now: float) -> Mapping[Key, Sums]:
        world = self._world
        fold = Fold(since, until)
        fold.hold(world.usage.held(since, until))
        fold.wait(world.usage.waited(since, until))
        old = until < now - FINE_FOR_S
        for piece in world.samples.pieces(since, until + 1.0):
            fold.see(piece, old=old)
        return fold.sums

    async def _there(self, since: float, until: float) -> Mapping[str, There]:
        """Return how many GPUs there are for people, as of the whole stretch; nothing where nobody can say."""
        try:
            capacity = await self._world.capacity.get()
        except MLabError:
            return {}
        states = gpu_states(capacity, tuple(self._world.writer.projection))
        count = sum(number for (_, state), number in states.items() if state in OURS)
        lengths = {day.name: day.end - day.begin for day in days_between(since, until)}
        return {day: There(count * length, length) for day, length in lengths.items()}
