"""When those who wait start, and when a new launch would, worked out once for all who look.

Guarantees: the ranges of all who wait are worked out beside the loop, one after the other, however many look; what is
shown is that of a moment that is told, and never older than `OLD_S` where somebody looks; while the ledger or what
there is are not known, nobody can tell. Followers are told when a range came to differ enough to be said otherwise.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mlabhub.core.capacity import Capacity
from mlabhub.core.corrections import UNKNOWN, Range
from mlabhub.core.profiles import Catalog, LaunchRequest
from mlabhub.core.quota_changes import effective, next_change
from mlabhub.core.quotas import Quotas
from mlabhub.core.sharing.model import Ask
from mlabhub.core.units import to_micro
from mlabhub.core.wait_words import say_wait
from mlabhub.core.waits import Outlook
from mlabhub.errors import MLabError
from mlabhub.ledger import QueueEntry
from mlabhub.service.history import History
from mlabhub.service.projection import Projection
from mlabhub.service.queue.scene import Facts, request_of, scene_of
from mlabhub.service.wait_views import WaitRange
from mlabhub.service.writer import Outcome

if TYPE_CHECKING:
    from mlabhub.service.world import CatalogInForce, World

log = logging.getLogger(__name__)
STALE_S = 15.0
"""For how long ranges are true enough while nothing changes: what runs goes on running."""
PAUSE_S = 1.0
"""So long after they were worked out they are not worked out again, whatever changes."""
SELDOM = 10.0
"""Nor for this many times as long as that took, so that it never takes more than a tenth of a processor."""
QUICK_S = 0.05
OLD_S = 60.0
"""Nobody is told of a moment longer ago than that."""
MOVED_S = 60.0
"""Ranges that moved less than this are not told to followers."""

MOST_CHANGES = 20
"""So many changes of quotas that are planned are looked at."""


@dataclass(frozen=True)
class Seen:
    """How things looked at ``at``; ``waits`` are the ranges of all who waited then, by their launch."""

    at: float
    outlook: Outlook | None = None
    ranges: Mapping[str, Range] = field(default_factory=dict)
    waits: Mapping[str, WaitRange] = field(default_factory=dict)

    def wait_for(self, request: LaunchRequest) -> WaitRange | None:
        """Return when a launch would start that does not start now; None where it waits for nothing that ends."""
        found = self.range_for(request)
        if self.outlook is None or found is None:
            return None
        return wait_range(found, self.at, self.outlook)

    def range_for(self, request: LaunchRequest) -> Range | None:
        """Return the same without words."""
        reckoned = self.reckoned_for(request)
        return None if reckoned is None or self.outlook is None else self.outlook.correction.apply(reckoned, self.at)

    def reckoned_for(self, request: LaunchRequest) -> Range | None:
        """Return the same before it is corrected."""
        if self.outlook is None or request.gpu_ids is not None:
            return None
        found = self.outlook.reckoned_for(ask_of(request), request.user, request.group)
        # By what is looked at here it would start: what stands in its way is none of that, as a soft cap is not.
        return None if found.latest is not None and found.latest <= self.at else found

    def reckoned_of(self, entry: QueueEntry) -> Range:
        """Return when one that waits would start, before that is corrected."""
        if self.outlook is None:
            return UNKNOWN
        if entry.launch_id in self.ranges:
            return self.outlook.reckoned_of(entry.launch_id)
        return self.reckoned_for(request_of(entry)) or UNKNOWN


NOTHING_SEEN = Seen(-math.inf)


class Forecasts:
    """Keeps how things look. ``latest`` is what was worked out last, at once and perhaps a while ago."""

    def __init__(self, world: World):
        self._world = world
        self.history = History(world.ledger, world.clock)
        self.latest = NOTHING_SEEN
        self._number = -1
        self._history_number = -1
        self._took = 0.0
        self._looking: asyncio.Task[None] | None = None
        self.in_thread: Callable[[Callable[[], Seen]], Awaitable[Seen]] = asyncio.to_thread

    async def look(self, capacity: Capacity) -> Seen:
        """Return how things look now, or did a moment ago.

        Where that takes long, nobody waits for it who may be told of some moments ago instead.
        """
        if not self._is_fresh():
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._try(capacity), name="forecasts are worked out")
            if self._took < QUICK_S or not 0 <= self._world.clock() - self.latest.at < OLD_S:
                await asyncio.shield(self._looking)
        return self.latest

    async def note_told(self, entry: QueueEntry, capacity: Capacity) -> WaitRange | None:
        """Keep beside a new entry when it is expected to start, so that it can be compared later; return it."""
        seen = await self.look(capacity)
        found = seen.ranges.get(entry.launch_id) or seen.range_for(request_of(entry)) or UNKNOWN
        reckoned = seen.reckoned_of(entry)

        def act(projection: Projection) -> Outcome[None]:
            known = projection.queue.get(entry.launch_id)
            if known is None or known.state != "waiting" or known.told_earliest is not None:
                return Outcome(None)
            told = replace(
                known,
                told_earliest=found.earliest,
                told_latest=found.latest,
                reckoned_earliest=reckoned.earliest,
                reckoned_latest=reckoned.latest,
            )
            return Outcome(None, () if told == known else (told,))

        try:
            await self._world.writer.submit(act)
        except MLabError as error:  # it waits all the same
            log.warning("What %s was told of its start is not kept: %s", entry.launch_id, error.log_text)
        return None if seen.outlook is None else wait_range(found, seen.at, seen.outlook)

    async def _try(self, capacity: Capacity) -> None:
        """Look anew. A fault of ours in it costs nobody more than the ranges."""
        began = self._world.monotonic()
        try:
            await self._work_out(capacity)
            self._took = self._world.monotonic() - began
        except MLabError as error:
            log.debug("Nobody can tell when those start who wait: %s", error.log_text)
            self.latest = NOTHING_SEEN
        except Exception:
            log.exception("The forecasts could not be worked out; tried again soon")
            self.latest = Seen(self._world.clock())

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Keep the ranges of those who wait up to date, for ever."""
        while True:
            await sleep(PAUSE_S)
            await self.keep_up()

    async def keep_up(self) -> None:
        """Look anew if somebody waits."""
        try:
            waiting = bool(self._world.writer.projection.queue)
            capacity = await self._world.capacity.get() if waiting else None
            if capacity is not None:
                await self.look(capacity)
                await self._tell_those_again(capacity)
        except MLabError as error:
            log.debug("Nobody can tell when those start who wait: %s", error.log_text)

    async def _tell_those_again(self, capacity: Capacity) -> None:
        """Keep also of those who wait again, as they were taken back, when they are expected to start."""
        now = self._world.clock()
        for entry in tuple(self._world.writer.projection.queue.values()):
            fresh = entry.again_of and entry.told_earliest is None and 0 <= now - entry.created < OLD_S
            if fresh and entry.state == "waiting":
                await self.note_told(entry, capacity)

    def _is_fresh(self) -> bool:
        age = self._world.clock() - self.latest.at
        if not 0 <= age < STALE_S:
            return False
        same = (self._number, self._history_number) == (self._world.changes.number, self.history.number)
        return same or age < max(PAUSE_S, SELDOM * self._took)

    async def _work_out(self, capacity: Capacity) -> None:
        world, now = self._world, self._world.clock()
        projection, catalog = world.writer.projection, world.catalog()
        numbers = world.changes.number, self.history.number
        scene = scene_of(projection, catalog, capacity, Facts(), now)
        lasting, told = self.history.lasting(projection, now), world.queue.last
        correction = self.history.correction(projection.queue.values(), now)
        longest, quotas = longest_of(catalog), quotas_ahead(world.catalog, now)

        def work_out() -> Seen:
            outlook = Outlook(scene, told, lasting, longest=longest, quotas=quotas, correction=correction)
            ranges = {one: outlook.wait_of(one) for one in outlook.waiters}
            return Seen(now, outlook, ranges, {one: wait_range(ranges[one], now, outlook) for one in ranges})

        seen = await self.in_thread(work_out)
        before, self.latest = self.latest, seen
        self._number, self._history_number = numbers
        if any(_moved(before.ranges.get(one), found) for one, found in seen.ranges.items()):
            unchanged = self._number == world.changes.number
            world.changes.note()
            if unchanged:
                self._number = world.changes.number  # this news is our own


