"""A story: a site, people and a service that live through what a seed says, in made time.

Everything that decides is the code that runs live, with its own loops: launcher, queue, desk, reconciler, writer,
rules. A step is a call that reaches or leaves the service, or something that somebody does; after each one the laws
(`laws`) are looked at. In the end all that was wrong is well again: hub, machines and ledger agree then, everybody who
waits has a turn, and nothing that was accepted is lost.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from mlabhub.client import HubUser
from mlabhub.core.capacity import Node
from mlabhub.core.moments import write_moment
from mlabhub.core.profiles import Catalog
from mlabhub.core.sharing.policy import Policy
from mlabhub.errors import MLabError, Unavailable
from mlabhub.ledger import LedgerUnavailable, MemoryLedger, Record
from mlabhub.service.desk import SpawnerDesk
from tests.doubles import make_node
from tests.service.queue.lab import START, make_catalog
from tests.service.simulation import FixedCatalog
from tests.simulator.deeds import DEEDS, Deed
from tests.simulator.laws import Accounts
from tests.simulator.life import Life, keeps_track
from tests.simulator.loop import live
from tests.simulator.site import POLL_S, Chances, Hub, Machines

T = TypeVar("T")
RATES = {
    "lost on the way there": 0.01,
    "lost on the way back": 0.01,
    "told twice": 0.03,
    "killed": 0.0015,
    "commit answer lost": 0.003,
    "hub refuses": 0.02,
    "start dies": 0.08,
    "stop fails": 0.05,
}
RETRY_S = 8.0


@dataclass(frozen=True)
class Script:
    """What a story is made of: chances and site from ``seed``, and what is done; ``off`` does not happen."""

    seed: int
    deeds: tuple[Deed, ...]
    off: frozenset[str] = frozenset()

    @classmethod
    def of(cls, seed: int, length: int) -> Script:
        """Return the script of a seed."""
        dice = random.Random(seed)
        kinds, weights = list(DEEDS), [one.weight for one in DEEDS.values()]
        gaps = (0.0, 0.05, 0.5, 2.0, 5.0, 20.0)
        drawn = dice.choices(kinds, weights, k=length)
        return cls(seed, tuple(Deed(kind, dice.choice(gaps), dice.getrandbits(32)) for kind in drawn))


class Faults(logging.Handler):
    """Takes faults of the service that it logs and goes on after: here they are found out."""

    def __init__(self, story: Story):
        super().__init__(logging.ERROR)
        self._story = story

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not isinstance(error, MLabError):
            self._story.accounts.must(False, f"{record.getMessage()}: {error!r}")


class Story:
    """One history. ``pace``: how many times as long as the script says it is between deeds."""

    pace = 1.0

    def __init__(self, script: Script):
        self.script = script
        dice = random.Random(script.seed ^ 0x5EED)
        self.catalog = FixedCatalog(_make_catalog(dice))
        self.nodes = _make_nodes(dice)
        self.policy = dice.choice((Policy(), Policy(patience_s=0.0, ski=0.0)))
        self.chances = Chances(random.Random(script.seed ^ 0xC4A5), script.off, RATES)
        again = self.catalog().profiles[0].after_reclaim == "queue"
        self.accounts = Accounts(self.catalog().quotas, waits_again=again)
        self.ledger = MemoryLedger()
        self.ledger_away = self.disk_full = False
        self.log: list[tuple[float, str]] = []
        self.steps = 0
        self._ids = 0
        self._offset = START
        self.life: Life | None = None
        self.machines = Machines(self.nodes, self.accounts)
        self.hub = Hub(self.machines, self.chances, self.tell, self.wall, self.make_id)
        groups = (("vision",), ("nlp",), ("vision", "nlp"), ("guests",), ())
        self.people = tuple(f"p{number}" for number in range(dice.randint(5, 12)))
        for name in self.people:
            self.hub.users[name] = HubUser(name, False, dice.choice(groups))

    # -- time, names, notes

    def steady(self) -> float:
        """Return the steady clock."""
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        """Return the wall clock."""
        return self.steady() + self._offset

    def set_clock(self, by: float) -> None:
        """Let the wall clock step."""
        self._offset += by
        self.accounts.ahead += max(0.0, by)
        self.accounts.walls.append((self.steady(), by))

    def make_id(self) -> str:
        """Return a new launch id."""
        self._ids += 1
        return f"01{self._ids:024}"

    def note(self, what: str) -> None:
        """Remember what happened."""
        self.log.append((self.steady(), what))

    def step(self, where: str) -> None:
        """Count a step."""
        self.steps += 1
        self.accounts.now, self.accounts.wall = self.steady(), self.wall()

    def note_commit(self, records: Iterable[Record]) -> None:
        """Take over what is durable."""
        for record in records:
            if hasattr(record, "state"):
                about = f"{type(record).__name__} {record.launch_id} {record.state}"  # type: ignore[union-attr]
                self.note(f"  {about} {getattr(record, 'user', '')} {getattr(record, 'gpus', '')}")
        self.accounts.commit(records)

    def see_machines(self) -> None:
        """Remember what there is."""
        self.accounts.nodes.append((self.steady(), {node.name: node for node in self.machines.nodes}))

    def furnish(self, life: Life) -> Iterable[Any]:
        """Return what else runs in a life of the service."""
        return ()

    # -- the service, from outside

    async def keep_service(self) -> None:
        """Start the service again whenever it died."""
        while True:
            life = Life(self)
            self.accounts.life += 1
            try:
                beginning = life.run(life.begin())
                await asyncio.wait({beginning, life.died}, return_when=asyncio.FIRST_COMPLETED)
                if beginning.done() and not beginning.cancelled():
                    beginning.result()
                    self.life = life
                    self.note("the service is there")
                    await life.died
            except LedgerUnavailable:
                life.kill()
            self.life = None
            await asyncio.sleep(0.5 if self.chances.calm else self.chances.dice.choice((0.5, 3.0, 20.0)))

    async def ask(self, doing: Callable[[Life], Awaitable[T]]) -> T:
        """Ask the service something once. Raises `Unavailable` where no answer comes."""
        life = self.life
        if life is None or self.chances("lost on the way there"):
            raise Unavailable("The service does not answer.")
        self.step("asked")
        answer = await life.call(doing)
        if self.chances("lost on the way back"):
            raise Unavailable("The service does not answer.")
        return answer

    async def tell(self, what: str, call: Callable[[SpawnerDesk], Awaitable[T]]) -> T:
        """Do as the spawners' client: try for a while. What was delivered may be delivered once more, later."""
        give_up = self.steady() + RETRY_S
        if self.chances("told twice"):
            self.outside(self._again(call))
        while True:
            try:
                return await self.ask(lambda life: call(life.desk))
            except Unavailable:
                if self.steady() >= give_up:
                    raise
            await asyncio.sleep(1.0)

    async def _again(self, call: Callable[[SpawnerDesk], Awaitable[Any]]) -> None:
        await asyncio.sleep(self.chances.dice.choice((0.0, 1.0, 10.0, 70.0)))
        try:
            await self.ask(lambda life: call(life.desk))
        except MLabError:
            return

    def outside(self, doing: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Do something that no death of the service ends."""
        task = self._clean.copy().run(asyncio.get_running_loop().create_task, doing)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task

    # -- the story

    async def run(self) -> None:
        """Live through it. ``accounts.broken`` says what was broken, if anything."""
        asyncio.get_running_loop().set_task_factory(keeps_track)
        self._clean = contextvars.copy_context()
        self.see_machines()
        faults = Faults(self)
        logging.getLogger("mlabhub").addHandler(faults)
        try:
            keeping = [self.outside(self.keep_service()), self.outside(self._poll())]
            doing: list[asyncio.Task[Any]] = []
            for deed in self.script.deeds:
                await asyncio.sleep(deed.gap * self.pace)
                if self.accounts.broken:
                    return
                if deed.kind not in self.script.off:
                    self.step(deed.kind)
                    doing.append(self.outside(self._do(deed)))
            await self._end(doing)
            assert all(not task.done() for task in keeping), [task for task in keeping if task.done()]
        finally:
            logging.getLogger("mlabhub").removeHandler(faults)
            if self.life is not None:
                self.life.kill()

    async def _do(self, deed: Deed) -> None:
        try:
            await DEEDS[deed.kind].do(self, random.Random(deed.seed))
        except MLabError as error:
            self.note(f"  {deed.kind}: {error}")

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            self.hub.poll()

    async def _end(self, doing: list[asyncio.Task[Any]]) -> None:
        """Let everything be well, and look at what is left; then let everybody have their turn."""
        await self._calm_down(doing)
        for _ in range(150):
            if self.accounts.broken:
                return
            life = self.life
            assert life is not None
            projection = life.world.writer.projection
            if not projection.queue and not len(projection):
                break
            for (user, server), one in list(self.hub.servers.items()):
                if one.ready and one.pending is None:
                    await self.hub.stop(user, server)
            await asyncio.sleep(70.0 if self.accounts.now < 20_000 else 400.0)
        self._check_nobody_is_lost()

    async def _calm_down(self, doing: list[asyncio.Task[Any]]) -> None:
        self.chances.calm = True
        self.ledger_away = self.disk_full = self.machines.down = self.hub.silent = False
        if doing:
            await asyncio.wait(doing)
        for task in doing:
            task.result()
        self.hub.come_back()
        self.machines.nodes = self.nodes
        self.see_machines()
        self.note("all is well")
        await asyncio.sleep(200.0)
        self._check_agreement()

    def _check_agreement(self) -> None:
        must, accounts = self.accounts.must, self.accounts
        running = {one.launch_id for one in self.machines.running.values() if one.state == "running"}
        counted = {one.launch_id: one for one in accounts.active.values()}
        ready = {key for key, one in self.hub.servers.items() if one.ready}
        coming = {key for key, one in self.hub.servers.items() if one.pending is not None}
        settled = {key for key, one in counted.items() if (one.user, one.server) not in coming}
        here = {one for one in running if _key(self.machines, one) not in coming}
        must(here == settled, f"machines run {sorted(here)}, the ledger has {sorted(settled)}")
        theirs = {(counted[one].user, counted[one].server) for one in settled}
        must(ready - coming == theirs, f"the hub has {sorted(ready - coming)}, the ledger {sorted(theirs)}")
        states = {counted[one].state for one in settled}
        must(states <= {"held"}, f"the ledger has servers that are {states}")

    def _check_nobody_is_lost(self) -> None:
        must, accounts = self.accounts.must, self.accounts
        left = [one for one in accounts.entries.values() if one.active]
        must(not left, f"these never had a turn: {left}")
        must(not accounts.active, f"these never ended: {list(accounts.active.values())}")
        must(not self.machines.running, f"these still run: {list(self.machines.running)}")
        following = {one.again_of for one in accounts.entries.values() if one.again_of}
        for launch_id in accounts.accepted:
            entry, one = accounts.entries.get(launch_id), accounts.reservations.get(launch_id)
            must(entry is not None or one is not None, f"{launch_id} is lost")
            if entry is not None and entry.state == "claimed":
                must(one is not None, f"{launch_id} was never started")
        for launch_id in accounts.to_follow:
            must(launch_id in following, f"{launch_id} was taken back, and does not wait again")


def _key(machines: Machines, launch_id: str) -> tuple[str, str]:
    one = machines.running[launch_id]
    return one.user, one.server_name


def _make_nodes(dice: random.Random) -> tuple[Node, ...]:
    kinds = dice.choice((("a100",), ("a100", "t4")))
    return tuple(
        make_node(f"n{number}", gpus=dice.choice((2, 4, 8)), gpu_type=dice.choice(kinds), cpu=dice.choice((8, 32)))
        for number in range(dice.randint(1, 4))
    )


def _make_catalog(dice: random.Random) -> Catalog:
    sure = dice.randint(1, 4)
    vision: dict[str, Any] = {"guaranteed": {"gpu": sure}, "limit": {"gpu": sure + dice.choice((0, 2, 8)), "cpu": 24}}
    if dice.random() < 0.3:
        vision["guaranteed"]["gpu:a100"] = 1
    quotas: dict[str, Any] = {
        "groups": {
            "vision": vision,
            "nlp": {"guaranteed": {"gpu": dice.randint(0, 3)}},
            "guests": {"limit": {"gpu": 2}},
        },
        "users": {"default": {"gpu": dice.choice((4, 4, 8)), "servers": 4}},
        "notice_seconds": dice.choice((10, 30, 120)),
        "claim_minutes": dice.choice((1, 15)),
        "max_reclaims": dice.choice((1, 3)),
    }
    if dice.random() < 0.3:
        begin = START + dice.randint(100, 1500)
        window = {"nodes": ["n0"], "from": begin, "until": begin + 900, "reason": "disks"}
        quotas["maintenance"] = [_moments(window)]
    more: dict[str, Any] = {"longest_hours": 0.3} if dice.random() < 0.2 else {}
    more["after_reclaim"] = dice.choice(("queue", "queue", "end"))
    return make_catalog(quotas, **more)


def _moments(window: Mapping[str, Any]) -> dict[str, Any]:
    return {**window, "from": write_moment(window["from"]), "until": write_moment(window["until"])}


def tell_story(script: Script, kind: type[Story] = Story) -> Story:
    """Live through a script, and return what became of it."""
    story = kind(script)
    dice = random.Random(script.seed ^ 0xD15C)
    slow = (0.0, 0.0, 0.0, 0.002, 0.3)

    def slowly() -> float:
        return 0.0 if story.chances.calm or "slow" in script.off else dice.choice(slow)

    live(story.run(), slowly)
    return story


def shortest(script: Script, most: int = 150) -> Story:
    """Return the shortest story that is found which breaks the same law: without what it does not need."""
    best = tell_story(script)
    law = _law(best)
    if not law:
        return best
    tries = [0]

    def breaks(other: Script) -> bool:
        nonlocal best
        tries[0] += 1
        story = tell_story(other)
        if _law(story) != law:
            return False
        best = story
        return True

    for kind in [*RATES, "slow"]:
        breaks(replace(best.script, off=best.script.off | {kind}))
    size = max(1, len(best.script.deeds) // 2)
    while tries[0] < most:
        at = 0
        while at < len(best.script.deeds) and tries[0] < most:
            deeds = best.script.deeds
            rest = (*deeds[:at], *deeds[at + size :])
            if not breaks(replace(best.script, deeds=rest)):
                at += size
        if size == 1:
            break
        size = max(1, size // 2)
    return best


def _law(story: Story) -> str:
    """Return which law was broken, without names and numbers."""
    return "".join(one for one in story.accounts.broken[:200] if one.isalpha() or one == " ").split(" brings ")[-1][:40]


def describe(story: Story) -> str:
    """Return a broken story in words."""
    deeds = "\n".join(f"    {deed}," for deed in story.script.deeds)
    log = "\n".join(f"{at:10.2f} {what}" for at, what in story.log)
    return (
        f"seed {story.script.seed}: {story.accounts.broken}\noff: {sorted(story.script.off)}\n"
        f"deeds: (\n{deeds}\n)\n{log}\nseed {story.script.seed}: {story.accounts.broken}"
    )
