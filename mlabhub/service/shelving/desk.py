"""Where GPUs are given back and asked for again: by people, by the agent inside a server, by who judges what is idle.

Guarantees: who acts for somebody else is an administrator; what is answered is durable; asking twice is asking once.
Nothing here waits for a server to save: it has `SAVE_S`, and its GPUs are free soon after.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from mlabhub.core.quote import plain
from mlabhub.errors import InvalidLaunch, LaunchRefused, MLabError
from mlabhub.i18n import LANGUAGES, get_translator
from mlabhub.ledger import Shelved
from mlabhub.messages import N_, Message
from mlabhub.service.launcher import Launcher
from mlabhub.service.looks import check_may_act
from mlabhub.service.shelving import acts
from mlabhub.service.shelving.care import ShelvingCare
from mlabhub.service.shelving.views import Returning, SaveOrder, shelved_view
from mlabhub.service.views import LaunchAnswer, Person, PreviewAnswer, ShelvedView
from mlabhub.service.wait_views import Queued, WaitRange
from mlabhub.service.world import World

SAVE_S = 90.0
"""How long a server may save: the agent learns of it with its next report, within a minute."""
TRACE_S = 6 * 3600.0
RETURN_S = 30.0
"""How long an answer waits for what runs without GPUs to end."""
LONGEST_REASON = 200
LONGEST_PATH = 4096

ASKED = N_("{actor} gives its GPUs back")
ASKED_WHY = N_("{actor} gives its GPUs back: {reason}")
BY_AGENT = N_("its person gives its GPUs back, from inside")
WOULD_WAIT = N_(
    "Its GPUs are not free now: it would wait for its turn, without a server meanwhile. Ask for it to wait, or go on "
    "without GPUs. {wait}"
)


class ShelvingDesk:
    """Takes GPUs back while the work is kept, and gives them out again."""

    def __init__(self, world: World, launcher: Launcher):
        self._world = world
        self._launcher = launcher
        self.care = ShelvingCare(world, launcher)

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Do what is due, for ever."""
        await self.care.run(sleep)

    async def release(self, actor: Person, user: str, server: str, reason: str = "") -> ShelvedView:
        """Let a server give its GPUs back and keep its work. Raises `LaunchRefused` if it has none or does not run."""
        check_may_act(actor, user)
        one = self._world.writer.projection.of_server(user, server)
        if one is None:
            raise LaunchRefused(acts.NOT_RUNNING)
        reason = check_reason(reason)
        why = Message.of(ASKED_WHY if reason else ASKED, actor=actor.name, reason=plain(reason))
        return shelved_view(await self._begin(one.launch_id, actor.name, why))

    async def release_own(self, launch_id: str, *, actor: str = "agent", why: Message | None = None) -> ShelvedView:
        """The same for a launch, asked for by the agent inside, or by who found it idle and says ``why``."""
        return shelved_view(await self._begin(launch_id, actor, why or Message(BY_AGENT)))

    async def _begin(self, launch_id: str, actor: str, why: Message) -> Shelved:
        now = self._world.clock()
        begun = await self._world.writer.submit(acts.begin(launch_id, now + SAVE_S, actor, why, now))
        if begun.at == now:
            self.care.begin(begun)
        return begun

    def order(self, launch_id: str) -> SaveOrder | None:
        """Return what is asked of the agent in that server; None for nothing."""
        projection = self._world.writer.projection
        one = projection.launch(launch_id)
        shelved = None if one is None else projection.shelved.get((one.user, one.server))
        if shelved is None or shelved.launch_id != launch_id or shelved.state != "saving" or shelved.reason is None:
            return None
        said = {language: get_translator(language).say(shelved.reason) for language in LANGUAGES}
        return SaveOrder(shelved.until, said)

    async def saved(self, launch_id: str, rescue: str) -> None:
        """Note that all is saved inside, and where the rescue bundle lies; fine for one that was not asked to."""
        one = self._world.writer.projection.launch(launch_id)
        if one is None:
            return
        path = rescue if rescue.isprintable() and len(rescue) <= LONGEST_PATH else ""
        await self._world.writer.submit(acts.saved(launch_id, one.user, one.server, path, self._world.clock()))
        self.care.wake()

    async def trace(self, launch_id: str) -> dict[str, Any]:
        """Return what was measured of a launch in the last `TRACE_S`, as lines of samples; for its rescue bundle."""
        one, now = self._world.writer.projection.launch(launch_id), self._world.clock()
        if one is None:
            return {"samples": []}
        kept = await self._world.watch.history(one.user, one.server, now - TRACE_S, now)
        return {"samples": [json.loads(sample.line()) for sample in kept if sample.launch_id == launch_id]}

    def view(self, user: str, server: str) -> ShelvedView | None:
        """Return what a server gave back; None if there is nothing."""
        known = self._world.writer.projection.shelved.get((user, server))
        return None if known is None else shelved_view(known)

    async def bring_back(
        self, actor: Person, user: str, server: str, *, queue: bool = False
    ) -> LaunchAnswer | Queued | Returning:
        """Launch a server as it was with its GPUs; what runs without them ends for that.

        Where they are not free, it is refused with when they will be, and nothing ends; with ``queue`` it ends, and the
        launch waits for its turn. Raises `NotFound` for a server that gave nothing back.
        """
        check_may_act(actor, user)
        projection = self._world.writer.projection
        known = acts.way_back(projection, user, server)
        if known.state == "released":
            self._check(await self._launcher.preview(actor, user, dict(known.options), server), queue)
        self.care.returned.pop(known.launch_id, None)
        await self._world.writer.submit(acts.bring_back(user, server, actor.name, self._world.clock()))
        self.care.wake()
        answer = await self._answer(known)
        if isinstance(answer, MLabError):
            raise answer
        return answer or Returning("returning", self._world.settings.service_prefix)

    async def foresee(self, actor: Person, user: str, server: str) -> WaitRange | None:
        """Return when a server would have its GPUs again if it waited for them; None where it would not wait.

        Raises `NotFound` for a server that gave nothing back.
        """
        check_may_act(actor, user)
        known = acts.way_back(self._world.writer.projection, user, server)
        preview = await self._launcher.preview(actor, user, dict(known.options), server)
        return preview.wait if preview.state == "later" else None

    def _check(self, preview: PreviewAnswer, queue: bool) -> None:
        """Refuse what never starts, and what would wait though nobody asked for that: before anything ends."""
        if preview.state == "now" or (queue and preview.state == "later"):
            return
        if preview.state == "later":
            wait = preview.wait.say if preview.wait is not None else ""
            raise LaunchRefused(Message.of(WOULD_WAIT, wait=wait), code="would_wait")
        first = preview.reasons[0].message if preview.reasons else Message(acts.NO_WAY_BACK)
        raise LaunchRefused(first)

    async def _answer(self, known: Shelved) -> LaunchAnswer | Queued | MLabError | None:
        """Return what its launch was answered, if that comes soon."""
        until = self._world.monotonic() + RETURN_S
        while self._world.monotonic() < until:
            await self.care.tend()
            if (answer := self.care.returned.pop(known.launch_id, None)) is not None:
                return answer
            after = self._world.writer.projection.shelved.get((known.user, known.server))
            if after is None or after.state != "returning":
                return None
            await asyncio.wait({self._world.changes.next()}, timeout=1.0)
        return None


def check_reason(reason: str) -> str:
    """Return a reason that can be kept. Raises `InvalidLaunch`."""
    if len(reason) > LONGEST_REASON or not (reason.isprintable() or not reason):
        raise InvalidLaunch(
            Message.of(N_("A reason has at most {most} printable characters."), most=LONGEST_REASON), key="reason"
        )
    return reason.strip()
