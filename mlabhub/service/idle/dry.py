"""Dry runs: nobody is warned, nothing is stopped, and what would have been is kept.

Guarantees: a stretch of idleness counts once; what would have been stopped is followed until it is used again (a stop
that would have been regretted) or ends. A start of the service lets what was not noted yet begin its grace anew.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from mlabhub.core.idle.state import State
from mlabhub.core.idle.verdict import Kind, Why
from mlabhub.ledger import WouldStop
from mlabhub.service.idle import acts
from mlabhub.service.idle.standing import Standing
from mlabhub.service.projection import Projection

if TYPE_CHECKING:
    from mlabhub.service.world import World


class DryRuns:
    """Pretends to warn. ``warned`` is since when, by the steady clock."""

    def __init__(self, world: World):
        self._world = world
        self._warned: dict[str, float] = {}

    def drop(self, launch_id: str) -> None:
        """Begin anew if there is another dry run."""
        self._warned.pop(launch_id, None)

    def state(self, state: State) -> State:
        """Return the state as if the warnings had been delivered at once."""
        since = self._warned.get(state.launch_id)
        warned_at = None if since is None else self._world.clock() - (self._world.monotonic() - since)
        return replace(state, warned_at=warned_at, due_at=None, reminded=0)

    async def follow(self, standing: Standing, projection: Projection) -> None:
        """Pretend what follows from a verdict. Raises an `MLabError` if that cannot be kept."""
        launch_id, verdict = standing.launch_id, standing.verdict
        if verdict.withdraw:
            self._warned.pop(launch_id, None)
        elif verdict.warn and launch_id not in self._warned:
            self._warned[launch_id] = self._world.monotonic()
        elif verdict.kind is Kind.STOP and launch_id not in projection.would_stops:
            one = projection.launch(launch_id)
            if one is not None:
                await self._world.writer.submit(acts.would_stop(one, standing.said, self._world.clock()))

    async def settle(self, known: WouldStop, standing: Standing | None) -> None:
        """Note if a server that would have been stopped is at work again, or has ended."""
        one = self._world.writer.projection.launch(known.launch_id)
        if one is None:
            self._warned.pop(known.launch_id, None)
            past = await asyncio.to_thread(self._world.ledger.reservation, known.launch_id)
            ended = self._world.clock() if past is None or past.released is None else past.released
            await self._world.writer.submit(acts.settle_dry(known, ended=ended))
        elif standing is not None and standing.verdict.why is Why.AT_WORK:
            self._warned.pop(known.launch_id, None)
            again = standing.verdict.since if standing.verdict.since is not None else standing.fixed_at
            await self._world.writer.submit(acts.settle_dry(known, again=again))

    def forget(self, projection: Projection) -> None:
        """Forget launches that are over."""
        self._warned = {one: at for one, at in self._warned.items() if projection.launch(one) is not None}
