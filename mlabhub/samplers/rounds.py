"""Reads servers every few seconds, and hands out their samples each full minute.

Guarantees: a sampler that takes long, as one whose driver hangs, delays neither the others nor the minute, and is not
asked again before it answered. A minute in which the list of servers could not be read is told of those known before.
What the sampler does not know in time is unknown in that minute. Nothing but a cancellation ends `run`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

from mlabhub.core.readings import TICK_S, Reading, Sample, Ticker, Watched
from mlabhub.errors import MLabError

log = logging.getLogger(__name__)

EVERY_S = 5.0
"""A GPU's use is that of the last second or less: what is looked at seldom looks idle."""
PATIENCE_S = 3.0
"""How long a round waits for its samplers; a minute's end waits three times that."""


class Blocking(Protocol):
    """A sampler of this machine."""

    def sample(self, watched: Iterable[Watched], now: float) -> tuple[Reading, ...]: ...


class Asked(Protocol):
    """A sampler that asks others."""

    async def sample(self, watched: Iterable[Watched], now: float) -> tuple[Reading, ...]: ...


Look = Callable[[], Awaitable[Sequence[Watched]]]
Keep = Callable[[float, tuple[Sample, ...]], Awaitable[None]]


class InThread:
    """A sampler of this machine, run beside what must not wait for it."""

    def __init__(self, sampler: Blocking):
        self._sampler = sampler

    async def sample(self, watched: Iterable[Watched], now: float) -> tuple[Reading, ...]:
        """Sample in a thread."""
        return await asyncio.to_thread(self._sampler.sample, tuple(watched), now)


class Rounds:
    """``often`` are asked every few seconds, ``each_tick`` once for the minute that has just ended."""

    def __init__(
        self,
        look: Look,
        keep: Keep,
        often: Sequence[Asked] = (),
        each_tick: Sequence[Asked] = (),
        clock: Callable[[], float] = time.time,
        patience_s: float = PATIENCE_S,
    ):
        self._look = look
        self._keep = keep
        self._often = often
        self._each_tick = each_tick
        self._clock = clock
        self._patience_s = patience_s
        self._ticker = Ticker()
        self._watched: tuple[Watched, ...] = ()
        self._running: dict[int, asyncio.Task[None]] = {}
        self._closed = self._last_minute()

    async def run(self, every_s: float = EVERY_S) -> None:
        """Make one round after the other."""
        while True:
            try:
                await self.round()
            except Exception:  # whatever it is, the next round may be better, and what was not read is unknown
                log.exception("A round of samples failed")
            await asyncio.sleep(every_s)

    async def round(self) -> None:
        """Read once; hand out the samples of a minute that has ended, be it that a clock was set."""
        try:
            self._watched = tuple(await self._look())
        except MLabError as error:
            log.warning("Samples go on with the servers known before: %s", error)
        end = self._last_minute()
        if end != self._closed:
            self._closed = end
            await self._ask(self._each_tick, end, 3 * self._patience_s)
            await self._keep(end, self._ticker.close(self._watched, end))
        await self._ask(self._often, self._clock(), self._patience_s)

    async def close(self) -> None:
        """Let go of what is still being asked."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _last_minute(self) -> float:
        return self._clock() // TICK_S * TICK_S

    async def _ask(self, samplers: Sequence[Asked], now: float, patience_s: float) -> None:
        """Ask those that are not busy, and wait for them for a while."""
        for sampler in samplers:
            if id(sampler) not in self._running:
                task = asyncio.create_task(self._sample(sampler, now))
                self._running[id(sampler)] = task
        asked = [self._running[id(sampler)] for sampler in samplers]
        if asked:
            await asyncio.wait(asked, timeout=patience_s)

    async def _sample(self, sampler: Asked, now: float) -> None:
        try:
            self._ticker.add(await sampler.sample(self._watched, now))
        except Exception:  # one that fails leaves its part unknown, and the others as they are
            log.exception("%s failed", type(sampler).__name__)
        finally:
            del self._running[id(sampler)]
