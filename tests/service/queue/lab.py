"""A lab with a queue: the service's parts on a real SQLite ledger, a virtual clock, a hub and machines that can fail.

Whatever is durable survives `crash`, which is what ``kill -9`` leaves; everything else is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mlabhub.core.capacity import Node
from mlabhub.core.identity import Identity
from mlabhub.core.privacy import Viewer
from mlabhub.core.profiles import Catalog
from mlabhub.core.resolve import resolve
from mlabhub.core.sharing.policy import Policy
from mlabhub.errors import MLabError
from mlabhub.ledger import Ledger, LedgerUnavailable, QueueEntry, Reservation, open_ledger
from mlabhub.service.answers import Admitted, Waits
from mlabhub.service.bodies import ReleasedBody, ReserveBody
from mlabhub.service.capacity import CapacityCache
from mlabhub.service.census import Census
from mlabhub.service.decisions import Answer, Ground, Wish
from mlabhub.service.desk import SpawnerDesk
from mlabhub.service.disk import DiskUse
from mlabhub.service.metrics import Metrics
from mlabhub.service.news import NewsItem
from mlabhub.service.projection import Projection
from mlabhub.service.queue.asking import ask
from mlabhub.service.quota_catalogue import QuotaCatalogue
from mlabhub.service.reconciler import Reconciler
from mlabhub.service.report_tokens import ReportTokens
from mlabhub.service.world import World
from mlabhub.service.writer import Writer
from mlabhub.settings import Settings
from tests.doubles import ScriptedBackend, ScriptedHub, make_node
from tests.service.simulation import FixedCatalog

START = 1_000_000.0
PROFILE = {
    "slug": "gpu",
    "display_name": "GPU",
    "images": ["base"],
    "cpu": {"min": 1, "max": 8, "default": 1},
    "memory_gib": {"min": 1, "max": 64, "default": 2},
    "gpus": {"min": 0, "max": 8, "default": 1},
    "gpu_types": ["any"],
    "choose_gpu": True,
}
IMAGE = {"slug": "base", "display_name": "Base", "reference": "localhost/mlabhub/base:latest"}
PEOPLE = {"alice": ["vision"], "bob": ["vision"], "carol": ["nlp"], "dave": ["nlp"]}
LENT = {"groups": {"nlp": {"guaranteed": {"gpu": 4}}, "vision": {}}, "notice_seconds": 600}
"""Quotas in which what nlp does not use is lent."""


def make_catalog(quotas: dict[str, Any] | None = None, **profile: Any) -> Catalog:
    """Return a catalogue with one profile."""
    parts = {"profiles": [{**PROFILE, **profile}], "images": [IMAGE], "quotas": quotas or {}}
    return Catalog.model_validate(parts)


@dataclass
class Inbox:
    """Keeps the news."""

    items: list[NewsItem] = field(default_factory=list)

    def tell(self, one: NewsItem) -> None:
        """Take one."""
        self.items.append(one)

    def of(self, user: str) -> list[str]:
        """Return the kinds of what a person was told."""
        return [one.kind for one in self.items if one.user == user]


@dataclass(frozen=True)
class Numbers:
    """Gives a user the first number that is free, as the machine's accounts do for who has none."""

    user: str = ""

    async def look_up(self, user: str, groups: Any) -> Numbers:
        """Return what is known about a user."""
        return Numbers(user)

    def choose(self, projection: Projection) -> Identity:
        """Return their number, or the next one."""
        known = projection.known_id("user", self.user)
        number = known if known is not None else max(projection.numbers, default=999) + 1
        return Identity(self.user, number, number)


class Killed(LedgerUnavailable):
    """The service is dead: nothing that it does has any effect."""


class MovableLedger:
    """A ledger that can be away. Everything goes to the real one; each call is a point at which a service may die."""

    def __init__(self, ledger: Ledger, lab: Lab):
        self.real = ledger
        self.away: Exception | None = None
        self._lab = lab

    def __getattr__(self, name: str) -> Any:
        call = getattr(self.real, name)

        def gate(*values: Any, **more: Any) -> Any:
            if self.away is not None:
                raise self.away
            if self._lab.dies_here(f"before {name}"):
                raise self._lab.die()
            result = call(*values, **more)
            if self._lab.dies_here(f"after {name}"):
                raise self._lab.die()
            return result

        return gate


