"""What is on the map of all GPUs, looked up once a tick and shared by all: as it is, or at a moment of the last day.

Guarantees: the event loop only takes references; all that grows with the installation is done in a thread. However many
look, there is at most one new map in `SHORTEST_S`, and a new one at the latest after `LONGEST_S`. A machine of which
nothing changed is the same object on the next map, with the same revision. Numbers of maps grow, also over a restart
unless the clock steps back. What cannot be asked (machines, ledger) is raised as `Unavailable`: an old map is never
shown as the present one.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from mlabhub.core.capacity import Capacity
from mlabhub.core.gpu_map import Ground, Held, Hold, counts_of, make_map
from mlabhub.core.idle.verdict import Kind
from mlabhub.core.moments import write_moment
from mlabhub.core.privacy import Viewer
from mlabhub.core.profiles import Catalog
from mlabhub.core.readings import Values
from mlabhub.core.sample_history import DAY_S
from mlabhub.errors import InvalidLaunch
from mlabhub.ledger import HeldThen, Reservation
from mlabhub.messages import N_, Message
from mlabhub.service.cluster_map.drawing import EVERYTHING, Drawings, Pen, Piece, Recent, Tick, Wanted
from mlabhub.service.world import World

SHORTEST_S = 2.0
LONGEST_S = 10.0
PAST_FRESH_S = 60.0
MOST_PAST = 24
"""Moments of which the map is kept: whoever moves along the day comes back to some, and others look at the same."""
NOT_KEPT = N_("{moment} is not in the last 24 hours; the map goes back no further, and not ahead.")
_IDLE = (Kind.IDLE, Kind.WARNED, Kind.STOP)


@dataclass(frozen=True)
class _Scene:
    """What a map is made of, as it is at one moment of the event loop."""

    changes: int
    capacity: Capacity
    catalog: Catalog
    active: tuple[Reservation, ...]


class MapDesk:
    """Makes the maps."""

    def __init__(self, world: World):
        self._world = world
        self._numbers = itertools.count(int(world.clock() * 1000))
        self._now: Tick | None = None
        self._stands_on: tuple[object, ...] = ()
        self._made_at = float("-inf")
        self._making: dict[float | None, asyncio.Task[Tick]] = {}
        self._past: Recent[float, tuple[float, Tick]] = Recent(MOST_PAST)
        self._drawings = Drawings()

    def clock(self) -> float:
        """Return what time it is, in seconds since the epoch."""
        return self._world.clock()

    async def draw(self, viewer: Viewer, pen: Pen, at: float | None = None, wanted: Wanted = EVERYTHING) -> Piece:
        """Return the map for somebody, drawn with this pen. Raises as `look` does."""
        tick = await self.look(at)
        return await asyncio.to_thread(self._drawings.draw, tick, viewer, pen, wanted)

    async def look(self, at: float | None = None) -> Tick:
        """Return the map of now, or of a moment of the last day. Raises `Unavailable`, or `InvalidLaunch`."""
        known = self._fresh() if at is None else self._known(at)
        if known is not None:
            return known
        task = self._making.get(at)
        if task is None:
            task = self._making[at] = asyncio.create_task(self._make(at), name="gpu map")
            task.add_done_callback(lambda done: self._made(at, done))
        return await asyncio.shield(task)

    def _made(self, at: float | None, task: asyncio.Task[Tick]) -> None:
        self._making.pop(at, None)
        if not task.cancelled():
            task.exception()  # whoever waited was told; if nobody does any more, it is not worth a word

    def _fresh(self) -> Tick | None:
        age = self._world.monotonic() - self._made_at
        if age < SHORTEST_S or (age < LONGEST_S and self._stands_on == self._changes()):
            return self._now
        return None

    def _changes(self) -> tuple[object, ...]:
        return self._world.changes.number, self._world.watch.ticked

    def _known(self, at: float) -> Tick | None:
        now = self._world.clock()
        if not now - DAY_S <= at <= now:
            raise InvalidLaunch(Message.of(NOT_KEPT, moment=write_moment(at)), key="at")
        found = self._past.get(at)
        return found[1] if found is not None and self._world.monotonic() - found[0] < PAST_FRESH_S else None

    async def _make(self, at: float | None) -> Tick:
        world, stands_on, changes = self._world, self._changes(), self._world.changes.number
        capacity, catalog = await world.capacity.get(), world.catalog()
        scene = _Scene(changes, capacity, catalog, tuple(world.writer.projection))
        if at is not None:
            tick = await asyncio.to_thread(self._look_back, scene, at)
            self._past.put(at, (world.monotonic(), tick))
            return tick
        tick = await asyncio.to_thread(self._look_now, scene, self._now)
        self._now, self._stands_on, self._made_at = tick, stands_on, world.monotonic()
        return tick

    # -- in a thread

    def _look_now(self, scene: _Scene, before: Tick | None) -> Tick:
        catalog = scene.catalog
        held = [held_of(one, self._idle_since(one.launch_id)) for one in scene.active]
        overcommit = catalog.quotas.cpu_overcommit
        found = make_map(Ground(scene.capacity, held, self._use_now, catalog.gpu_types, overcommit))
        known = {place.name: place for place in before.places} if before is not None else {}
        places = tuple(known[place.name] if known.get(place.name) == place else place for place in found)
        number = next(self._numbers)
        revisions = {
            place.name: before.revisions[place.name] if before and known.get(place.name) is place else number
            for place in places
        }
        same = before is not None and len(known) == len(places) and number not in revisions.values()
        revision = before.revision if before is not None and same else number
        return Tick(number, scene.changes, self._world.clock(), None, places, revisions, counts_of(places), revision)

    def _look_back(self, scene: _Scene, at: float) -> Tick:
        over = self._world.ledger.held_at(at)
        known = {one.launch_id for one in over}
        held = [held_then(one) for one in over]
        held += [held_of(one, None) for one in scene.active if one.created <= at and one.launch_id not in known]
        use: Callable[[str], Values] = partial(self._use_then, at)
        places = make_map(Ground(scene.capacity, held, use, scene.catalog.gpu_types, past=True))
        number = next(self._numbers)
        revisions = dict.fromkeys((place.name for place in places), number)
        return Tick(number, scene.changes, self._world.clock(), at, places, revisions, counts_of(places), number)

    def _use_now(self, launch_id: str) -> Values:
        sample = self._world.watch.usage(launch_id)
        return () if sample is None else sample.gpu_util

    def _use_then(self, at: float, launch_id: str) -> Values:
        return self._world.watch.use_at(launch_id, at)

    def _idle_since(self, launch_id: str) -> float | None:
        standing = self._world.idle.standing(launch_id)
        return standing.verdict.since if standing is not None and standing.verdict.kind in _IDLE else None


def held_of(one: Reservation, idle_since: float | None) -> Held:
    """Return what an active reservation holds, as the map shows it."""
    starting = one.state == "pending"
    about = (one.launch_id, one.user, one.group, one.server, one.display_name, one.profile, one.created, starting)
    return Held(Hold(*about, idle_since), one.gpus, one.gpu_type, one.node, one.cpu, one.memory_gib)


def held_then(one: HeldThen) -> Held:
    """Return what a launch that is over held."""
    about = (one.launch_id, one.user, one.group, one.server, one.display_name, one.profile, one.created, False)
    return Held(Hold(*about, None), one.gpus, one.gpu_type, one.node, 0.0, 0.0)
