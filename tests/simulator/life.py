"""One life of the service: everything as it runs live, on lines that break, until it is killed at any await.

Guarantees: what a dead service still does has no effect outside of it: its ledger takes nothing and its lines are cut;
what it asked for before it died goes on without it.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mlabhub.client.transport import NoAnswer, NotSent
from mlabhub.errors import Unavailable
from mlabhub.inventory import BackendUnreachable
from mlabhub.ledger import LedgerUnavailable
from mlabhub.service.capacity import CapacityCache
from mlabhub.service.census import Census
from mlabhub.service.closing import ClosingCapacity
from mlabhub.service.desk import SpawnerDesk
from mlabhub.service.disk import DiskUse
from mlabhub.service.launcher import Launcher
from mlabhub.service.metrics import Metrics
from mlabhub.service.nudging import Nudging
from mlabhub.service.queue_desk import QueueDesk
from mlabhub.service.quota_catalogue import QuotaCatalogue
from mlabhub.service.quota_desk import QuotaDesk
from mlabhub.service.reconciler import Reconciler
from mlabhub.service.report_tokens import ReportTokens
from mlabhub.service.world import World
from mlabhub.service.writer import Writer
from mlabhub.settings import Settings
from tests.doubles import unreachable
from tests.service.queue.lab import Numbers

if TYPE_CHECKING:
    from tests.simulator.story import Story

T = TypeVar("T")
ASKS_THE_HUB = frozenset({"user", "active_servers", "groups"})
LEDGER_CALLS = frozenset({"load", "commit", "check", "reservation", "latest", "audit", "entry", "past_runs"})


class Killed(LedgerUnavailable):
    """The service is dead."""


class LifeLedger:
    """The ledger, as one life of the service reaches it."""

    def __init__(self, story: Story, life: Life):
        self._story = story
        self._life = life

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._story.ledger, name)

        def gate(*values: Any, **more: Any) -> Any:
            self._check(f"ledger {name}")
            if self._story.ledger_away:
                raise LedgerUnavailable("The ledger cannot be reached.")
            if name == "commit":
                values = (tuple(values[0]),)
                if self._story.disk_full:
                    raise LedgerUnavailable("The ledger's disk is full.")
            result = call(*values, **more)
            if name == "commit":
                self._story.note_commit(values[0])
                if self._story.chances("commit answer lost"):
                    raise LedgerUnavailable("The connection to the ledger was lost.")
            self._check(f"ledger {name} done")
            return result

        return gate if name in LEDGER_CALLS else call

    def _check(self, where: str) -> None:
        if not self._life.alive:
            raise Killed("The service is dead.")
        self._story.step(where)
        if self._life.may_die(where):
            raise Killed("The service is dead.")


class Line:
    """What is outside, as one life of the service reaches it."""

    def __init__(self, real: Any, name: str, story: Story, life: Life):
        self._real = real
        self._name = name
        self._story = story
        self._life = life

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._real, name)
        if not asyncio.iscoroutinefunction(call):
            return call

        async def gate(*values: Any, **more: Any) -> Any:
            story = self._story
            await self._point(f"{self._name} {name}")
            if story.chances("lost on the way there"):
                raise self._unreached(name)
            pause = story.chances.pause()
            if pause:
                await asyncio.sleep(pause)
            asked = story.outside(call(*values, **more))
            result = await asyncio.shield(asked)
            await self._point(f"{self._name} {name} answers")
            if story.chances("lost on the way back"):
                raise self._unanswered(name)
            return result

        return gate

    async def _point(self, where: str) -> None:
        if self._life.alive:
            self._story.step(where)
            self._life.may_die(where)
        if not self._life.alive:
            await asyncio.Event().wait()

    def _unreached(self, name: str) -> Exception:
        if self._name == "backend":
            return BackendUnreachable("The engine does not answer.")
        return NotSent("connection refused") if name == "start" else unreachable()

    def _unanswered(self, name: str) -> Exception:
        if self._name == "backend":
            return BackendUnreachable("The engine does not answer.")
        return NoAnswer("timed out") if name == "start" else unreachable()


class Life:
    """A service process. ``tasks`` are all that it is doing."""

    current: contextvars.ContextVar[Life | None] = contextvars.ContextVar("life", default=None)

    def __init__(self, story: Story):
        self._story = story
        self.alive = True
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self.died: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def begin(self) -> None:
        """Start it, as `mlabhub.service.app.serve` does."""
        story = self._story
        ledger: Any = LifeLedger(story, self)
        hub: Any = Line(story.hub, "hub", story, self)
        backend: Any = Line(story.machines, "backend", story, self)
        writer = Writer(ledger, story.wall)
        catalog = QuotaCatalogue(story.catalog, writer, story.wall)
        self.world = World(
            settings=Settings.model_construct(base_url="/", state_dir=Path("/nowhere"), instance="i"),
            ledger=ledger,
            writer=writer,
            hub=hub,
            backend=backend,
            capacity=ClosingCapacity(
                CapacityCache(backend.capacity, story.steady), lambda: catalog().quotas, story.wall
            ),
            census=Census(writer, ledger, backend, story.wall),
            accounts=Numbers(),
            catalog=catalog,
            clock=story.wall,
            make_launch_id=story.make_id,
            metrics=Metrics(),
            disk=DiskUse(lambda: 0.0),
            monotonic=story.steady,
        )
        self.world.queue.policy = story.policy
        await self.world.writer.start()
        self.reconciler = Reconciler(self.world)
        self.launcher = Launcher(self.world, self.reconciler.settle, self.reconciler.wake)
        self.queue_desk = QueueDesk(self.world, self.launcher)
        self.quota_desk = QuotaDesk(self.world)
        self.desk = SpawnerDesk(self.world, self.reconciler.supersede, self.reconciler.wake, ReportTokens("t" * 32))
        nudging = Nudging(self.world, lambda: 1800.0)
        more = story.furnish(self)
        self.loops = [asyncio.create_task(one.run()) for one in (self.reconciler, self.world.queue, nudging, *more)]

    def run(self, doing: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Do something in this life: it ends with it."""
        context = contextvars.copy_context()
        context.run(Life.current.set, self)
        return context.run(asyncio.get_running_loop().create_task, doing)

    def may_die(self, where: str) -> bool:
        """Whether it dies here."""
        if self.alive and self._story.chances("killed"):
            self._story.note(f"  killed at {where}")
            self.kill()
        return not self.alive

    def kill(self) -> None:
        """Kill it. Everything that it is doing ends where it is."""
        if not self.alive:
            return
        self.alive = False
        self._story.accounts.counts["service killed"] += 1
        self.died.set_result(None)
        asyncio.get_running_loop().call_soon(self._bury)

    def _bury(self) -> None:
        for task in tuple(self.tasks):
            task.cancel()

    async def call(self, doing: Callable[[Life], Awaitable[T]]) -> T:
        """Ask it something from outside. Raises `Unavailable` where it dies before it answers."""

        async def ask() -> T:
            return await doing(self)

        task = self.run(ask())
        await asyncio.wait({task, self.died}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done() or task.cancelled():
            task.cancel()
            raise Unavailable("The service does not answer.")
        return task.result()


def keeps_track(loop: asyncio.AbstractEventLoop, doing: Any, **more: Any) -> asyncio.Task[Any]:
    """Make tasks that their life knows; for `set_task_factory`."""
    task: asyncio.Task[Any] = asyncio.Task(doing, loop=loop, **more)
    life = Life.current.get()
    if life is not None:
        life.tasks[task] = None
        task.add_done_callback(lambda done: _over(life, done))
    return task


def _over(life: Life, task: asyncio.Task[Any]) -> None:
    life.tasks.pop(task, None)
    if not task.cancelled():
        task.exception()  # whoever waits for it has it, or is dead
