"""What is done at the hub after it is durable: start what has its turn, stop what is given back.

Guarantees: nothing is asked of the hub that the ledger does not say already; a stop is for one launch, and is not asked
for where the hub runs another one under its name; a stop that could not be asked for is asked for again, also after
this process died, but not one of a server that nobody used, if somebody does meanwhile; what the hub did not start is
given back, with its place in the queue where it was not refused.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from mlabhub.client.transport import NoAnswer, NotSent
from mlabhub.errors import MLabError, NotFound, Unavailable
from mlabhub.ledger import Reservation
from mlabhub.logs import about
from mlabhub.messages import Message
from mlabhub.service.queue.outcomes import Settled, not_started

if TYPE_CHECKING:
    from mlabhub.service.world import World

log = logging.getLogger(__name__)
AT_ONCE = 16
"""How many servers are started or stopped at the same time."""
RETRY_S = 10.0
_BUSY = (400, 429, 502, 503, 504)
"""Answers of a hub that may start it another time: it stops that very server, or starts many others."""


class Hands:
    """Asks the hub. ``ending`` are the launches whose end was decided on, until they are over."""

    def __init__(self, world: World, settled: Callable[[Settled | None], None]):
        self._world = world
        self._settled = settled
        self._tasks: set[asyncio.Task[None]] = set()
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self._stopping: set[str] = set()
        self.ending: dict[str, float] = {}

    def start(self, one: Reservation) -> None:
        """Ask the hub to start a launch; do not wait for it."""
        self._world.in_flight.add(one.launch_id)
        self._begin(one, self._start(one))

    def stop(self, one: Reservation) -> None:
        """Ask the hub to stop a launch that is `stopping`; do not wait for it."""
        self.ending[one.launch_id] = self._world.monotonic()
        if one.launch_id not in self._stopping:
            self._stopping.add(one.launch_id)
            self._begin(one, self._stop(one))

    async def finish(self) -> None:
        """Wait until all that was asked for is answered."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def close(self) -> None:
        """Let go of what is not answered: the ledger knows it."""
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def remind(self) -> None:
        """Ask again for the stops that came to nothing."""
        projection, now = self._world.writer.projection, self._world.monotonic()
        for launch_id, asked in list(self.ending.items()):
            one = projection.launch(launch_id)
            if one is None or one.state != "stopping":
                del self.ending[launch_id]
            elif now - asked >= RETRY_S:
                self.stop(one)

    def _begin(self, one: Reservation, doing: Coroutine[Any, Any, None]) -> None:
        async def guarded() -> None:
            with about(user=one.user, server=one.server, launch_id=one.launch_id):
                try:
                    await doing
                except Exception:
                    log.exception("Not done for %s/%s; it is looked at again", one.user, one.server)

        task = asyncio.create_task(guarded(), name=f"queue {one.launch_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _start(self, one: Reservation) -> None:
        try:
            async with self._at_once:
                await self._world.hub.start(
                    one.user,
                    one.server,
                    display_name=one.display_name,
                    user_options={**one.options, "launch_id": one.launch_id},
                )
        except NoAnswer as error:
            log.warning("Whether the hub starts %s/%s is not known: %s", one.user, one.server, error)
        except NotSent as error:
            log.warning("The hub could not be asked to start %s/%s: %s", one.user, one.server, error)
            await self._undo(one, None)
        except MLabError as error:
            log.warning("The hub did not start %s/%s: %s", one.user, one.server, error.log_text)
            busy = error.data.get("hub_status") in _BUSY
            refusal = None if busy or isinstance(error, Unavailable) else error.message
            await self._undo(one, refusal, error.message if busy else None)
        finally:
            self._world.in_flight.discard(one.launch_id)

    async def _undo(self, one: Reservation, refusal: Message | None, busy: Message | None = None) -> None:
        """Give back what was not started. Where something of it may run, the reconciler ends it first."""
        act = not_started(one.launch_id, refusal, self._world.clock(), self._world.make_launch_id, busy=busy)
        try:
            if not await self._world.may_run(one.launch_id):
                self._settled(await self._world.writer.submit(act))
        except MLabError as error:
            log.warning("Not noted that it did not start: %s", error.log_text)

    async def _stop(self, one: Reservation) -> None:
        try:
            async with self._at_once:
                if await self._is_ours(one) and await self._world.idle.stopping.may_stop(one):
                    await self._world.hub.stop(one.user, one.server)
        except (MLabError, NotSent, NoAnswer) as error:
            log.warning("Not stopped, it is tried again: %s/%s: %s", one.user, one.server, error)
        finally:
            self._stopping.discard(one.launch_id)

    async def _is_ours(self, one: Reservation) -> bool:
        """Whether the hub runs this very launch under its name, and it is to end still."""
        try:
            server = (await self._world.hub.user(one.user)).server(one.server)
        except NotFound:
            return False
        if server is None or not server.active:
            return False
        if server.launch_id is None:  # it was started by the hub's own form: the machine knows which launch it is
            found = await self._world.backend.servers()
            own = {other.launch_id for other in found if (other.user, other.server_name) == (one.user, one.server)}
            if own and one.launch_id not in own:
                return False
        elif server.launch_id != one.launch_id:
            return False
        known = self._world.writer.projection.launch(one.launch_id)
        return known is not None and known.state == "stopping"
