"""Keeps each minute's samples in the ledger, beside what must not wait for a disk.

Guarantees: a minute that cannot be kept, for the ledger is full or away, is lost from the store and from nowhere else,
and that is logged once until it works again; writers follow one another. At most `MOST_WAITING` minutes wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence

from mlabhub.core.readings import Sample
from mlabhub.errors import MLabError
from mlabhub.ledger import SampleStore
from mlabhub.service.metrics import Metrics

log = logging.getLogger(__name__)
MOST_WAITING = 15
TIDY_S = 3600.0
CLOSING_S = 3.0


class Storing:
    """What waits to be kept, and the task that keeps it."""

    def __init__(self, store: SampleStore, monotonic: Callable[[], float], metrics: Metrics):
        self._store = store
        self._monotonic = monotonic
        self._metrics = metrics
        self._waiting: asyncio.Queue[tuple[float, Sequence[Sample]]] = asyncio.Queue(MOST_WAITING)
        self._task: asyncio.Task[None] | None = None
        self._works = True
        self._tidied = monotonic()

    def put(self, t: float, samples: Sequence[Sample]) -> None:
        """Have a minute kept soon."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="samples")
        try:
            self._waiting.put_nowait((t, samples))
        except asyncio.QueueFull:
            self._lose("the ledger takes none in for many minutes", len(samples))

    async def done(self, patience_s: float) -> None:
        """Wait until all is kept or lost, but not for longer than the patience."""
        if self._task is not None:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._waiting.join(), patience_s)

    async def close(self) -> None:
        """Let what is being written finish, unless that takes long."""
        await self.done(CLOSING_S)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            t, samples = await self._waiting.get()
            try:
                await self._keep(t, samples)
            finally:
                self._waiting.task_done()

    async def _keep(self, t: float, samples: Sequence[Sample]) -> None:
        try:
            await asyncio.to_thread(self._store.add, t, samples)
            self._metrics.samples.labels("kept").inc(len(samples))
            if self._monotonic() - self._tidied >= TIDY_S:
                self._tidied = self._monotonic()
                await asyncio.to_thread(self._store.tidy, t)
        except MLabError as error:
            self._lose(error.log_text or str(error), len(samples))
        except Exception as error:  # whatever it is, the next minute is kept if it can be
            log.debug("A minute of samples was not kept", exc_info=True)
            self._lose(repr(error), len(samples))
        else:
            if not self._works:
                log.info("Samples are kept again")
            self._works = True

    def _lose(self, reason: str, count: int) -> None:
        self._metrics.samples.labels("lost").inc(count)
        if self._works:
            log.warning("Samples are not kept, until the ledger takes them in again: %s", reason)
        self._works = False
