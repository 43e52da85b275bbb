"""What ran before: how long people's servers last, and how good forecasts were.

Guarantees: kept in memory and bounded, whatever the ledger holds; read in a thread, the first time and then what ended
since; while the ledger does not answer, what was read before counts, and where nothing was, nothing is known. A run is
counted once, however often it is read.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from sys import intern
from typing import NamedTuple

from mlabhub.core.corrections import Correction, Range, Reckoned, learn
from mlabhub.core.durations import Durations, Kind, Lasting
from mlabhub.errors import Unavailable
from mlabhub.ledger import Ledger, PastRun, QueueEntry, Reservation, ToldStart
from mlabhub.service.wait_views import ForecastAccuracy
from mlabhub.service.worked_out import WorkedOut

log = logging.getLogger(__name__)
WEEKS = 8
WEEK_S = 7 * 86400.0
KEPT_S = WEEKS * WEEK_S
MOST_RUNS = 100_000
"""The latest ones; more would take more than some dozens of MB."""
MOST_RECKONED = 1000
"""So many of the last forecasts are learned from, and more than are needed are known, so that none is counted twice."""
AT_ONCE = 1000
REFRESH_S = 60.0
OVERLAP_S = 600.0
"""What ended shortly before the last one that is known is read again: a clock may have stepped."""
LASTING_S = 60.0
"""For how long what runs is taken to have run as long as before."""
ACCURATE_S = 60.0
"""For how long it is not looked again how good forecasts were."""


class Over(NamedTuple):
    """A run that is over, small."""

    launch_id: str
    user: str
    group: str | None
    profile: str
    gpus: bool
    started: float
    ended: float
    reclaimed: bool

    @property
    def kind(self) -> Kind:
        """Its like."""
        return Kind(self.user, self.group, self.profile, self.gpus)

    @property
    def lasted(self) -> float:
        """For how long it ran."""
        return self.ended - self.started


class History:
    """The runs of the last weeks. ``number`` changes whenever they do; ``known``: they were read once at least."""

    def __init__(self, ledger: Ledger, clock: Callable[[], float]):
        self._ledger = ledger
        self._clock = clock
        self._runs: deque[Over] = deque()
        self._ids: set[str] = set()
        self._reading = asyncio.Lock()
        self._durations = Durations()
        self._reckoned: dict[str, Reckoned] = {}
        self._lasting: tuple[int, float, Lasting] | None = None
        self._accuracy = WorkedOut(self._compare, clock, fresh_s=ACCURATE_S, old_s=2 * ACCURATE_S)
        self.number = 0
        self.known = False

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Read what ended, now and again, for ever."""
        while True:
            await self.refresh()
            await sleep(REFRESH_S)

    async def refresh(self) -> None:
        """Read what ended since the last time. The ledger may be away: then nothing changes."""
        async with self._reading:
            now = self._clock()
            since = now - KEPT_S
            if self._runs:
                since = max(since, min(self._runs[-1].ended, now) - OVERLAP_S)
            try:
                found = await asyncio.to_thread(self._read, since)
                starts = await asyncio.to_thread(self._ledger.told_starts, self._starts_since(now))
            except Unavailable as error:
                log.warning("What ended lately is not known: %s", error.log_text)
                return
            for first in range(0, len(found), AT_ONCE):
                self._take(found[first : first + AT_ONCE])
                await asyncio.sleep(0)  # others have their turn between
            self._forget(now)
            self._learn(starts)
            self.known = True

    def lasting(self, running: Iterable[Reservation], now: float) -> Lasting:
        """Return how long servers last, from what is over and from what runs now."""
        known = self._lasting
        if known is None or known[0] != self.number or not 0 <= now - known[1] < LASTING_S:
            ages = ((_kind_of(one), now - (one.held or one.created)) for one in running if one.held is not None)
            known = self._lasting = (self.number, now, Lasting(self._durations, ages))
        return known[2]

    def correction(self, waiting: Iterable[QueueEntry], now: float) -> Correction:
        """Return how forecasts have to be corrected, by those that were made before."""
        late = [_reckoned(one.created, one.reckoned_earliest, one.reckoned_latest, now) for one in waiting]
        return learn(tuple(self._reckoned.values()), late)

    def _starts_since(self, now: float) -> float:
        last = next(reversed(self._reckoned.values()), None)
        return now - KEPT_S if last is None else min(last.started, now) - OVERLAP_S

    def _learn(self, starts: Iterable[ToldStart]) -> None:
        for one in starts:
            if one.launch_id not in self._reckoned:
                about = (one.asked, one.reckoned_earliest, one.reckoned_latest, one.started)
                self._reckoned[one.launch_id] = _reckoned(*about)
                self.number += 1
        while len(self._reckoned) > MOST_RECKONED:
            del self._reckoned[next(iter(self._reckoned))]

    def __len__(self) -> int:
        return len(self._runs)

    def _read(self, since: float) -> list[Over]:
        """Return what ended since a time; of more than are kept, only some of the last weeks are read at all."""
        span = WEEK_S
        while True:
            begin = max(since, self._clock() - span)
            found = self._ledger.past_runs(begin)
            if begin <= since or len(found) >= MOST_RUNS:
                return [_over(run) for run in found[-MOST_RUNS:]]
            span *= 2

    def _take(self, found: Iterable[Over]) -> None:
        for run in found:
            if run.launch_id not in self._ids:
                self._ids.add(run.launch_id)
                self._runs.append(run)
                self._durations.add(run.kind, run.lasted, cut=run.reclaimed)
                self.number += 1

    def _forget(self, now: float) -> None:
        before = len(self._runs)
        while self._runs and (len(self._runs) > MOST_RUNS or self._runs[0].ended < now - KEPT_S):
            old = self._runs.popleft()
            self._ids.discard(old.launch_id)
            self._durations.remove(old.kind, old.lasted, cut=old.reclaimed)
            self.number += 1
        if len(self._runs) != before:
            log.debug("%d runs of the last %d weeks are known", len(self._runs), WEEKS)

    async def accuracy(self) -> ForecastAccuracy:
        """Return how good the forecasts of the last weeks were, two minutes ago at most. Raises `Unavailable`."""
        return await self._accuracy.get()

    async def _compare(self) -> ForecastAccuracy:
        since = self._clock() - KEPT_S
        return await asyncio.to_thread(lambda: accuracy_of(self._ledger.told_starts(since)))


