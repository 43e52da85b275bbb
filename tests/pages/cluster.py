"""The map's own desk over what the pages' tests have in memory."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from mlabhub.core.admission import Capacity
from mlabhub.core.idle.verdict import Kind, Verdict, Why
from mlabhub.core.readings import Sample, Values
from mlabhub.ledger import HeldThen
from mlabhub.service.changes import Changes
from mlabhub.service.cluster_map.desk import MapDesk
from mlabhub.service.world import World
from tests.pages.launcher import CATALOG

if TYPE_CHECKING:
    from tests.pages.launcher import MemoryLauncher


@dataclass
class MemoryMap:
    """What the map is made of. ``use`` is the percent of GPUs by launch, ``then`` what was held at any moment before.

    ``idle`` is since when launches count as idle.
    """

    launcher: MemoryLauncher
    use: dict[str, Values] = field(default_factory=dict)
    idle: dict[str, float] = field(default_factory=dict)
    then: tuple[HeldThen, ...] = ()
    changes: Changes = field(default_factory=Changes)
    ticked: float | None = None

    def desk(self) -> MapDesk:
        """Return the real desk."""
        writer = SimpleNamespace(projection=self.launcher.projection)
        world = SimpleNamespace(
            monotonic=time.monotonic,
            clock=time.time,
            changes=self.changes,
            capacity=self,
            catalog=lambda: CATALOG,
            writer=writer,
            watch=self,
            idle=self,
            ledger=self,
        )
        return MapDesk(cast(World, world))

    async def get(self) -> Capacity:
        self.launcher._check()
        return self.launcher.capacity

    def usage(self, launch_id: str) -> Sample | None:
        use = self.use.get(launch_id)
        return None if use is None else Sample(0.0, "", launch_id, len(use), use, (), None)

    def use_at(self, launch_id: str, t: float) -> Values:
        return self.use.get(launch_id, ())

    def held_at(self, at: float) -> tuple[HeldThen, ...]:
        return self.then

    def standing(self, launch_id: str) -> Any:
        since = self.idle.get(launch_id)
        return None if since is None else SimpleNamespace(verdict=Verdict(Kind.IDLE, Why.IDLE, since, since))
