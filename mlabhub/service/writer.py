"""The one writer: decisions are made on the projection, one after the other, and answered when their batch is on disk.

Guarantees: an act that was answered is durable; when a commit fails, every act of its batch fails with the same
sentence, the projection is rebuilt from what the disk has, and the writer goes on with the next batch; acts never see
each other's unfinished work; nothing is answered from memory once the ledger may be somebody else's. Acts that raise
are answered after the batch too, for what they saw may be part of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from mlabhub.errors import MLabError, Unavailable
from mlabhub.ledger import AuditEntry, KnownId, Ledger, LedgerConflict, LedgerUnavailable, Record, StoredAnswer
from mlabhub.messages import N_, Message
from mlabhub.service.changes import Changes
from mlabhub.service.projection import REMEMBER_S, Projection
from mlabhub.service.tallies import Tally, tally

log = logging.getLogger(__name__)
T = TypeVar("T")
_SILENT = AuditEntry, StoredAnswer, KnownId
"""Records that change nothing that somebody follows."""
_LARGEST_BATCH = 256
_MOST_WAITING = 10_000


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What an act answers, and what has to be on the disk before it does."""

    answer: T
    records: tuple[Record, ...] = ()


Act = Callable[[Projection], Outcome[T]]


class Writer:
    """Owns the projection and is the only one who commits. ``changes`` tells whoever follows."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Callable[[], float],
        observe_commit: Callable[[], Any] | None = None,
        count: Callable[[Tally], None] = lambda _: None,
    ):
        self._ledger = ledger
        self._clock = clock
        self._observe_commit = observe_commit
        self._count = count
        self._waiting: deque[tuple[Act[Any], asyncio.Future[Any]]] = deque()
        self._wake = asyncio.Event()
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._projection: Projection | None = None
        self.fault: MLabError | None = None
        self.changes = Changes()

    @property
    def projection(self) -> Projection:
        """Return the current state, for reading only. Raises `LedgerUnavailable` while it is not known."""
        if self._projection is None:
            raise self.fault or LedgerUnavailable(being_stopped())
        return self._projection

    async def start(self) -> None:
        """Read the ledger and begin to serve."""
        await self._reload()
        self._task = asyncio.create_task(self._serve(), name="writer")

    async def stop(self) -> None:
        """Finish the batch in hand, refuse the rest."""
        task, self._task = self._task, None
        self._wake.set()
        if task is not None:
            await task
        self._fail_waiting(Unavailable(being_stopped()))
        self._disk.shutdown()

    async def submit(self, act: Act[T]) -> T:
        """Run an act in its turn; return its answer once it is durable."""
        if self._task is None:
            raise Unavailable(being_stopped())
        if len(self._waiting) >= _MOST_WAITING:
            raise Unavailable(N_("Too many requests wait for a decision; nothing was started. Try again in a minute."))
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((act, future))
        self._wake.set()
        return await future

    async def probe(self) -> None:
        """Try whether the ledger can be written again, after it could not; `fault` tells."""
        words = Message(N_("The ledger can be written again."))
        await self.submit(lambda _: Outcome(None, (AuditEntry(self._clock(), "service", "ledger", words),)))

    async def check(self) -> None:
        """Notice also while nobody asks for a decision that the ledger was lost; then it is read anew.

        Raises `LedgerUnavailable` while that is not possible: nothing may be done on what is known from before.
        """
        async with self._turn:
            try:
                await self._in_thread(lambda _: self._ledger.check(), None)
            except LedgerUnavailable as error:
                log.error("The ledger was lost: %s", error.log_text)
                self.fault, self._projection = error, None
            if self._projection is None:
                await self._reload()

    async def _serve(self) -> None:
        while self._task is not None:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting and self._task is not None:
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _LARGEST_BATCH))]
                try:
                    async with self._turn:  # what a batch is decided on is not read anew before it is kept
                        await self._run(batch)
                except Exception:
                    log.exception("A batch of decisions failed; the projection is rebuilt")
                    self._projection = None
                    _fail([future for _, future in batch], MLabError(_fault()))

    async def _run(self, batch: list[tuple[Act[Any], asyncio.Future[Any]]]) -> None:
        try:
            projection = self._projection if self._projection is not None else await self._reload()
        except LedgerUnavailable as error:
            return _fail([future for _, future in batch], error)
        answers: list[tuple[asyncio.Future[Any], Any]] = []
        records: list[Record] = []
        tallies: list[Tally] = []
        for act, future in batch:
            if future.done():  # who asked has gone away
                continue
            try:
                outcome = act(projection)
            except MLabError as error:
                answers.append((future, error))
                continue
            for record in outcome.records:
                if (counted := tally(projection, record)) is not None:
                    tallies.append(counted)
                projection.apply(record)
            records.extend(outcome.records)
            answers.append((future, outcome.answer))
        try:
            await self._commit(records)
        except (LedgerUnavailable, LedgerConflict) as error:
            return await self._give_up(error, [future for future, _ in answers])
        for future, answer in answers:
            if not future.done():
                future.set_exception(answer) if isinstance(answer, MLabError) else future.set_result(answer)
        if any(not isinstance(record, _SILENT) for record in records):
            self.changes.note()
        for counted in tallies:
            self._count(counted)
        return None

    async def _commit(self, records: list[Record]) -> None:
        if not records:  # what was answered from memory alone has to be true still
            return await self._in_thread(lambda _: self._ledger.check(), None)
        await self._in_thread(self._ledger.commit, records)
        self.fault = None
        return None

    async def _give_up(self, error: Exception, futures: list[asyncio.Future[Any]]) -> None:
        log.error("The ledger did not take a batch of %d decisions: %s", len(futures), error)
        self.fault = error if isinstance(error, LedgerUnavailable) else LedgerUnavailable(_foreign())
        self._projection = None
        try:
            await self._reload()
        except LedgerUnavailable:
            log.debug("Not rebuilt yet: the ledger cannot be read either; the next decision tries again")
        _fail(futures, self.fault)

    async def _reload(self) -> Projection:
        try:
            contents = await self._in_thread(self._ledger.load, self._clock() - REMEMBER_S)
        except LedgerUnavailable as error:
            self.fault = error
            raise
        self._projection = Projection(contents)
        self.changes.note()
        return self._projection

    async def _in_thread(self, call: Callable[[Any], T], argument: Any) -> T:
        def timed() -> T:
            if self._observe_commit is None:
                return call(argument)
            with self._observe_commit():
                return call(argument)

        return await asyncio.get_running_loop().run_in_executor(self._disk, timed)

    def _fail_waiting(self, error: MLabError) -> None:
        _fail([future for _, future in self._waiting], error)
        self._waiting.clear()


def _fail(futures: list[asyncio.Future[Any]], error: MLabError) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(error)


def being_stopped() -> Message:
    """Return what is told to those who ask a service that ends."""
    return Message(N_("The service is being stopped; nothing was started. Try again in a minute."))


def _fault() -> Message:
    return Message(
        N_("The service made a mistake and took nothing of this request. Try again; the log has the details.")
    )


def _foreign() -> Message:
    return Message(N_("The ledger was changed by another program; nothing was started. Try again in a moment."))
