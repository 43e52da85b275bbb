"""Ask those who seem not to use what somebody waits for.

Guarantees: that somebody was asked is durable before they are told, so that no crash makes it twice within an hour;
nobody is asked whose server the idle watch has not seen unused, and nobody while machines or ledger do not answer;
nothing else follows from it: nobody loses anything.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from mlabhub.core.nudges import Asked, Asking, plan_askings
from mlabhub.core.sharing.model import Scene
from mlabhub.core.units import format_cpu, format_gpus
from mlabhub.errors import MLabError
from mlabhub.ledger import AuditEntry, Nudge, QueueEntry, Record, Reservation
from mlabhub.messages import N_, Message
from mlabhub.service.news import SomebodyWaits, about
from mlabhub.service.projection import Projection
from mlabhub.service.queue.scene import Facts, scene_of
from mlabhub.service.writer import Outcome

if TYPE_CHECKING:
    from mlabhub.service.world import World

log = logging.getLogger(__name__)
LOOK_S = 60.0
ACTOR = "service"


def unused_since(world: World) -> Mapping[str, float]:
    """Return since when launches are unused, as the idle watch saw at its last look; what nobody can tell is absent.

    So a silent training run is at work, an open tab is not, and what was not looked at yet is not unused.
    """
    found = {}
    for one in world.writer.projection:
        standing = world.idle.standing(one.launch_id)
        since = None if standing is None or one.state != "held" else standing.unused_since
        if since is not None:
            found[one.launch_id] = since
    return found


class Nudging:
    """Looks every minute whether somebody waits for what others do not use."""

    def __init__(self, world: World, unused_after_s: Callable[[], float]):
        self._world = world
        self._unused_after_s = unused_after_s

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Look for ever."""
        while True:
            await sleep(LOOK_S)
            try:
                await self.look()
            except MLabError as error:
                log.debug("Nobody was asked to give something back: %s", error.log_text)
            except Exception:
                log.exception("Whom to ask to give something back could not be found out")

    async def look(self) -> tuple[Asking, ...]:
        """Ask whom there is to ask now; return them. Raises an `MLabError` if something does not answer."""
        world = self._world
        if world.queue.error is not None or not any(
            entry.state == "waiting" for entry in world.writer.projection.queue.values()
        ):
            return ()
        capacity = await world.capacity.get()
        projection, catalog, now = world.writer.projection, world.catalog(), world.clock()
        scene = scene_of(projection, catalog, capacity, Facts(idle_since=unused_since(world)), now)
        askings = plan_askings(scene, world.queue.last, asked_of(projection), self._unused_after_s())
        return await self._ask(askings, scene) if askings else ()

    async def _ask(self, askings: tuple[Asking, ...], scene: Scene) -> tuple[Asking, ...]:
        now = scene.now

        def act(projection: Projection) -> Outcome[list[tuple[Asking, Reservation, QueueEntry]]]:
            good: list[tuple[Asking, Reservation, QueueEntry]] = []
            records: list[Record] = []
            for asking in askings:
                one, entry = projection.launch(asking.run), projection.queue.get(asking.waiter)
                gone = one is None or one.state != "held" or asking.run in projection.notices
                if gone or one is None or entry is None or entry.state != "waiting":
                    continue
                good.append((asking, one, entry))
                records += [Nudge(asking.run, now, asking.waiter, asking.user), _audit(now, one, entry)]
            return Outcome(good, tuple(records))

        done = await self._world.writer.submit(act)
        for asking, one, entry in done:
            self._world.news.tell(_news(asking, one, entry, now))
        return tuple(asking for asking, _, _ in done)


def asked_of(projection: Projection) -> Asked:
    """Return who was asked when, by the ledger."""
    users: dict[str, float] = {}
    waiters: dict[str, float] = {}
    for nudge in projection.nudges.values():
        users[nudge.user] = max(nudge.at, users.get(nudge.user, nudge.at))
        waiters[nudge.entry] = max(nudge.at, waiters.get(nudge.entry, nudge.at))
    return Asked(users, waiters)


def wanted_text(entry: QueueEntry) -> str:
    """Return what somebody waits for, without saying who: ``2 A100``."""
    return format_gpus(entry.gpus, entry.gpu_type) if entry.gpus else format_cpu(entry.cpu)


def _audit(now: float, one: Reservation, entry: QueueEntry) -> AuditEntry:
    words = Message.of(
        N_("its owner was asked to give it back: somebody waits for {wanted}"), wanted=wanted_text(entry)
    )
    return AuditEntry(now, ACTOR, "nudge", words, user=one.user, server=one.server, launch_id=one.launch_id)


def _news(asking: Asking, one: Reservation, entry: QueueEntry, now: float) -> SomebodyWaits:
    return SomebodyWaits(**about(one), at=now, wanted=wanted_text(entry), unused_since=asking.idle_since)