class Gate:
    """What is outside of the service, as the service reaches it: each call is a point at which it may die."""

    def __init__(self, real: Any, lab: Lab):
        self._real = real
        self._lab = lab

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._real, name)
        if not asyncio.iscoroutinefunction(call):
            return call
        ledger = self._lab.ledger

        async def gate(*values: Any, **more: Any) -> Any:
            await self._point(ledger, f"before {name}")
            # What was asked for goes on when the service dies.
            result = await asyncio.shield(asyncio.ensure_future(call(*values, **more)))
            await self._point(ledger, f"after {name}")
            return result

        return gate

    async def _point(self, ledger: MovableLedger, where: str) -> None:
        if self._lab.dies_here(where):
            self._lab.die()
        if isinstance(ledger.away, Killed):
            await asyncio.Event().wait()


class Lab:
    """One installation."""

    def __init__(
        self, folder: Path, catalog: Catalog | None = None, nodes: tuple[Node, ...] = (), memory: Ledger | None = None
    ):
        self.settings = Settings.model_construct(base_url="/", state_dir=folder, instance="i", database="")
        self.catalog = FixedCatalog(catalog or make_catalog())
        self.now, self.mono, self.count = START, 0.0, 0
        self.backend = ScriptedBackend(nodes=nodes or (make_node(gpus=4),))
        self.hub = ScriptedHub(spawn=self.spawn, stop_takes=self.despawn)
        self.news = Inbox()
        self.memory = memory
        self.points: int | None = None
        self.died = ""
        for name, groups in PEOPLE.items():
            self.hub.add_user(name, *groups)

    async def boot(self) -> Lab:
        """Start the service."""
        self.points = None
        self.ledger = MovableLedger(self.memory or await asyncio.to_thread(open_ledger, self.settings), self)
        hub, backend = Gate(self.hub, self), Gate(self.backend, self)
        writer = Writer(self.ledger, lambda: self.now)
        await writer.start()
        self.world = World(
            settings=self.settings,
            ledger=self.ledger,
            writer=writer,
            hub=hub,
            backend=backend,
            capacity=CapacityCache(backend.capacity, lambda: self.mono, fresh_s=0.0),
            census=Census(writer, self.ledger, backend, lambda: self.now),
            accounts=Numbers(),
            catalog=QuotaCatalogue(self.catalog, writer, lambda: self.now),
            clock=lambda: self.now,
            make_launch_id=self.make_launch_id,
            metrics=Metrics(),
            disk=DiskUse(lambda: 0.0),
            news=self.news,
            monotonic=lambda: self.mono,
        )
        # What is tried here is what follows from a round; when it is worth it to take something back is the rules'.
        self.world.queue.policy = Policy(patience_s=0.0, ski=0.0)
        self.reconciler = Reconciler(self.world)
        self.desk = SpawnerDesk(self.world, self.reconciler.supersede, self.reconciler.wake, ReportTokens("t" * 32))
        return self

    async def crash(self) -> None:
        """Kill the service, and start it again."""
        await self.halt()
        await self.boot()

    async def halt(self) -> None:
        """Kill the service: nothing that is not durable is finished."""
        await self.world.queue.hands.close()
        await self.world.writer.stop()
        if self.memory is None:
            self.ledger.real.close()

    def dies_here(self, where: str) -> bool:
        """Count a point at which the service may die; whether this is the one."""
        if self.points is None or isinstance(self.ledger.away, Killed):
            return False
        self.points -= 1
        if self.points:
            return False
        self.died = where
        return True

    def die(self) -> Killed:
        """Let the service die here."""
        self.ledger.away = Killed("The service is dead.")
        return self.ledger.away

    async def until_killed(self, story: Coroutine[Any, Any, None], points: int) -> bool:
        """Live through a story until the service dies at its n-th point; whether it did. Then it is started again."""
        self.points = points
        telling = asyncio.create_task(story)
        while not telling.done() and not isinstance(self.ledger.away, Killed):
            await asyncio.wait({telling}, timeout=0.005)
        killed = isinstance(self.ledger.away, Killed)
        if not killed:
            self.points = None
            await telling
            return False
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
        await self.crash()
        return True

    def make_launch_id(self) -> str:
        """Return the next launch id."""
        self.count += 1
        return f"01{self.count:024}"

    # -- what people do

    async def ask(self, who: str, server: str = "", *, wait: bool = True, **options: Any) -> Answer:
        """Ask for a server, and start it if it is admitted."""
        options = {"profile": "gpu", **options}
        groups = self.hub.users[who].groups
        capacity = await self.world.capacity.get()
        request = resolve(self.catalog(), who, groups, options, server, present=capacity.gpu_types)
        facts = await self.world.accounts.look_up(who, groups)
        wish = Wish(
            launch_id=self.make_launch_id(),
            request=request,
            options=options,
            actor=who,
            viewer=Viewer(who, frozenset(groups)),
            deadline_s=300,
            may_wait=wait,
        )
        answer = await ask(self.world, wish, Ground(self.catalog(), capacity, facts.choose))
        if isinstance(answer, Admitted):
            await self.start(answer.reservation)
        return answer

    async def start(self, one: Reservation) -> None:
        """Ask the hub for a launch that was admitted."""
        options = {**one.options, "launch_id": one.launch_id}
        await self.hub.start(one.user, one.server, display_name="", user_options=options)

    async def runs(self, who: str, server: str = "", **options: Any) -> str:
        """Let a server run; return its launch."""
        answer = await self.ask(who, server, **options)
        assert isinstance(answer, Admitted), answer
        await self.look()
        return answer.reservation.launch_id

    async def waits(self, who: str, server: str = "", **options: Any) -> str:
        """Let a launch wait; return its id."""
        answer = await self.ask(who, server, **options)
        assert isinstance(answer, Waits), answer
        return answer.entry.launch_id

    async def stop(self, who: str, server: str = "") -> None:
        """Let a server end."""
        await self.hub.stop(who, server)

    # -- what the hub's spawner does

    async def spawn(self, user: str, server: str, options: dict[str, Any]) -> None:
        """Redeem, run, confirm."""
        body = ReserveBody(launch_id=self.make_launch_id(), user_options=options, deadline=60.0)
        answer = await self.desk.reserve(user, server, body)
        if answer["decision"] == "refuse":
            raise MLabError(answer["reasons"][0]["message"])
        gpus = tuple(answer["placement"]["gpus"])
        self.backend.run(answer["launch_id"], user, server, gpus)
        self.check_gpus()
        await self.desk.held(user, server, answer["launch_id"])

    async def despawn(self, user: str, server: str) -> None:
        """End what runs, and tell."""
        for one in list(self.backend.running.values()):
            if (one.user, one.server_name) == (user, server):
                del self.backend.running[one.launch_id]
                with contextlib.suppress(MLabError):  # nobody waits for that answer; the reconciler sees it
                    await self.desk.released(user, server, ReleasedBody(launch_id=one.launch_id))

    # -- time

    async def look(self, seconds: float = 0.0) -> None:
        """Let time pass; the reconciler and the queue look."""
        self.now += seconds
        self.mono += seconds
        await self.reconciler.round()
        await self.world.queue.round_now()

    def uses(self, who: str, server: str = "") -> None:
        """Somebody works in a server: the hub knows."""
        known = self.hub.servers[who, server]
        self.hub.servers[who, server] = replace(known, last_activity=self.now)

    # -- what there is

    @property
    def projection(self) -> Projection:
        return self.world.writer.projection

    def entry(self, launch_id: str) -> QueueEntry:
        """Return an entry as the ledger has it."""
        found = self.ledger.entry(launch_id)
        assert found is not None, launch_id
        assert isinstance(found, QueueEntry)
        return found

    def state(self, launch_id: str) -> str:
        """Return the state of an entry."""
        return self.entry(launch_id).state

    def held(self, launch_id: str) -> str:
        """Return the state of a launch, whether it is over or not."""
        found = self.ledger.reservation(launch_id)
        return "" if found is None else found.state

    def acts(self) -> list[tuple[str, str]]:
        """Return the audit, oldest first: act and server's owner."""
        return [(one.act, one.user) for one in reversed(self.ledger.audit(limit=1000))]

    def check_gpus(self) -> None:
        """No GPU is in two servers."""
        used = [uuid for one in self.backend.running.values() if one.state != "exited" for uuid in one.gpus]
        assert len(used) == len(set(used)), used
