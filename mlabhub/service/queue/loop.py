"""When rounds are made, and what the last one left.

Guarantees: one round at a time; what a round decides is durable before anything follows from it; while hub, backend or
ledger do not answer nothing is decided, and nothing that runs is touched; nothing is lost or done twice wherever the
service dies.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from mlabhub.core.admission import Decision
from mlabhub.core.capacity import Capacity
from mlabhub.core.profiles import LaunchRequest
from mlabhub.core.sharing.model import Round
from mlabhub.core.waiting import Waiting
from mlabhub.ledger import Reservation
from mlabhub.service.projection import Projection

if TYPE_CHECKING:
    from mlabhub.service.world import World

log = logging.getLogger(__name__)


class QueueLoop:
    """Makes rounds. ``last`` is what the last one came to."""

    def __init__(self, world: World):
        self._world = world
        self._lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self._observers: list[Callable[[], None]] = []
        self.last = Round()

    def wake(self) -> None:
        """Make a round soon."""
        self._wake.set()

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Make rounds for ever: when woken, and whenever something is due."""

    async def round_now(self) -> Round:
        """Make a round, and wait until what follows from it at the hub was asked for. Raises an `MLabError`."""
        return self.last

    async def settle(self) -> None:
        """Make a round first if something ended since the last one and somebody waits: theirs is the turn."""

    def begin(self, one: Reservation) -> None:
        """Ask the hub to start a launch whose reservation was made from an entry of the queue; do not wait for it."""

    def turn(self, capacity: Capacity) -> Callable[[Projection, LaunchRequest, str], Decision | None]:
        """Return what `decisions.Ground` asks first: whether somebody who waits comes before a launch."""
        return lambda projection, request, launch_id: None

    def waiting(self) -> tuple[Waiting, ...]:
        """Return those who wait, as soft caps count them."""
        return ()

    def order(self) -> tuple[str, ...]:
        """Return the entries that wait, next first: by the last round, those that came since then at the end."""
        return ()

    def position_of(self, launch_id: str) -> int | None:
        """Return the position of an entry that waits, from 1."""
        order = self.order()
        return order.index(launch_id) + 1 if launch_id in order else None

    def blocked_of(self, launch_id: str) -> str | None:
        """Return in a word what an entry waits for, as `Round.blocked` has it; None before its first round."""
        return self.last.blocked.get(launch_id)

    def observe(self, observer: Callable[[], None]) -> None:
        """Call somebody whenever the queue, or what the last round said of it, changed. It must return at once."""
        self._observers.append(observer)
