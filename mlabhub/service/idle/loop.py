"""Every minute a verdict on each server that runs, and what follows from it: warned, reminded, left alone, stopped.

Guarantees: unknown stops nothing. Whatever follows is durable before it is done, so that a death of this service, of
the hub or of the machine between warning and stop changes nothing: what was told, when, and what was kept is read from
the ledger again. Nobody's grace is shorter than the policy says, wherever the wall clock is set, and it begins when the
warning reached them. While ledger or samples cannot be read nothing is warned and nothing stopped. One look at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from mlabhub.core.idle.policy import Policy
from mlabhub.core.idle.samples import Samples
from mlabhub.core.idle.state import State
from mlabhub.core.idle.verdict import Kind, Verdict, assess
from mlabhub.core.profiles import Catalog
from mlabhub.errors import MLabError
from mlabhub.ledger import IdleWarning, Keeping, Reservation
from mlabhub.messages import N_, Message
from mlabhub.service.idle import acts
from mlabhub.service.idle.delivery import HOME_S, Delivery
from mlabhub.service.idle.dry import DryRuns
from mlabhub.service.idle.standing import Standing, Times
from mlabhub.service.idle.steady import Elapsed
from mlabhub.service.idle.stopping import Stopping
from mlabhub.service.idle.turns import Turns
from mlabhub.service.projection import Projection

if TYPE_CHECKING:
    from mlabhub.service.world import World

log = logging.getLogger(__name__)
BEAT_S = 20.0
"""How often it is looked after warnings that nobody took."""
SILENCE_S = 90.0
"""After so long without new samples it is looked without: what is not known any more is said, and withdrawn."""
CHUNK = 100
"""What follows from so many verdicts becomes durable together."""
UNKNOWN_S = 1800.0
"""For how long nobody knows whether a server with GPUs is used before administrators are told."""

DRY_RUN = N_("The policy is a dry run: nobody is warned.")
CAME_TO_NOTHING = N_("It was to be stopped, and that came to nothing.")


class IdleLoop:
    """Judges all servers. ``verdicts`` counts those of the last look by kind."""

    def __init__(self, world: World):
        self._world = world
        self._lock = asyncio.Lock()
        self._elapsed = Elapsed(world.clock, world.monotonic)
        self.times = Times(self._elapsed, world.clock)
        self.delivery = Delivery(world, self._elapsed, self.standing)
        self.stopping = Stopping(world, self.delivery, self._judge_now)
        self._dry = DryRuns(world)
        self._standings: dict[str, Standing] = {}
        self._unknown: dict[str, float] = {}
        self._unwarned: dict[str, float] = {}
        self._said_unknown: set[str] = set()
        self._looked = self._born = world.monotonic()
        self._memory: Mapping[str, float] = {}
        self.verdicts: Mapping[str, int] = {}

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Look for ever: after each minute's samples, and without them where none come."""
        self._world.watch.subscribe(self._tick)
        while True:
            await sleep(BEAT_S)
            silent = self._world.monotonic() - self._looked >= SILENCE_S
            await self._guarded(self.look if silent else self._tend)

    async def look(self) -> None:
        """Judge all servers once, and do what follows. Raises an `MLabError` if the ledger cannot be read."""
        async with self._lock:
            self._looked = self._world.monotonic()
            await self._note_memory()
            await self._judge_all()
            await self._follow_all()
            await self.delivery.tend()
            self._world.queue.hands.remind()
            self._forget()

    def standing(self, launch_id: str) -> Standing | None:
        """Return where a launch stood at the last look; None where it was not there."""
        return self._standings.get(launch_id)

    def judge(self, one: Reservation) -> Standing:
        """Return where a launch stands now. Raises `LedgerUnavailable`."""
        return self._judge_now(one, self._world.writer.projection)

    def kept(self, keeping: Keeping, warning: IdleWarning | None) -> None:
        """Count what was just kept from now on, and tell whom it warned before."""
        self._elapsed.begin(keeping.launch_id, keeping.at)
        self._dry.drop(keeping.launch_id)
        one = self._world.writer.projection.launch(keeping.launch_id)
        if one is not None:
            self._standings[one.launch_id] = self.judge(one)
            if warning is not None:
                self.delivery.withdrawn(one, warning, self._standings[one.launch_id].said)

    def gpu_memory(self, gpus: Collection[str]) -> float | None:
        """Return the memory of GPUs together, in bytes; None where it is not known of all."""
        known = [self._memory[one] for one in gpus if one in self._memory]
        return sum(known) if len(known) == len(gpus) else None

    def unknown(self) -> list[Standing]:
        """Return the servers with GPUs of which it has not been known for long whether they are used."""
        return [self._standings[one] for one in self._long_unknown() if one in self._standings]

    def undeliverable(self) -> list[str]:
        """Return the launches whose warning was due and has reached nobody: it cannot be made durable."""
        now = self._world.monotonic()
        unwarned = (one for one, since in self._unwarned.items() if now - since > 2 * HOME_S)
        return list(dict.fromkeys((*unwarned, *self.delivery.undelivered())))

    # -- verdicts

    async def _judge_all(self) -> None:
        found: dict[str, Standing] = {}
        catalog = self._world.catalog()
        turns = Turns()
        for launch_id in [one.launch_id for one in self._world.writer.projection]:
            await turns.give()
            projection = self._world.writer.projection
            one = projection.launch(launch_id)
            if one is not None and self._is_judged(one, projection):
                found[launch_id] = self._judge(one, projection, catalog)
        self._standings = found
        self.verdicts = Counter(one.verdict.kind.value for one in found.values())
        self._note_unknown()
        self._show()

    def _show(self) -> None:
        metrics = self._world.metrics
        for kind in Kind:
            metrics.idle_verdicts.labels(kind.value).set(self.verdicts.get(kind.value, 0))
        metrics.idle_unknown.set(len(self.unknown()))
        metrics.idle_undelivered.set(len(self.undeliverable()))

    async def _note_memory(self) -> None:
        try:
            capacity = await self._world.capacity.get()
        except MLabError as error:
            log.debug("How much memory GPUs have is not known anew: %s", error)
            return
        gpus = (gpu for node in capacity.nodes for gpu in node.gpus)
        self._memory = {gpu.uuid: gpu.memory_gib * 2**30 for gpu in gpus if gpu.memory_gib is not None}

    def _is_judged(self, one: Reservation, projection: Projection) -> bool:
        if one.state == "stopping":
            return self.stopping.is_ending(one.launch_id)
        return one.state == "held" and one.ready is not None

    def _judge_now(self, one: Reservation, projection: Projection) -> Standing:
        return self._judge(one, projection, self._world.catalog())

    def _judge(self, one: Reservation, projection: Projection, catalog: Catalog) -> Standing:
        world, now = self._world, self._world.clock()
        policy = catalog.idle.policy_for(one.profile, one.group, now)
        samples = world.watch.samples(one.launch_id) or Samples(one.launch_id)
        state = self.state_of(one, projection, policy)
        patient = world.watch.patient(policy, f"{one.user}/{one.server}") if policy.learns else None
        verdict = assess(samples, state, policy, now, patience=patient)
        if not samples.seen and world.monotonic() - self._born <= policy.rule(len(one.gpus)).thresholds.hole_s:
            verdict.withdraw = False  # what was measured before the start may not have been read yet
        reasons = world.watch.reasons(one.launch_id)
        return Standing(one.launch_id, verdict, policy, state, reasons, now, samples, patient)

    def state_of(self, one: Reservation, projection: Projection, policy: Policy) -> State:
        """Return what was said to the person of a launch; in a dry run what would have been."""
        state = self.times.state_of(one, projection, policy.rule(len(one.gpus)).thresholds.hole_s)
        if policy.dry_run:
            return self._dry.state(state)
        self._dry.drop(one.launch_id)
        return state

    # -- what follows

    async def _follow_all(self) -> None:
        await self._settle_over()
        due: list[Standing] = []
        todo = [one for one in self._standings.values() if self._is_due(one)]
        for begin in range(0, len(todo), CHUNK):
            await asyncio.gather(*(self._follow(one, due) for one in todo[begin : begin + CHUNK]))
        if due:
            await self.stopping.end(due)

    async def _settle_over(self) -> None:
        projection = self._world.writer.projection
        try:
            for warning in list(projection.warnings.values()):
                if projection.launch(warning.launch_id) is None:
                    await self.stopping.over(warning)
            for would in list(projection.would_stops.values()):
                await self._dry.settle(would, self._standings.get(would.launch_id))
        except MLabError as error:
            log.warning("Not noted what became of idle servers: %s", error.log_text)

    def _is_due(self, standing: Standing) -> bool:
        verdict, warnings = standing.verdict, self._world.writer.projection.warnings
        return verdict.warn or verdict.kind is Kind.STOP or standing.launch_id in warnings or verdict.withdraw

    async def _follow(self, standing: Standing, due: list[Standing]) -> None:
        launch_id = standing.launch_id
        try:
            if await self._act(standing):
                due.append(standing)
            self._unwarned.pop(launch_id, None)
        except MLabError as error:
            if standing.verdict.warn:
                self._unwarned.setdefault(launch_id, self._world.monotonic())
            log.warning("Nothing followed from the verdict on %s: %s", launch_id, error.log_text)

    async def _act(self, standing: Standing) -> bool:
        """Do what follows from a verdict, but for a stop; whether one is due."""
        projection, launch_id, verdict = self._world.writer.projection, standing.launch_id, standing.verdict
        warning, one = projection.warnings.get(launch_id), projection.launch(launch_id)
        if one is None or self._is_shelved(one, projection):
            return False
        if one.state == "stopping":
            if not await self.stopping.reconsider(one) and launch_id not in self._world.queue.hands.ending:
                self._world.queue.hands.stop(one)  # it was decided on, and nobody was told of that
            return False
        if warning is not None and warning.state == "stopping":
            await self._withdraw(one, warning, Message(CAME_TO_NOTHING))
        elif standing.policy.dry_run:
            if warning is not None:
                await self._withdraw(one, warning, Message(DRY_RUN))
            await self._dry.follow(standing, projection)
        elif verdict.withdraw and warning is not None:
            await self._withdraw(one, warning, standing.said)
        elif launch_id not in projection.notices:
            if verdict.warn:
                await self._warn(one, warning, standing)
            return verdict.kind is Kind.STOP and standing.policy.action != "nothing"
        return False

    async def _warn(self, one: Reservation, warning: IdleWarning | None, standing: Standing) -> None:
        now = self._world.clock()
        if warning is None:
            await self._world.writer.submit(acts.warn(one.launch_id, standing.said, now))
        elif warning.told is not None:
            reminded = reminders_due(standing.policy, standing.verdict)
            again = await self._world.writer.submit(acts.remind(warning, reminded, standing.said, now))
            if again is not None:
                self._world.news.tell(self.delivery.item(one, again, standing, reminder=True))

    async def _withdraw(self, one: Reservation, warning: IdleWarning, said: Message) -> None:
        done = await self._world.writer.submit(acts.withdraw(warning, said, self._world.clock()))
        if done is not None:
            self.delivery.withdrawn(one, warning, said)

    def _is_shelved(self, one: Reservation, projection: Projection) -> bool:
        """Whether it is giving its GPUs back already."""
        shelved = projection.shelved.get((one.user, one.server))
        return shelved is not None and shelved.launch_id == one.launch_id

    # -- what is not known

    def _note_unknown(self) -> None:
        now, projection = self._world.monotonic(), self._world.writer.projection
        unknown = {
            one.launch_id
            for one in self._standings.values()
            if one.verdict.kind is Kind.UNKNOWN
            and (known := projection.launch(one.launch_id)) is not None
            and known.gpus
        }
        self._unknown = {one: self._unknown.get(one, now) for one in unknown}
        self._said_unknown &= unknown

    def _long_unknown(self) -> Iterator[str]:
        now = self._world.monotonic()
        return (one for one, since in self._unknown.items() if now - since >= UNKNOWN_S)

    async def _say_unknown(self) -> None:
        for launch_id in set(self._long_unknown()) - self._said_unknown:
            seconds = self._world.monotonic() - self._unknown[launch_id]
            await self._world.writer.submit(acts.note_unknown(launch_id, seconds, self._world.clock()))
            self._said_unknown.add(launch_id)

    # -- when

    async def _tick(self, at: float) -> None:
        await self._guarded(self.look)

    async def _tend(self) -> None:
        async with self._lock:
            await self.delivery.tend()
            await self._say_unknown()

    async def _guarded(self, doing: Callable[[], Awaitable[None]]) -> None:
        try:
            await doing()
        except MLabError as error:
            log.warning("Nothing was said of idle servers: %s", error.log_text)
        except Exception:
            log.exception("A look at idle servers failed; the next one is in a minute")

    def _forget(self) -> None:
        projection = self._world.writer.projection
        self.times.forget(projection)
        self._dry.forget(projection)
        self._unwarned = {one: at for one, at in self._unwarned.items() if one in self._standings}


def reminders_due(policy: Policy, verdict: Verdict) -> int:
    """Return how many further warnings are due by now."""
    if verdict.deadline is None:
        return 0
    return sum(verdict.at >= verdict.deadline - one for one in policy.reminders_s if one < policy.grace_s)
