"""Watches all servers: reads every few seconds how busy they are, and has a sample of each ready every full minute.

Guarantees: nothing that fails outside (a driver, a Prometheus, the engine, the hub, the ledger) ends the watching or
raises anywhere: what they do not tell is unknown. No one of them is waited for so long that a minute is missed. What
was known before a restart is known after it, as far as the ledger has it; until it was read nothing is known, and
nobody is told of a minute, though each is read and kept. Whoever subscribed is called once a minute was taken in, one
call after the other; one that takes longer than a minute misses some.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mlabhub.core.idle.patience import Patient
from mlabhub.core.idle.policy import Policy
from mlabhub.core.idle.samples import Sample as Row
from mlabhub.core.idle.samples import Samples
from mlabhub.core.readings import Sample, Values, Watched
from mlabhub.core.sample_history import FINE_FOR_S
from mlabhub.errors import MLabError
from mlabhub.messages import Message
from mlabhub.samplers import Rounds
from mlabhub.service.idle.further import Further, Latest
from mlabhub.service.idle.learning import Known, remember
from mlabhub.service.idle.sources import Sources, make_sources, watched_of
from mlabhub.service.idle.storing import Storing
from mlabhub.service.idle.turns import Turns
from mlabhub.service.projection import Projection

if TYPE_CHECKING:
    from mlabhub.service.world import World

log = logging.getLogger(__name__)
Tick = Callable[[float], Awaitable[None]]
STORE_PATIENCE_S = 5.0
REMEMBER_PATIENCE_S = 300.0


class Watch:
    """The samples of all servers. ``sources`` are the installation's own samplers unless others are given."""

    def __init__(self, world: World, sources: Sources | None = None):
        self._world = world
        self._sources = sources
        self._rounds: Rounds | None = None
        self._further = Further(world.hub, world.monotonic)
        self._storing = Storing(world.samples, world.monotonic, world.metrics)
        self._known = Known()
        self._last: dict[str, Sample] = {}
        self._cut: frozenset[str] = frozenset()
        self._subscribers: list[Tick] = []
        self._telling: asyncio.Task[None] | None = None
        self._meanwhile: list[Sample] | None = None
        self._learning: asyncio.Task[None] | None = None
        self._new: list[Policy] = []
        self._waiting: tuple[int, int] = (-1, 0)
        self.ticked: float | None = None
        world.metrics.watch_samples(self.unknown, self.age)

    def listen_to(self, latest: Latest) -> None:
        """Take what agents report from now on: ``latest`` returns the last report of a launch."""
        self._further.latest = latest

    def subscribe(self, tick: Tick) -> None:
        """Have ``tick`` called with the time of each minute once its samples are in."""
        self._subscribers.append(tick)

    async def run(self) -> None:
        """Remember what the ledger has, and watch for ever."""
        self._meanwhile = []
        remembering = asyncio.create_task(self._remember(), name="samples of before")
        try:
            await self._started().run(self._chosen().every_s)
        finally:
            remembering.cancel()
            await asyncio.gather(remembering, return_exceptions=True)

    async def close(self) -> None:
        """Let go of all that is open; what is being kept is finished."""
        for task in (self._telling, self._learning):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        if self._rounds is not None:
            await self._rounds.close()
        await self._further.close()
        await self._storing.close()
        if self._sources is not None:
            await self._sources.close()

    # -- what is known

    def samples(self, launch_id: str) -> Samples | None:
        """Return the last day of a launch, or None of one of which nothing is known."""
        return None if self._meanwhile is not None else self._known.of.get(launch_id)

    def usage(self, launch_id: str) -> Sample | None:
        """Return the last sample of a launch that was there in the last minute."""
        return self._last.get(launch_id)

    def use_at(self, launch_id: str, t: float) -> Values:
        """Return the percent of each GPU of a launch in a minute of the last day; empty where nothing is known."""
        return () if self._meanwhile is not None else self._known.use.at(launch_id, t)

    def reasons(self, launch_id: str) -> tuple[Message, ...]:
        """Return why something was not known of a launch in the last minute."""
        sample = self._last.get(launch_id)
        return () if sample is None else sample.reasons

    def unknown(self) -> int:
        """Return of how many servers it was not known in the last minute whether they are used."""
        return sum(not _is_known(one) for one in self._last.values())

    def age(self) -> float:
        """Return how many seconds ago the last minute ended that was taken in; NaN before the first."""
        return math.nan if self.ticked is None else self._world.clock() - self.ticked

    def patient(self, policy: Policy, server: str) -> Patient:
        """Return how patient a policy is with a server (``alice/``), by what was learned."""
        learned = self._known.learned
        if not learned.knows(policy) and policy.learns and self._rounds is not None and self._meanwhile is None:
            self._learn_for(policy)
        gaps = learned.gaps(policy)
        gaps.waiting = self._waiting_for_gpus()
        return Patient(gaps, server)

    async def history(self, user: str, server: str, since: float, until: float) -> tuple[Sample, ...]:
        """Return what is kept of a server, of all its launches, by time. Raises `LedgerUnavailable`."""
        return await asyncio.to_thread(self._world.samples.of_server, f"{user}/{server}", since, until)

    def heard_at(self, launch_id: str) -> float | None:
        """Return when the agent of a launch last said something; None if it never did."""
        report = self._further.latest(launch_id)
        return None if report is None else report.at

    # -- what happens

    async def look_now(self, launch_ids: Collection[str]) -> None:
        """Read these servers now, and add what is known to their samples: of one that cannot be read, that it isn't."""
        now, samples = await self._started().fresh(launch_ids)
        found = {one.launch_id: self._further.added(one) for one in samples}
        self._last.update(found)
        if self._meanwhile is not None:
            self._meanwhile += found.values()
            return
        self._known.add(found.values())
        for launch_id in launch_ids:
            known = self.samples(launch_id)
            if launch_id not in found and known is not None:
                known.add(Row(now))

    async def tick(self, t: float, samples: Sequence[Sample]) -> None:
        """Take in the samples of a minute, keep them, and call whoever subscribed."""
        await self._take(t, samples)
        await self._storing.done(STORE_PATIENCE_S)
        await self._tell(t)

    async def _keep(self, t: float, samples: Sequence[Sample]) -> None:
        """Take in a minute of the rounds, which go on while others work with it."""
        await self._further.ask()
        await self._take(t, samples)
        if self._meanwhile is not None:
            log.debug("The samples of %s are kept; what was before is still being read", t)
        elif self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell_kept(t), name="idle ticks")
        else:
            log.warning("The samples of %s are in, but those who judge them are still busy with earlier ones", t)

    async def _tell_kept(self, t: float) -> None:
        await self._storing.done(STORE_PATIENCE_S)
        await self._tell(t)

    async def _take(self, t: float, samples: Sequence[Sample]) -> None:
        cut, self._cut = self._cut, self._being_cut()
        last, turns, cut = dict[str, Sample](), Turns(), cut | self._cut
        for sample in samples:
            one = last[sample.launch_id] = self._whole(sample, cut)
            if self._meanwhile is not None:
                self._meanwhile.append(one)
            else:
                self._known.take((one,))
            await turns.give()
        self._last, self.ticked = last, t
        self._known.use.forget(t)
        projection = self._projection()
        if projection is not None:
            self._known.forget({*last, *(one.launch_id for one in projection)})
        self._storing.put(t, tuple(last.values()))

    def _whole(self, sample: Sample, cut: Collection[str]) -> Sample:
        """Return a sample with all that others know; what was stopped for being idle, say, did not end by itself."""
        if sample.launch_id in cut and "end" in sample.more:
            sample = replace(sample, more={key: value for key, value in sample.more.items() if key != "end"})
        return self._further.added(sample)

    def _being_cut(self) -> frozenset[str]:
        """Return the launches that may end now because they were warned, or asked to give back what they hold."""
        projection = self._projection()
        if projection is None:
            return frozenset((*self._last, *self._cut))  # nobody knows why they end
        warned = [launch for launch, warning in projection.warnings.items() if warning.told is not None]
        return frozenset((*warned, *projection.notices))

    async def _tell(self, t: float) -> None:
        for tick in self._subscribers:
            try:
                await tick(t)
            except Exception:  # one that fails keeps nobody else from their samples
                log.exception("What was to follow from the samples of %s failed", t)

    async def _look(self) -> Sequence[Watched]:
        servers = await self._world.backend.servers()
        return [watched_of(one) for one in servers if one.state == "running"]

    def _started(self) -> Rounds:
        if self._rounds is None:
            sources = self._chosen()
            self._rounds = Rounds(self._look, self._keep, sources.often, sources.each_tick, self._world.clock)
        return self._rounds

    def _chosen(self) -> Sources:
        if self._sources is None:
            self._sources = make_sources(self._world.settings, lambda: self._world.catalog().kubernetes)
        return self._sources

    def _waiting_for_gpus(self) -> int:
        projection = self._projection()
        if projection is not None and self._waiting[0] != projection.queued:
            count = sum(one.state == "waiting" and bool(one.gpus) for one in projection.queue.values())
            self._waiting = (projection.queued, count)
        return self._waiting[1]

    def _projection(self) -> Projection | None:
        """Return what the ledger says, unless that is not known now."""
        try:
            return self._world.writer.projection
        except MLabError:
            return None

    # -- what was before

    async def _remember(self) -> None:
        """Read the last days' samples; meanwhile others have their turn. Without the ledger nothing is known yet."""
        self._meanwhile = self._meanwhile or []
        idle = self._world.catalog().idle
        policies = [policy for policy in map(idle.named, idle.names) if policy.learns]
        try:
            self._known = await asyncio.wait_for(self._read(policies), REMEMBER_PATIENCE_S)
        except asyncio.TimeoutError:
            log.warning("Reading earlier samples takes too long; nothing is known of the time before now")
        except MLabError as error:
            log.warning("Nothing is known of the time before now: %s", error.log_text or error)
        except Exception:  # whatever it is, watching goes on
            log.exception("Nothing is known of the time before now")
        finally:
            await self._catch_up()

    async def _catch_up(self) -> None:
        """Take in what was read while earlier samples were."""
        turns = Turns()
        for one in self._meanwhile or ():  # it may grow between
            self._known.take((one,))
            await turns.give()
        self._meanwhile = None

    def _learn_for(self, policy: Policy) -> None:
        """Learn what a policy that is new would have learned."""
        self._new.append(policy)
        if self._learning is None or self._learning.done():
            self._learning = asyncio.create_task(self._learn(), name="idle gaps")

    async def _learn(self) -> None:
        while self._new:
            new, self._new = self._new, []
            try:
                self._known.learned.adopt((await self._read(new)).learned, new)
            except MLabError as error:
                log.warning("What earlier samples teach is not known: %s", error.log_text or error)

    async def _read(self, policies: Sequence[Policy]) -> Known:
        now = self._world.clock()
        running = {one.launch_id for one in self._world.writer.projection}
        pieces = self._world.samples.pieces(now - FINE_FOR_S, math.nextafter(now, math.inf))
        wanted = asyncio.Event()
        wanted.set()
        try:
            return await asyncio.to_thread(remember, pieces, policies, running, wanted.is_set)
        finally:
            wanted.clear()


def _is_known(sample: Sample) -> bool:
    """Whether it is known if a server is used: by its GPUs if it holds any, else by its cores."""
    return None not in sample.gpu_util if sample.gpus else sample.cpu_cores is not None
