"""What is due with servers that give their GPUs back, from whatever state the ledger has.

Guarantees: what the ledger says is all that is needed, so that a service that died goes on where it was; nobody waits
longer for a server to save than it was told; while hub, machines or ledger do not answer nothing is given up; a server
starts once, whoever starts it; what cannot go on without GPUs stays stopped, and says why.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from mlabhub.core.shelving import Was, WithoutGpus, without_gpus
from mlabhub.errors import MLabError, NotFound, Unavailable
from mlabhub.ledger import Reservation, Shelved
from mlabhub.logs import about
from mlabhub.messages import N_, Message
from mlabhub.service import news
from mlabhub.service.kept import kept_image
from mlabhub.service.queue.deadlines import Deadlines
from mlabhub.service.resting import rest
from mlabhub.service.shelving import acts
from mlabhub.service.views import LaunchAnswer, Person
from mlabhub.service.wait_views import Queued

if TYPE_CHECKING:
    from mlabhub.service.launcher import Launcher
    from mlabhub.service.world import World

log = logging.getLogger(__name__)
BUSY_S = 2.0
CALM_S = 30.0
PAUSE_S = 10.0
"""How long after a start that came to nothing the next one is tried."""
MOST_ATTEMPTS = 12
"""How often a hub is asked that is busy with that very server."""
KEPT_S = 30 * 86400.0
"""How long the way back is kept."""
BUSY_STATUS = (400, 429, 502, 503, 504)
"""What a hub answers that may start a server another time: it still stops it, or starts too many others."""

ENDED = N_("it ended before its GPUs were given back")
RUNS = N_("It runs without GPUs.")
WAITS = N_("it was started another way, and waits for its turn")
HAS_GPUS = N_("it has GPUs again")
FORGOTTEN = N_("nobody wanted its GPUs again for {days} days")
NO_USER = N_("the hub does not have that user any more")
STAYS_STOPPED = N_("it stays stopped: {reason}")


class ShelvingCare:
    """Does what is due. ``returned`` are the answers of launches that brought GPUs back, or why they did not."""

    def __init__(self, world: World, launcher: Launcher):
        self._world = world
        self._launcher = launcher
        self._deadlines = Deadlines(world.clock, world.monotonic)
        self._wake = asyncio.Event()
        self._lock = asyncio.Lock()
        self._not_before: dict[tuple[str, str], float] = {}
        self.returned: dict[str, LaunchAnswer | Queued | MLabError] = {}

    def begin(self, shelved: Shelved) -> None:
        """Count from now on how long it may save."""
        self._deadlines.begin(shelved.launch_id, shelved.at, shelved.until - shelved.at)
        self.wake()

    def wake(self) -> None:
        """Look soon."""
        self._wake.set()

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Look for ever."""
        while True:
            self._wake.clear()
            try:
                await self.tend()
            except MLabError as error:
                log.warning("Not looked at what gives its GPUs back: %s", error.log_text)
            except Exception:
                log.exception("What gives its GPUs back could not be looked at")
            await rest(self._wake, sleep(self._pause()))

    async def tend(self) -> None:
        """Look at all of it once; one at a time, for two looks would start it twice."""
        async with self._lock:
            shelved = self._world.writer.projection.shelved
            self._deadlines.keep({(one.launch_id, one.at) for one in shelved.values()})
            self._not_before = {key: at for key, at in self._not_before.items() if key in shelved}
            for one in list(shelved.values()):
                with about(user=one.user, server=one.server, launch_id=one.launch_id):
                    await self._look_safely(one)

    def _pause(self) -> float:
        try:
            shelved = self._world.writer.projection.shelved.values()
        except MLabError:
            return BUSY_S
        return BUSY_S if any(one.state != "released" for one in shelved) else CALM_S

    async def _look_safely(self, one: Shelved) -> None:
        try:
            await self._look(one)
        except Unavailable as error:
            log.warning("%s/%s waits: %s", one.user, one.server, error.log_text)
            self._not_before[one.user, one.server] = self._world.monotonic() + PAUSE_S
        except MLabError as error:
            log.warning("Not done for %s/%s: %s", one.user, one.server, error.log_text)
        except Exception:
            log.exception("Not done for %s/%s; it is looked at again", one.user, one.server)

    async def _look(self, one: Shelved) -> None:
        launch = self._world.writer.projection.launch(one.launch_id)
        if one.state == "saving":
            await self._look_at_saving(one, launch)
        elif one.state == "stopping":
            if launch is None:
                await self._go_on(one)
            elif launch.state == "held":
                await self._stop(one)
        elif one.state == "released":
            await self._look_at_released(one)
        else:
            await self._return(one)

    async def _look_at_saving(self, one: Shelved, launch: Reservation | None) -> None:
        if launch is None or launch.state == "stopping":
            await self._settle(one, Message(ENDED), state="dropped")
        elif self._is_due(one):
            await self._stop(one)

    def _is_due(self, one: Shelved) -> bool:
        return _answered(one) or self._deadlines.left(one.launch_id, one.at, one.until) <= 0

    async def _stop(self, one: Shelved) -> None:
        act = acts.stop(one, self._world.clock(), answered=_answered(one))
        stopping = await self._world.writer.submit(act)
        if stopping is not None:
            self._world.queue.hands.stop(stopping)
            self.wake()

    async def _look_at_released(self, one: Shelved) -> None:
        other = self._world.writer.projection.of_server(one.user, one.server)
        if other is not None and other.gpus and other.state == "held":
            await self._settle(one, Message(HAS_GPUS), state="returned")
        elif self._world.clock() - one.changed > KEPT_S:
            await self._settle(one, Message.of(FORGOTTEN, days=round(KEPT_S / 86400)), state="dropped")

    # -- without GPUs

    async def _go_on(self, one: Shelved) -> None:
        """Start it without GPUs, as soon as it is over; where somebody started it another way, that counts."""
        projection = self._world.writer.projection
        other, entry = projection.of_server(one.user, one.server), projection.entry_of_server(one.user, one.server)
        if other is not None and other.gpus:
            await self._settle(one, Message(HAS_GPUS), state="returned")
        elif other is not None:
            await self._released(one, said=Message(RUNS))
        elif entry is not None:
            await self._settle(one, Message(WAITS), state="returned" if entry.gpus else "released")
        elif self._may_try(one):
            await self._start_without(one)

    async def _start_without(self, one: Shelved) -> None:
        try:
            person = await self._person(one)
            choice = await self._choose(one, person)
            if isinstance(choice, Message):
                await self._released(one, fault=choice)
                return
            await self._launch(one, person, choice.options, queue=False)
        except Unavailable:
            raise
        except NotFound:
            await self._settle(one, Message(NO_USER), state="dropped")
        except MLabError as error:
            if not await self._try_again(one, error):
                await self._released(one, fault=error.message)
        else:
            await self._released(one, said=choice.said)

    async def _choose(self, one: Shelved, person: Person) -> WithoutGpus | Message:
        past = await asyncio.to_thread(self._world.ledger.reservation, one.launch_id)
        capacity, catalog = await self._world.capacity.get(), self._world.catalog()
        size = (0.0, 0.0) if past is None else (past.cpu, past.memory_gib)
        return without_gpus(
            catalog,
            one.user,
            person.groups,
            Was(one.options, str(one.options["profile"]), str(one.options["image"]), *size),
            one.server,
            present=capacity.gpu_types,
            kept_images=await kept_image(self._world.ledger, catalog, one.user, one.server),
        )

    async def _released(self, one: Shelved, *, said: Message | None = None, fault: Message | None = None) -> None:
        why = said if said is not None else Message.of(STAYS_STOPPED, reason=fault)
        settled = await self._settle(one, why, state="released", fault=fault, attempts=0)
        if settled is not None:
            self._tell(settled, said)

    # -- with GPUs again

    async def _return(self, one: Shelved) -> None:
        projection = self._world.writer.projection
        other, entry = projection.of_server(one.user, one.server), projection.entry_of_server(one.user, one.server)
        if (other is not None and other.gpus) or (other is None and entry is not None):
            await self._settle(one, Message(HAS_GPUS if other is not None else WAITS), state="returned")
        elif other is not None:
            stopping = await self._world.writer.submit(acts.make_way(one, other, self._world.clock()))
            if stopping is not None:
                self._world.queue.hands.stop(stopping)
                self.wake()
        elif self._may_try(one):
            await self._launch_again(one)

    async def _launch_again(self, one: Shelved) -> None:
        try:
            person = await self._person(one)
            answer = await self._launch(one, person, dict(one.options), queue=True)
        except Unavailable:
            raise
        except NotFound:
            await self._settle(one, Message(NO_USER), state="dropped")
        except MLabError as error:
            if not await self._try_again(one, error):
                self.returned[one.launch_id] = error
                why = Message.of(STAYS_STOPPED, reason=error.message)
                await self._settle(one, why, state="released", fault=error.message, attempts=0)
        else:
            self.returned[one.launch_id] = answer
            await self._settle(one, Message(HAS_GPUS if isinstance(answer, LaunchAnswer) else WAITS), state="returned")

    # -- both

    async def _person(self, one: Shelved) -> Person:
        """Return whose server it is: whoever asked, they start it, by what they may."""
        return Person(one.user, groups=(await self._world.hub.user(one.user)).groups)

    async def _launch(
        self, one: Shelved, person: Person, options: dict[str, object], *, queue: bool
    ) -> LaunchAnswer | Queued:
        return await self._launcher.launch(
            person,
            user=one.user,
            server_name=one.server,
            display_name=one.display_name,
            user_options=options,
            queue=queue,
        )

    def _may_try(self, one: Shelved) -> bool:
        return self._world.monotonic() >= self._not_before.get((one.user, one.server), float("-inf"))

    async def _try_again(self, one: Shelved, error: MLabError) -> bool:
        """Whether a hub that did not start it may do so soon: it may not be done with the stop."""
        if error.data.get("hub_status") not in BUSY_STATUS or one.attempts + 1 >= MOST_ATTEMPTS:
            return False
        self._not_before[one.user, one.server] = self._world.monotonic() + PAUSE_S
        await self._settle(one, error.message, attempts=one.attempts + 1)
        return True

    async def _settle(self, one: Shelved, why: Message, **changes: object) -> Shelved | None:
        return await self._world.writer.submit(acts.settle(one, self._world.clock(), why, **changes))

    def _tell(self, one: Shelved, said: Message | None) -> None:
        self._world.news.tell(
            news.GpuReleased(
                user=one.user,
                launch_id=one.launch_id,
                server=one.server,
                at=one.changed,
                display_name=one.display_name,
                said=said,
                fault=one.fault,
                rescue=one.rescue,
            )
        )


def _answered(one: Shelved) -> bool:
    """Whether somebody inside said that all is saved: that is what brings the end forward."""
    return one.changed > one.at or one.until <= one.at
