"""Reads servers every few seconds, and hands out their samples each full minute.

Guarantees: a sampler that takes long, as one whose driver hangs, delays neither the others nor the minute, and is not
asked again before it answered; the same holds of the list of servers. A minute in which that could not be read is told
of those known before. What the sampler does not know in time is unknown in that minute. A server that is not there any
more has one last sample, with ``end``. Nothing but a cancellation ends `run`, and others have their turn while a minute
of many servers is put together.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from mlabhub.core.readings import TICK_S, Reading, Sample, Ticker, Watched
from mlabhub.errors import MLabError

log = logging.getLogger(__name__)

EVERY_S = 5.0
"""A GPU's use is that of the last second or less: what is looked at seldom looks idle."""
PATIENCE_S = 3.0
"""How long a round waits for its samplers; a minute's end waits three times that."""
AT_ONCE = 50
"""Servers whose samples are made before others have their turn."""


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
        self._gone: dict[str, Watched] = {}
        self._looking: asyncio.Task[None] | None = None
        self._listed = True
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
        await self._see()
        end = self._last_minute()
        if end != self._closed:
            self._closed = end
            await self._ask(self._each_tick, end, 3 * self._patience_s)
            await self._keep(end, await self._close(end))
        await self._ask(self._often, self._clock(), self._patience_s)

    async def fresh(self, launch_ids: Collection[str]) -> tuple[float, tuple[Sample, ...]]:
        """Read these servers now. Return when, and their samples: of those that are there, and as far as they answer.

        What was read before counts only where it shows use.
        """
        await self._see()
        samplers = (*self._often, *self._each_tick)
        busy = [self._running[id(one)] for one in samplers if id(one) in self._running]
        if busy:  # what they tell was asked before now
            await asyncio.wait(busy, timeout=self._patience_s)
        now = self._clock()
        await self._ask(samplers, now, 3 * self._patience_s)
        wanted = [one for one in self._watched if one.launch_id in launch_ids]
        return now, tuple(self._ticker.fresh(one, now, self._closed) for one in wanted)

    async def close(self) -> None:
        """Let go of what is still being asked."""
        running = list(self._running.values()) + ([] if self._looking is None else [self._looking])
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _last_minute(self) -> float:
        return self._clock() // TICK_S * TICK_S

    async def _see(self) -> None:
        """Read which servers there are, unless that is being done already, and wait for it for a while."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._list())
        await asyncio.wait([self._looking], timeout=self._patience_s)

    async def _list(self) -> None:
        try:
            found = tuple(await self._look())
        except Exception as error:  # whatever it is, nothing is known of which servers there are now
            if self._listed:
                log.warning(
                    "Samples go on with the servers known before: %s", error, exc_info=not isinstance(error, MLabError)
                )
            self._listed = False
            return
        self._listed = True
        there = {one.launch_id for one in found}
        self._gone.update({one.launch_id: one for one in self._watched})
        self._gone = {launch: one for launch, one in self._gone.items() if launch not in there}
        self._watched = found

    async def _close(self, end: float) -> tuple[Sample, ...]:
        """Return the samples of the tick that has ended, each server's last one with ``end``."""
        gone, self._gone = tuple(self._gone.values()), {}
        everyone, samples = (*self._watched, *gone), list[Sample]()
        for first in range(0, len(everyone), AT_ONCE):
            samples += [self._ticker.sample(one, end) for one in everyone[first : first + AT_ONCE]]
            await asyncio.sleep(0)
        self._ticker.forget(end)
        there = len(samples) - len(gone)
        return (*samples[:there], *(replace(one, more={"end": True}) for one in samples[there:]))

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