def accuracy_of(starts: Sequence[ToldStart]) -> ForecastAccuracy:
    """Compare what people were told with what happened."""
    early = late = 0
    errors, widths = [], []
    for one in starts:
        if one.earliest is None or one.latest is None:
            continue
        early += one.started < one.earliest
        late += one.started > one.latest
        errors.append(abs(one.started - (one.earliest + one.latest) / 2))
        widths.append(one.latest - one.earliest)
    told = len(errors)
    return ForecastAccuracy(
        weeks=WEEKS,
        starts=len(starts),
        unknown=len(starts) - told,
        within=(told - early - late) / told if told else None,
        earlier=early,
        later=late,
        median_error_s=statistics.median(errors) if errors else None,
        median_width_s=statistics.median(widths) if widths else None,
    )


def _reckoned(asked: float, earliest: float | None, latest: float | None, started: float) -> Reckoned:
    return Reckoned(asked, Range(earliest, latest), started)


def _kind_of(one: Reservation) -> Kind:
    return Kind(one.user, one.group, one.profile, bool(one.gpus))


def _over(run: PastRun) -> Over:
    group = None if run.group is None else intern(run.group)
    about = (run.launch_id, intern(run.user), group, intern(run.profile))
    return Over(*about, run.gpus > 0, run.started, run.ended, run.reclaimed)
