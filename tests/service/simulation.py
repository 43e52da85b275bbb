"""A simulator with a seed: hub, machine and spawners that crash, lose messages and fall silent, around the service.

Everything that decides is the code that runs live (writer, launcher, desk, reconciler, rules); only the clock and the
world outside are made. After each step no GPU may be in two running servers; after the world has healed and the
reconciler has looked a few times, hub, machine and ledger agree, and nothing is held by nothing.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mlabhub.client.transport import NoAnswer
from mlabhub.core.hopeless import hopeless
from mlabhub.core.identity import Identity
from mlabhub.core.profiles import Catalog, LaunchRequest
from mlabhub.core.quota_changes import QuotaChange
from mlabhub.errors import MLabError, Unavailable
from mlabhub.ledger import LedgerUnavailable, MemoryLedger
from mlabhub.messages import Message
from mlabhub.service.bodies import ReleasedBody, ReserveBody
from mlabhub.service.capacity import CapacityCache
from mlabhub.service.census import Census
from mlabhub.service.desk import SpawnerDesk
from mlabhub.service.disk import DiskUse
from mlabhub.service.launcher import Launcher, Person
from mlabhub.service.metrics import Metrics
from mlabhub.service.projection import Projection
from mlabhub.service.reconciler import Reconciler
from mlabhub.service.report_tokens import ReportTokens
from mlabhub.service.world import World
from mlabhub.service.writer import Writer
from mlabhub.settings import Settings
from tests.doubles import ScriptedBackend, ScriptedHub, make_node, unreachable

USERS = ("alice", "bob", "carol")
SERVERS = ("", "x", "y")
GPUS = 4


class HubDied(NoAnswer):
    """The hub was killed while it started a server; it knows nothing of it when it is back."""


class FlakyLedger(MemoryLedger):
    """A ledger whose disk is full now and then."""

    full = False

    def commit(self, records: Any) -> None:
        if self.full:
            raise LedgerUnavailable("The ledger's disk is full")
        super().commit(records)

    def copy(self) -> FlakyLedger:
        """Return a ledger that remembers the same."""
        other = FlakyLedger()
        other._reservations, other._answers = dict(self._reservations), dict(self._answers)
        return other


class FixedAccounts:
    """Everybody has one number."""

    async def look_up(self, user: str, groups: Any) -> FixedAccounts:
        self.user = user
        return self

    def choose(self, projection: Projection) -> Identity:
        return Identity(self.user, 1000, 1000)


class FixedCatalog:
    """A catalogue that never changes."""

    fault = None

    def __init__(self, catalog: Catalog):
        self.catalog = catalog.located("/nowhere/nas")

    def __call__(self) -> Catalog:
        return self.catalog

    configured = __call__

    def look(self) -> None:
        pass

    def renewed(self, catalog: Catalog) -> Catalog:
        return catalog

    @property
    def changes(self) -> Mapping[str, QuotaChange]:
        return {}

    def hopeless(self, request: LaunchRequest) -> Message | None:
        return hopeless(request, (self.catalog.quotas,))

    def contradictions(self) -> tuple[Message, ...]:
        return ()


@dataclass
class Simulation:
    """One history, from its seed."""

    catalog: Catalog
    seed: int
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.now = 1_000_000.0
        self.count = 0
        self.ledger = FlakyLedger()
        self.copy = FlakyLedger()
        self.hub = ScriptedHub(spawn=self.spawn, stop_takes=self.end)
        self.backend = ScriptedBackend(nodes=(make_node(gpus=GPUS),))
        self.mishap = ""
        for name in USERS:
            self.hub.add_user(name)

    async def start_service(self) -> None:
        """Start the service on the ledger as it is; what it had in memory is gone."""
        writer = Writer(self.ledger, lambda: self.now)
        await writer.start()
        self.world = World(
            settings=Settings.model_construct(base_url="/", state_dir=Path("/nowhere"), instance="i"),
            ledger=self.ledger,
            writer=writer,
            hub=self.hub,
            backend=self.backend,
            capacity=CapacityCache(self.backend.capacity, lambda: 0.0),
            census=Census(writer, self.ledger, self.backend, lambda: self.now),
            accounts=FixedAccounts(),
            catalog=FixedCatalog(self.catalog),
            clock=lambda: self.now,
            make_launch_id=self.make_launch_id,
            metrics=Metrics(),
            disk=DiskUse(lambda: 0.0),
            monotonic=lambda: self.now,
        )
        self.reconciler = Reconciler(self.world)
        self.launcher = Launcher(self.world, self.reconciler.settle, self.reconciler.wake)
        self.desk = SpawnerDesk(self.world, self.reconciler.supersede, self.reconciler.wake, ReportTokens("t" * 32))

    def make_launch_id(self) -> str:
        """Return the next launch id."""
        self.count += 1
        return f"01{self.count:024}"

    async def run(self, steps: int) -> None:
        """Live through some steps, heal, and look whether all agree."""
        await self.start_service()
        try:
            for _ in range(steps):
                await self.step()
                self.check_gpus()
            await self.heal()
            self.check_agreement()
        finally:
            await self.world.writer.stop()

    async def step(self) -> None:
        """Let one thing happen."""
        things: dict[Callable[[], Awaitable[None]], int] = {
            self.launch: 10,
            self.spawn_at_the_hub: 4,
            self.stop: 5,
            self.server_ends: 3,
            self.hub_forgets: 2,
            self.hub_notices: 3,
            self.look: 6,
            self.restart_service: 2,
            self.outage: 1,
            self.back_up: 1,
            self.restore: 1,
        }
        self.now += self.random.choice([0.1, 1.0, 6.0, 30.0])
        happens = self.random.choices(list(things), list(things.values()))[0]
        self.log.append(happens.__name__)
        try:
            await happens()
        except (MLabError, NoAnswer) as error:
            self.log.append(f"  -> {error}")

    # -- what happens

    async def launch(self) -> None:
        """Somebody launches, and anything may go wrong on the way."""
        mishaps = ["", "", "", "before", "redeemed", "started", "confirmed", "held lost", "release lost", "refused"]
        self.mishap = self.random.choice(mishaps)
        user, server = self.random.choice(USERS), self.random.choice(SERVERS)
        options = {"profile": "gpu", "gpus": self.random.randint(1, 2)}
        self.log.append(f"  {user}/{server} {self.mishap}")
        await self.launcher.launch(Person(user), user=user, server_name=server, display_name="", user_options=options)

    async def spawn_at_the_hub(self) -> None:
        """Somebody starts a server by the hub's own page, perhaps with options of an earlier launch."""
        user, server = self.random.choice(USERS), self.random.choice(SERVERS)
        options: dict[str, Any] = {"profile": "gpu", "gpus": 1}
        if self.count and self.random.random() < 0.3:
            options["launch_id"] = f"01{self.random.randint(1, self.count):024}"
        self.mishap = self.random.choice(["", "", "redeemed", "started", "held lost"])
        self.log.append(f"  {user}/{server} {self.mishap}")
        await self.hub.start(user, server, display_name="", user_options=options)

    async def stop(self) -> None:
        """Somebody stops a server."""
        self.mishap = self.random.choice(["", "", "release lost", "stop fails"])
        user, server = self.random.choice(USERS), self.random.choice(SERVERS)
        self.log.append(f"  {user}/{server} {self.mishap}")
        await self.launcher.stop(Person(user), user, server)

    async def server_ends(self) -> None:
        """A container ends by itself."""
        if self.backend.running:
            one = self.random.choice(list(self.backend.running.values()))
            self.backend.running[one.launch_id] = replace(one, state="exited")

    async def hub_forgets(self) -> None:
        """The hub's database is restored from before a server started."""
        if self.hub.servers:
            self.hub.lose(*self.random.choice(list(self.hub.servers)))

    async def hub_notices(self) -> None:
        """The hub polls: what ended is no longer ready, and its spawner cleans up, unless that is lost."""
        self.mishap = self.random.choice(["", "", "release lost"])
        for (user, server), one in list(self.hub.servers.items()):
            runs = any(
                found.state == "running" and (found.user, found.server_name) == (user, server)
                for found in self.backend.running.values()
            )
            if one.ready and not runs:
                self.hub.servers[user, server] = replace(one, ready=False)
                await self.end(user, server)

    async def look(self) -> None:
        """The reconciler looks."""
        report = await self.reconciler.round()
        self.log.append(f"  {[(finding.kind, finding.launch_id, done) for finding, done in report.findings]}")

    async def restart_service(self) -> None:
        """The service is killed and comes back."""
        await self.world.writer.stop()
        await self.start_service()

    async def back_up(self) -> None:
        """Somebody copies the ledger."""
        self.copy = self.ledger.copy()

    async def restore(self) -> None:
        """Somebody puts the copy back; the service starts on a ledger that is older than the machine."""
        await self.world.writer.stop()
        self.ledger = self.copy.copy()
        await self.start_service()

    async def outage(self) -> None:
        """Something falls silent, or is well again."""
        what = self.random.choice(["hub", "backend", "disk", "none", "none", "none", "none"])
        self.hub.fault = unreachable() if what == "hub" else None
        self.backend.down = what == "backend"
        self.ledger.full = what == "disk"
        self.log.append(f"  {what}")

    # -- what the hub's spawner does

    async def spawn(self, user: str, server: str, options: dict[str, Any]) -> None:
        """Redeem, run, confirm; whatever goes wrong after the redemption is undone, as our spawner does."""
        self.die_at("before", user, server)
        body = ReserveBody(launch_id=self.make_launch_id(), user_options=options, deadline=60.0)
        answer = await self.desk.reserve(user, server, body)
        if answer["decision"] == "refuse":
            raise MLabError(answer["reasons"][0]["message"])
        launch_id = answer["launch_id"]
        self.die_at("redeemed", user, server)
        try:
            if self.mishap == "refused":
                raise MLabError("The image is gone.")
            await self.leftovers(user, server)
            self.backend.run(launch_id, user, server, tuple(answer["placement"]["gpus"]))
            self.check_gpus()
            self.die_at("started", user, server)
            if self.mishap == "held lost":
                raise Unavailable("The launch service does not answer.")
            await self.desk.held(user, server, launch_id)
        except MLabError:
            self.backend.running.pop(launch_id, None)
            await self.tell_released(user, server, launch_id)
            raise
        self.die_at("confirmed", user, server)

    async def leftovers(self, user: str, server: str) -> None:
        """Carry over what an earlier start of this very server left on the machine."""
        for one in await self.backend.servers():
            if (one.user, one.server_name) == (user, server):
                await self.backend.remove(one)

    async def end(self, user: str, server: str) -> None:
        """End a server and tell the service."""
        if self.mishap == "stop fails":
            return
        for one in list(self.backend.running.values()):
            if (one.user, one.server_name) == (user, server):
                del self.backend.running[one.launch_id]
                await self.tell_released(user, server, one.launch_id)

    async def tell_released(self, user: str, server: str, launch_id: str) -> None:
        """Tell the service, fire and forget."""
        if self.mishap != "release lost":
            try:
                await self.desk.released(user, server, ReleasedBody(launch_id=launch_id))
            except MLabError as error:
                self.log.append(f"  lost: {error}")

    def die_at(self, moment: str, user: str, server: str) -> None:
        """Kill the hub here, if that is this story."""
        if self.mishap == moment:
            raise HubDied(moment)

    # -- what must be so

    async def heal(self) -> None:
        """End all outages, and let the reconciler look for a minute."""
        self.hub.fault, self.backend.down, self.ledger.full, self.mishap = None, False, False, ""
        for _ in range(8):
            self.now += 10.0
            await self.hub_notices()
            report = await self.reconciler.round()
            self.log.append(f"healing {[(one.kind, one.launch_id, done) for one, done in report.findings]}")
            assert report.error is None, self.story()

    def check_gpus(self) -> None:
        """No GPU is in two running servers, whatever happened."""
        used = [uuid for one in self.backend.running.values() if one.state != "exited" for uuid in one.gpus]
        assert len(used) == len(set(used)) <= GPUS, self.story()

    def check_agreement(self) -> None:
        """Hub, machine and ledger agree; what a person has to decide on is `unknown`."""
        running = self.backend.running
        for one in self.world.writer.projection:
            at_hub = self.hub.servers.get((one.user, one.server))
            assert one.launch_id in running, self.story()
            assert running[one.launch_id].state == "running", self.story()
            served = at_hub is not None and at_hub.ready
            assert one.state == ("held" if served else "unknown"), self.story()
            assert set(one.gpus) == set(running[one.launch_id].gpus), self.story()
        assert set(running) == {one.launch_id for one in self.world.writer.projection}, self.story()
        ready = {key for key, one in self.hub.servers.items() if one.ready}
        assert ready <= {(one.user, one.server) for one in self.world.writer.projection}, self.story()
        rebuilt = Projection(self.ledger.load(0.0))
        assert set(rebuilt) == set(self.world.writer.projection), self.story()

    def story(self) -> str:
        """Return what happened, to be read from its end."""
        return "\n".join([f"seed {self.seed}", *self.log])
