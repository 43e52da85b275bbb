"""A story whose servers are used and left: what each GPU truly does is known here, and every stop is held against it.

The idle loop is the one that runs live. Samples are lost, or say nothing; the service is killed at any await, hub and
ledger lose answers, clocks step. Accounts are kept of what was committed, and of what the GPUs did.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from mlabhub.core.idle.file import Idle
from mlabhub.core.idle.fold import Thresholds
from mlabhub.core.idle.patience import Patient
from mlabhub.core.idle.policy import Policy
from mlabhub.core.idle.samples import Sample, Samples
from mlabhub.errors import MLabError, Unavailable
from mlabhub.ledger import IdleWarning, Record, Reservation
from mlabhub.messages import Message
from mlabhub.service.idle.desk import IdleDesk
from mlabhub.service.views import Person
from tests.simulator.life import Life
from tests.simulator.story import Script, Story

WINDOW_S, GRACE_S = 600.0, 120.0
TICK_S = 60.0
LEAST_BUSY_S = 700.0
"""No hole that a policy lives with hides work of that length."""
IDLE = {
    "policy": "quick",
    "policies": {
        "quick": {
            "with_gpu": {"window_minutes": WINDOW_S / 60},
            "without_gpu": {"window_minutes": WINDOW_S / 60, "held_minutes": 0},
            "grace_minutes": GRACE_S / 60,
            "learns": False,
            "keep_hours": 0.5,
        }
    },
}


@dataclass
class Truth:
    """What a server does: ``until`` it is at work, by the steady clock, and from ``again`` on once more."""

    until: float
    again: float

    def works(self, now: float) -> bool:
        """Whether it is at work."""
        return now < self.until


@dataclass
class Delivered:
    """A delivered warning: when by the steady clock, how far the wall clock went ahead before, and in which life."""

    warning: IdleWarning
    at: float
    ahead: float
    life: int


class Meter:
    """The samples, which outlive the service, as it reaches them in one of its lives."""

    def __init__(self, story: IdleStory, life: Life):
        self._story = story
        self._life = life
        self.ticks: list[Callable[[float], Awaitable[None]]] = []

    def subscribe(self, tick: Callable[[float], Awaitable[None]]) -> None:
        self.ticks.append(tick)

    def samples(self, launch_id: str) -> Samples | None:
        return self._story.samples.get(launch_id)

    def reasons(self, launch_id: str) -> tuple[Message, ...]:
        return ()

    def usage(self, launch_id: str) -> None:
        return None

    def patient(self, policy: Policy, server: str) -> Patient | None:
        return None

    def heard_at(self, launch_id: str) -> None:
        return None

    async def look_now(self, launch_ids: Collection[str]) -> None:
        """Read these, if that can be done."""
        self._story.step("look now")
        if self._life.may_die("look now"):
            await asyncio.Event().wait()
        await asyncio.sleep(self._story.chances.pause())
        if self._story.chances("look fails"):
            raise Unavailable("The driver does not answer.")
        for launch_id in sorted(launch_ids):
            self._story.measure(launch_id)


class WatchedHub:
    """The hub, as the service asks it: each stop is held against the laws at the moment at which it is asked for."""

    def __init__(self, hub: Any, story: IdleStory):
        self._hub = hub
        self._story = story

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hub, name)

    async def stop(self, user: str, server: str) -> None:
        self._story.see_stop(user, server)
        await self._hub.stop(user, server)


class IdleStory(Story):
    """One history of hours."""

    pace = 30.0

    def __init__(self, script: Script):
        super().__init__(script)
        idle = Idle.model_validate(IDLE)
        self.catalog.catalog = self.catalog().model_copy(update={"idle": idle})
        self.chances.rates = {**self.chances.rates, "sample lost": 0.05, "not read": 0.05, "look fails": 0.1}
        self._nature = random.Random(script.seed ^ 0x1D1E)
        self.samples: dict[str, Samples] = {}
        self.truth: dict[str, Truth] = {}
        self.warnings: dict[str, IdleWarning] = {}
        self.delivered: dict[str, Delivered] = {}
        self.forgotten = False
        self._meters: dict[Life, Meter] = {}

    def furnish(self, life: Life) -> Iterable[Any]:
        """Let the idle loop run."""
        world: Any = life.world
        world.hub = WatchedHub(world.hub, self)
        world.watch = self._meters[life] = Meter(self, life)
        return (world.idle,)

    async def run(self) -> None:
        """Live through it; time goes on outside."""
        self.others = [asyncio.ensure_future(one()) for one in (self._measure_all, self._people)]
        await super().run()

    # -- what GPUs do, and what is measured of it

    def at_work(self, launch_id: str) -> bool:
        """Whether a server is at work now."""
        now, dice = self.steady(), self._nature
        truth = self.truth.get(launch_id)
        if truth is None or (now >= truth.again and not self.forgotten):
            until = now + dice.choice((LEAST_BUSY_S, LEAST_BUSY_S, 2000.0))
            truth = self.truth[launch_id] = Truth(until, until + dice.choice((300.0, 900.0, 1500.0, 1e9)))
        return truth.works(now)

    def measure(self, launch_id: str) -> None:
        """Add a sample of a server, unless it is lost."""
        one = self.machines.running.get(launch_id)
        if one is None or one.state != "running":
            return
        busy = self.at_work(launch_id)
        if self.chances("sample lost"):
            return
        gpus, unread = len(one.gpus), self.chances("not read")
        util = None if unread else 80.0 if busy else 0.0
        cores = None if unread else 1.0 if busy else 0.0
        known = self.samples.setdefault(launch_id, Samples(launch_id))
        known.add(Sample(self.wall(), gpus, [util] * gpus if gpus else None, cpu_cores=cores))

    async def _measure_all(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            for launch_id in sorted(self.machines.running):
                self.measure(launch_id)
            life = self.life
            if life is not None and life.alive:
                for tick in self._meters[life].ticks:
                    life.run(_call(tick, self.wall()))

    async def _people(self) -> None:
        """Tools show warnings, and people keep servers."""
        while True:
            await asyncio.sleep(self._nature.choice((10.0, 60.0, 300.0)))
            for launch_id in sorted(self.warnings):
                deed, one = self._nature.random(), self.accounts.reservations.get(launch_id)
                if one is None or not one.active or self.forgotten:
                    continue
                try:
                    if deed < 0.3:
                        at = self.warnings[launch_id].at
                        await self.ask(lambda life, i=launch_id, a=at: IdleDesk(life.world).seen(i, a))
                    elif deed < 0.34:
                        await self.ask(lambda life, o=one: _keep(life, o))
                        self.accounts.counts["kept"] += 1
                except MLabError as error:
                    self.note(f"  {launch_id}: {error}")

    # -- the laws

    def note_commit(self, records: Iterable[Record]) -> None:
        """Take over what is durable; hold stops against what was delivered."""
        records = tuple(records)
        super().note_commit(records)
        for record in records:
            if isinstance(record, IdleWarning):
                self._warning(record)

    def _warning(self, warning: IdleWarning) -> None:
        launch_id, counts = warning.launch_id, self.accounts.counts
        before = self.warnings.get(launch_id)
        counts[f"warning {warning.state}"] += before is None or before.state != warning.state
        if not warning.active:
            self.warnings.pop(launch_id, None)
            self.delivered.pop(launch_id, None)
            return
        self.warnings[launch_id] = warning
        if warning.told is not None and launch_id not in self.delivered:
            counts[f"told {warning.way}"] += 1
            self.delivered[launch_id] = Delivered(warning, self.steady(), self.accounts.ahead, self.accounts.life)
        if warning.state == "stopping":
            self._decided(launch_id)

    def _decided(self, launch_id: str) -> None:
        """A stop was decided on: after a delivered warning and its grace, idle in truth, and known to be."""
        must, told = self.accounts.must, self.delivered.get(launch_id)
        if told is None:
            must(False, f"{launch_id} is stopped for idleness, and its person was told nothing")
            return
        passed = self.steady() - told.at
        if told.life != self.accounts.life:  # another service knows only what the wall clock says
            passed += self.accounts.ahead - told.ahead
        must(passed >= GRACE_S - 5.0, f"{launch_id} is stopped for idleness {passed} s after its warning")
        samples = self.samples[launch_id]
        gpu, cpu = samples.gpu[-1], samples.cpu[-1]
        must(gpu == 0.0 or (gpu != gpu and cpu == 0.0), f"{launch_id} is stopped for idleness, not known to be idle")
        must(self._idle_for(launch_id) >= WINDOW_S, f"{launch_id} is stopped {self._idle_for(launch_id)} s after work")

    def see_stop(self, user: str, server: str) -> None:
        """The service asks for a stop."""
        launch_id = self.accounts.servers.get((user, server), "")
        warning = self.warnings.get(launch_id)
        if warning is None or warning.state != "stopping":
            return
        self.accounts.counts["idle stops asked"] += 1
        idle = self._idle_for(launch_id)
        self.accounts.must(idle >= WINDOW_S - 10.0, f"{launch_id} is to be stopped, and was at work {idle} s ago")

    def _idle_for(self, launch_id: str) -> float:
        if launch_id not in self.machines.running:
            return float("inf")
        self.at_work(launch_id)
        return self.steady() - self.truth[launch_id].until

    # -- the end

    async def _end(self, doing: list[asyncio.Task[Any]]) -> None:
        """All is well, and nobody comes back: whatever runs is warned, and stopped."""
        await self._calm_down(doing)
        self.forgotten = True
        begun = self.steady()
        await asyncio.sleep(2000.0 + 3 * WINDOW_S + 1800.0 + GRACE_S + Thresholds().hole_s + 900.0)
        for launch_id, one in self.accounts.active.items():
            truth = self.truth.get(launch_id)
            old = truth is not None and truth.until < self.steady() - 2 * WINDOW_S - GRACE_S - 300.0
            self.accounts.must(not (old and one.state == "held"), f"{launch_id} stands idle since {begun}, and goes on")


async def _call(tick: Callable[[float], Awaitable[None]], at: float) -> None:
    await tick(at)


async def _keep(life: Life, one: Reservation) -> None:
    await IdleDesk(life.world).extend(Person(one.user), one.user, one.server, 900.0, "r")
