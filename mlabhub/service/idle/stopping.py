"""What ends for idleness is looked at once more: before that is decided, and each time before the hub is asked.

Guarantees: the hub is asked to stop a server for idleness only right after a fresh sample says that it is idle still.
While the hub cannot be reached the server runs on; if it is used meanwhile, or nobody knows any more, the stop is taken
back, in the ledger first. What its agent says after a look makes it be looked at anew: who touches a key in the last
seconds is heard. What a person or the queue decided to stop is not looked at here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING

from mlabhub.core.idle.verdict import Kind, Verdict
from mlabhub.errors import MLabError
from mlabhub.ledger import IdleWarning, Reservation
from mlabhub.messages import Message
from mlabhub.service.idle import acts
from mlabhub.service.idle.delivery import Delivery
from mlabhub.service.idle.standing import Standing
from mlabhub.service.projection import Projection

if TYPE_CHECKING:
    from mlabhub.service.world import World

log = logging.getLogger(__name__)
FRESH_S = 10.0
"""How long a sample that was read for a stop is fresh enough for it."""

Release = Callable[[str, Message], Awaitable[object]]
"""Gives the GPUs of a launch back, for that reason, and keeps its work."""


class Stopping:
    """Ends what stands idle. ``release`` is who gives GPUs back and keeps the work, where there is somebody."""

    def __init__(self, world: World, delivery: Delivery, judge: Callable[[Reservation, Projection], Standing]):
        self._world = world
        self._delivery = delivery
        self._judge = judge
        self._looked: dict[str, tuple[float, float | None]] = {}
        """When a launch was looked at, and when its agent had last said something."""
        self._said: dict[str, Message] = {}
        self.release: Release | None = None

    async def end(self, standings: Collection[Standing]) -> None:
        """End those of which it was said, if a fresh sample says it as well."""
        await self._look({one.launch_id for one in standings})
        for standing in standings:
            try:
                await self._end(standing)
            except MLabError as error:
                log.warning("Not ended for idleness: %s: %s", standing.launch_id, error.log_text)

    async def may_stop(self, one: Reservation) -> bool:
        """Whether the hub may be asked now to stop a launch that is `stopping`; one that is used goes on instead."""
        if not self.is_ending(one.launch_id):
            return True
        await self._look({one.launch_id})
        return self.is_ending(one.launch_id) and not await self.reconsider(one)

    async def reconsider(self, one: Reservation) -> bool:
        """Whether a launch that is being stopped for idleness may not be; it is taken back if it is used."""
        standing = self._judge(one, self._world.writer.projection)
        if standing.verdict.kind is Kind.STOP:
            return False
        if standing.verdict.withdraw or standing.verdict.kind in (Kind.ACTIVE, Kind.IDLE):
            await self.take_back(one, standing.said)
        return True

    async def take_back(self, one: Reservation, said: Message) -> None:
        """Let a launch go on that was to be stopped."""
        warning = self._world.writer.projection.warnings.get(one.launch_id)
        held = await self._world.writer.submit(acts.take_back(one.launch_id, said, self._world.clock()))
        if held is not None and warning is not None:
            self._delivery.withdrawn(held, warning, said)

    async def over(self, warning: IdleWarning) -> None:
        """Forget a warning whose launch is over; who was stopped for it learns that."""
        closed = await self._world.writer.submit(acts.close(warning, self._world.clock()))
        said = self._said.pop(warning.launch_id, None)
        if closed and warning.state == "stopping":
            past = await asyncio.to_thread(self._world.ledger.reservation, warning.launch_id)
            if past is not None:
                self._delivery.stopped(past, said)

    def is_ending(self, launch_id: str) -> bool:
        """Whether a launch is being stopped for idleness."""
        warning = self._world.writer.projection.warnings.get(launch_id)
        return warning is not None and warning.state == "stopping"

    async def _look(self, launch_ids: Collection[str]) -> None:
        now, watch = self._world.monotonic(), self._world.watch
        self._looked = {one: looked for one, looked in self._looked.items() if now - looked[0] < FRESH_S}
        heard = {one: watch.heard_at(one) for one in launch_ids}
        stale = {one for one in launch_ids if one not in self._looked or self._looked[one][1] != heard[one]}
        if stale:
            await watch.look_now(stale)
            self._looked.update({one: (self._world.monotonic(), heard[one]) for one in stale})

    async def _end(self, standing: Standing) -> None:
        projection = self._world.writer.projection
        one, warning = projection.launch(standing.launch_id), acts.warning_of(projection, standing.launch_id)
        if one is None or warning is None:
            return
        if standing.policy.action == "release-gpu" and one.gpus:
            await self._release(one)
            return
        act = acts.stop(warning, self._again, self._world.clock())
        done = await self._world.writer.submit(act)
        if done is not None:
            stopping, said = done
            self._said[stopping.launch_id] = said
            self._world.queue.hands.stop(stopping)

    async def _release(self, one: Reservation) -> None:
        if self.release is None:
            log.error("Nothing here gives GPUs back and keeps the work: %s is left alone", one.launch_id)
            return
        projection = self._world.writer.projection
        warning, standing = acts.warning_of(projection, one.launch_id), self._judge(one, projection)
        if warning is None or standing.verdict.kind is not Kind.STOP or one.launch_id in projection.notices:
            return
        await self.release(one.launch_id, standing.said)
        await self._world.writer.submit(acts.released(warning, self._world.clock()))

    def _again(self, one: Reservation, projection: Projection) -> tuple[Verdict, Message]:
        standing = self._judge(one, projection)
        return standing.verdict, standing.said
