"""What became of what was started, and of what waits: used, given back, come to nothing, at its end, not permitted.

Guarantees: whoever is to lose something is told first, in full; unknown is never unused: without the hub's word on when
a server was last used, nobody loses it; nothing is stopped that is not looked at once more, right before.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from typing import TYPE_CHECKING, Any

from mlabhub.core.capacity import Capacity
from mlabhub.core.profiles import Catalog
from mlabhub.core.quotas import Quotas
from mlabhub.errors import MLabError, NotFound
from mlabhub.ledger import QueueEntry, ReclaimNotice, Reservation
from mlabhub.service.queue import checks, outcomes
from mlabhub.service.queue.deadlines import Deadlines
from mlabhub.service.queue.hands import Hands
from mlabhub.service.queue.scene import ends_by, notice_seconds
from mlabhub.service.queue.telling import Teller
from mlabhub.service.writer import Act

if TYPE_CHECKING:
    from mlabhub.service.world import World

log = logging.getLogger(__name__)
ACTIVITY_LAG_S = 480.0
"""How late the hub may learn that a server is used: each tells it every three minutes, and once may fail for good."""
LOOK_S = 30.0
LEAST_TOLD_S = 600.0
"""How long before its longest duration the owner of a server is told at least."""

TOLD_BEFORE_CLOSING_S = 86400.0
"""How long before its machine is maintained the owner of a server is told."""

LOOK_AGAIN_S = 600.0
"""How often it is looked whether one that waits may start at all still."""

MOST_LOOKED_AGAIN = 8
"""At how many of them in one round."""


class Care:
    """Looks after what was started, and what has to end."""

    def __init__(self, world: World, hands: Hands, deadlines: Deadlines, teller: Teller):
        self._world = world
        self._hands = hands
        self._deadlines = deadlines
        self._teller = teller
        self._looked: dict[str, float] = {}
        self._allowed: dict[str, float] = {}
        self._told_closings: set[tuple[str, float]] = set()

    async def tend(self, catalog: Catalog) -> None:
        """Look at all of it once."""
        projection = self._world.writer.projection
        for entry in list(projection.queue.values()):
            one = projection.launch(entry.launch_id)
            if entry.state == "waiting":
                await self._follow(entry)
            elif one is None:
                await self._settle(entry)
            elif one.ready is not None and one.state == "held":
                await self._claim(entry, one, catalog.quotas.claim_minutes)
        for notice in list(projection.notices.values()):
            if projection.launch(notice.launch_id) is None:
                await self._submit(outcomes.drop_notice(notice, self._world.clock()))
        for one in self._bounded(catalog):
            await self._end(one, catalog)
        self._looked = {one: at for one, at in self._looked.items() if one in projection.queue}
        if catalog.quotas.maintenance:
            self._tell_closings(catalog.quotas)

    async def look_again(self, catalog: Catalog, capacity: Capacity) -> None:
        """Refuse those who wait and may not start any more, long before their turn: they keep room from others."""
        now, queue = self._world.monotonic(), self._world.writer.projection.queue
        waiting = [entry for entry in queue.values() if entry.state == "waiting"]
        self._allowed = {one.launch_id: self._allowed.get(one.launch_id, now) for one in waiting}
        due = [one for one in waiting if now - self._allowed[one.launch_id] >= LOOK_AGAIN_S]
        first = heapq.nsmallest(MOST_LOOKED_AGAIN, due, key=lambda one: self._allowed[one.launch_id])
        found = await asyncio.gather(*(checks.check(self._world, entry, catalog, capacity) for entry in first))
        for one in found:
            self._allowed[one.entry.launch_id] = now
            if one.refusal is not None:
                refused = await self._world.writer.submit(checks.settle(one, self._world.clock()))
                if refused is not None:
                    self._teller.refused(refused)

    def due_in(self, catalog: Catalog) -> float:
        """Return in how many seconds something of this is due."""
        projection, now = self._world.writer.projection, self._world.clock()
        due = [LOOK_S for entry in projection.queue.values() if entry.state == "started"]
        for notice in projection.notices.values():
            due.append(self._deadlines.left(notice.launch_id, notice.at, notice.deadline))
        for one in self._bounded(catalog):
            end = ends_by(one, catalog.profiles_by_slug.get(one.profile))
            if end is not None and one.launch_id not in projection.notices:
                due.append(end - self._told_before(one, catalog) - now)
        return min(due, default=float("inf"))

    def _tell_closings(self, quotas: Quotas) -> None:
        """Tell each who runs on a machine that is maintained soon, once; after a start of the service, once more."""
        now, projection = self._world.clock(), self._world.writer.projection
        windows = {one.node: quotas.maintenance_of(one.node, now) for one in projection if one.node}
        for one in projection:
            window = windows.get(one.node)
            if window is None or one.state != "held" or not now < window.start <= now + TOLD_BEFORE_CLOSING_S:
                continue
            if (one.launch_id, window.start) not in self._told_closings:
                self._told_closings.add((one.launch_id, window.start))
                self._teller.closes(one, window)

    def _bounded(self, catalog: Catalog) -> list[Reservation]:
        """Return what runs and has a longest duration, or was told of it."""
        projection = self._world.writer.projection
        profiles = {profile.slug for profile in catalog.profiles if profile.longest_hours is not None}
        told = {notice.launch_id for notice in projection.notices.values() if not notice.entry}
        if not profiles and not told:
            return []
        return [one for one in projection if one.state == "held" and (one.profile in profiles or one.launch_id in told)]

    async def _follow(self, entry: QueueEntry) -> None:
        """An entry that is to wait after its launch is taken back: that may have come to nothing."""
        one = self._world.writer.projection.launch(entry.again_of) if entry.again_of else None
        if one is not None and one.state != "stopping" and one.launch_id not in self._hands.ending:
            await self._submit(outcomes.drop_again(entry, self._world.clock()))

    async def _settle(self, entry: QueueEntry) -> None:
        past = await asyncio.to_thread(self._world.ledger.reservation, entry.launch_id)
        now = self._world.clock()
        settled = await self._world.writer.submit(outcomes.over(entry, past, now, self._world.make_launch_id))
        self._teller.settled(settled)

    async def _claim(self, entry: QueueEntry, one: Reservation, minutes: float) -> None:
        now, about = self._world.clock(), f"claim {entry.launch_id}"
        if entry.claim_by is None:
            waits = await self._world.writer.submit(outcomes.await_claim(entry, now + 60 * minutes, now))
            if waits is not None:
                self._deadlines.begin(about, waits.changed, 60 * minutes)
            return
        left = self._deadlines.left(about, entry.changed, entry.claim_by)
        if left > -ACTIVITY_LAG_S and self._world.monotonic() - self._looked.get(one.launch_id, -LOOK_S) < LOOK_S:
            return
        self._looked[one.launch_id] = self._world.monotonic()
        used = await self._is_used(one)
        if used:
            await self._submit(outcomes.claim(entry.launch_id, outcomes.ACTOR, self._world.clock()))
        elif used is False and left <= -ACTIVITY_LAG_S:
            act = outcomes.give_back(entry, one, minutes, self._world.clock())
            stopping = await self._world.writer.submit(act)
            if stopping is not None:
                self._teller.given_back(one, minutes)
                self._hands.stop(stopping)

    async def _is_used(self, one: Reservation) -> bool | None:
        """Whether somebody used a server since it was ready; None if nobody can tell."""
        try:
            server = (await self._world.hub.user(one.user)).server(one.server)
        except MLabError as error:
            log.debug("Whether %s/%s is used is not known: %s", one.user, one.server, error)
            return None
        if server is None or not server.ready or server.last_activity is None or one.ready is None:
            return None
        if server.launch_id not in (None, one.launch_id):
            return None
        return server.last_activity > one.ready

    async def _end(self, one: Reservation, catalog: Catalog) -> None:
        now, end = self._world.clock(), ends_by(one, catalog.profiles_by_slug.get(one.profile))
        notice = self._world.writer.projection.notices.get(one.launch_id)
        if notice is not None and not notice.entry:
            if self._deadlines.left(one.launch_id, notice.at, notice.deadline) <= 0:
                await self._end_now(one, notice)
            return
        before = self._told_before(one, catalog)
        if end is None or notice is not None or now < end - before:
            return
        deadline = max(end, now + before)
        told = await self._world.writer.submit(outcomes.tell_end(one, deadline, now))
        if told is not None:
            self._deadlines.begin(told.launch_id, told.at, deadline - now)
            self._teller.ends_soon(one, deadline)

    async def _end_now(self, one: Reservation, notice: ReclaimNotice) -> None:
        try:
            await self._world.hub.user(one.user)  # while the hub is silent nothing ends
        except NotFound:
            log.debug("The hub has no user %s any more", one.user)
        except MLabError:
            return
        stopping = await self._world.writer.submit(outcomes.end(one, notice, self._world.clock()))
        if stopping is not None:
            self._hands.stop(stopping)

    def _told_before(self, one: Reservation, catalog: Catalog) -> float:
        profile = catalog.profiles_by_slug.get(one.profile)
        longest = float("inf") if profile is None or profile.longest_hours is None else 3600 * profile.longest_hours
        return min(longest / 2, max(LEAST_TOLD_S, notice_seconds(catalog, profile)))

    async def _submit(self, act: Act[Any]) -> None:
        await self._world.writer.submit(act)