def longest_of(catalog: Catalog) -> dict[str, float]:
    """Return how many seconds servers last at most, by profile."""
    return {one.slug: 3600.0 * one.longest_hours for one in catalog.profiles if one.longest_hours is not None}


def quotas_ahead(catalog: CatalogInForce, now: float) -> list[tuple[float, Quotas]]:
    """Return when quotas will change as far as that is planned, and what is in force from then."""
    configured, changes = catalog.configured().quotas, tuple(catalog.changes.values())
    found: list[tuple[float, Quotas]] = []
    moment = next_change(changes, now)
    while moment is not None and len(found) < MOST_CHANGES:
        found.append((moment, effective(configured, changes, moment)))
        moment = next_change(changes, moment)
    return found


def ask_of(request: LaunchRequest) -> Ask:
    """Return what a launch takes."""
    about = (to_micro(request.cpu), to_micro(request.memory_gib), request.profile)
    return Ask(request.gpus, request.gpu_type, *about)


def wait_range(found: Range, now: float, outlook: Outlook) -> WaitRange:
    """Return a range with its words."""
    return WaitRange(found.earliest, found.latest, say_wait(found, now, has_history=outlook.has_history))


def _moved(before: Range | None, after: Range) -> bool:
    if before is None:
        return True
    pairs = ((before.earliest, after.earliest), (before.latest, after.latest))
    return any(
        (a is None) != (b is None) or (a is not None and b is not None and abs(a - b) > MOVED_S) for a, b in pairs
    )
