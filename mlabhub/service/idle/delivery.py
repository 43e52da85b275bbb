"""A warning counts from when it reached its person: in an open tool, as a message, or else on their Home page.

Guarantees: a warning is durable before anybody is told; its delivery is durable before its grace begins. One that no
tool and no mail server took within `HOME_S` stands on the Home page, and counts from then; what cannot be made durable
was not delivered. A warning that was told of before the service died is told of again, as is one that nobody took.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from mlabhub.errors import MLabError
from mlabhub.ledger import IdleWarning, Reservation
from mlabhub.ledger.idle_records import Way
from mlabhub.messages import Message
from mlabhub.service import idle_news, news
from mlabhub.service.idle import acts
from mlabhub.service.idle.standing import Standing
from mlabhub.service.idle.steady import Elapsed
from mlabhub.service.idle.turns import Turns

if TYPE_CHECKING:
    from mlabhub.service.world import World

log = logging.getLogger(__name__)
HOME_S = 120.0
"""How long a tool, a mail server or a chat has to take a warning before it counts as standing on the Home page."""
AT_ONCE = 100
"""So many deliveries become durable together."""

_Key = tuple[str, float]
"""A launch, and of when its warning is."""


class Delivery:
    """Brings warnings to people, and records when they have them."""

    def __init__(self, world: World, elapsed: Elapsed, standing: Callable[[str], Standing | None]):
        self._world = world
        self._elapsed = elapsed
        self._standing = standing
        self._open: dict[_Key, float] = {}

    async def tend(self) -> None:
        """Tell of the warnings that nobody was told of by this process; record those that stand on the Home page."""
        now, turns = self._world.monotonic(), Turns()
        open_now = [key for one in self._world.writer.projection.warnings.values() if (key := _key_of_open(one))]
        still = frozenset(open_now)
        self._open = {key: at for key, at in self._open.items() if key in still}
        at_home: list[_Key] = []
        for key in open_now:
            await turns.give()
            if key not in self._open:
                if self._tell(key):
                    self._open[key] = now
            elif now - self._open[key] >= HOME_S and self._standing(key[0]) is not None:
                at_home.append(key)
        for begin in range(0, len(at_home), AT_ONCE):
            await asyncio.gather(*(self._record(*key, "home") for key in at_home[begin : begin + AT_ONCE]))

    def _tell(self, key: _Key) -> bool:
        """Tell of a warning; whether there is somebody to tell, and it is in force still."""
        projection, standing = self._world.writer.projection, self._standing(key[0])
        warning, one = projection.warnings.get(key[0]), projection.launch(key[0])
        if standing is None or one is None or warning is None or _key_of_open(warning) != key:
            return False
        self._world.news.tell(self.item(one, warning, standing))
        return True

    def undelivered(self) -> list[str]:
        """Return the launches whose warning should stand on a Home page by now, and does not."""
        now = self._world.monotonic()
        return [launch_id for (launch_id, _), since in self._open.items() if now - since > 2 * HOME_S]

    async def seen(self, launch_id: str, at: float) -> None:
        """An open tool showed the warning of then."""
        await self._record(launch_id, at, "tool")

    async def taken(self, item: news.NewsItem) -> None:
        """A mail server or a chat took a message to the person of a launch."""
        if isinstance(item, idle_news.IdleWarned) and not item.reminder:
            await self._record(item.launch_id, item.at, "message")

    def item(
        self, one: Reservation, warning: IdleWarning, standing: Standing, *, reminder: bool = False
    ) -> news.NewsItem:
        """Return the news of a warning."""
        left = standing.policy.grace_s
        if standing.verdict.deadline is not None:
            left = max(standing.verdict.deadline - standing.verdict.at, 0.0)
        return idle_news.IdleWarned(
            **news.about(one),
            at=warning.changed if reminder else warning.at,
            said=standing.said,
            until=self._world.clock() + left,
            action=standing.policy.action,
            reminder=reminder,
        )

    async def _record(self, launch_id: str, at: float, way: Way) -> None:
        try:
            told = await self._world.writer.submit(acts.deliver(launch_id, at, way, self._world.clock()))
        except MLabError as error:
            log.warning("Not recorded that the warning of %s was delivered: %s", launch_id, error.log_text)
            return
        if told is not None and told.told is not None:
            self._elapsed.begin(launch_id, told.told)

    def withdrawn(self, one: Reservation, warning: IdleWarning, said: Message) -> None:
        """Tell who was warned that it holds no more."""
        if warning.told is not None:
            self._world.news.tell(idle_news.IdleWithdrawn(**news.about(one), at=self._world.clock(), said=said))

    def stopped(self, one: Reservation, said: Message | None) -> None:
        """Tell whose server was stopped."""
        self._world.news.tell(idle_news.IdleStopped(**news.about(one), at=self._world.clock(), said=said))


def _key_of_open(warning: IdleWarning) -> _Key | None:
    """Return what a warning that has not reached its person yet is known by; None of any other."""
    is_open = warning.state == "given" and warning.told is None
    return (warning.launch_id, warning.at) if is_open else None
