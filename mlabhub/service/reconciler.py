"""Bring hub, backend and ledger together again, at start, every half minute, and soon after anything went wrong.

Guarantees: nothing is decided while hub or backend does not answer; whatever is to be acted on is read a second time
first, and acted on only if it still is so and is still the same launch; a server is taken out of use in the ledger
before it is removed, so that no spawner can redeem or confirm it meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, replace

from mlabhub.client import HubServer
from mlabhub.core.capacity import Capacity
from mlabhub.errors import MLabError, NotFound, Unavailable
from mlabhub.inventory import BackendServer
from mlabhub.ledger import AuditEntry, Reservation, State
from mlabhub.logs import about
from mlabhub.messages import N_, Message
from mlabhub.service import moving, reservations
from mlabhub.service.census import make_found
from mlabhub.service.projection import REMEMBER_S
from mlabhub.service.reconcile_rules import Finding, compare
from mlabhub.service.reconcile_words import WORDS
from mlabhub.service.resting import rest
from mlabhub.service.world import World
from mlabhub.service.writer import Outcome

log = logging.getLogger(__name__)
CALM_S = 30.0
BUSY_S = 5.0
HANDS = 4
"""How many servers are removed at the same time: each may take seconds, and keeps the engine's disk busy."""

PATIENCE_S = 10.0
"""How long somebody waits for hub and backend who only looks."""

ACTOR = "reconciler"
_HOUR_S = 3600.0

ASKED = N_("{actor} asked that what differs be repaired")
NO_ANSWER = N_("Hub or machines did not answer within {seconds} s, so what differs is not known. Look again later.")
WAS_LOST = N_("It was on the node {node}, which did not answer any more. By now it is certain that it has ended.")


@dataclass(frozen=True)
class Report:
    """What one round found at a time, and did; without an answer of hub and backend nothing is known."""

    findings: tuple[tuple[Finding, bool], ...] = ()
    error: MLabError | None = None
    at: float = 0.0


@dataclass(frozen=True)
class _Sight:
    """What hub and backend said, and when the asking began."""

    at: float
    hub: tuple[HubServer, ...]
    backend: tuple[BackendServer, ...]

    @property
    def running(self) -> frozenset[str]:
        """Return the launches of which something runs."""
        return frozenset(one.launch_id for one in self.backend if one.state != "exited")


class Reconciler:
    """Compares and acts; one round at a time."""

    def __init__(self, world: World):
        self._world = world
        self._lock = asyncio.Lock()
        self._hands = asyncio.Semaphore(HANDS)
        self._wake = asyncio.Event()
        self._forgot_at = float("-inf")
        self._repairs: set[asyncio.Task[Report]] = set()
        self.last: Report | None = None

    def wake(self) -> None:
        """Look again soon."""
        self._wake.set()

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Look at once, then for ever; more often while something is on its way."""
        while True:
            self._wake.clear()
            try:
                await self.round()
                await self._housekeeping()
            except MLabError as error:
                log.warning("Not reconciled: %s", error.log_text)
            except Exception:
                log.exception("A round of the reconciler failed; the next one is in %s s", BUSY_S)
            await self._rest(sleep)

    async def round(self, *, repair: bool = False) -> Report:
        """Compare everything once and act on it; with ``repair`` also on what is only shown otherwise."""
        async with self._lock:
            try:
                await self._world.writer.check()
                await self._world.census.ensure()
                report = await self._round(repair)
            except MLabError as error:
                report = Report(error=error)
        report = replace(report, at=self._world.clock())
        self._world.metrics.rounds.labels("failed" if report.error else "done").inc()
        self.last = report
        return report

    async def look(self) -> Report:
        """Compare everything once and act on nothing: what a round would find now. It answers within `PATIENCE_S`."""
        try:
            found = await asyncio.wait_for(self._found_now(), PATIENCE_S)
        except asyncio.TimeoutError:
            return Report(error=Unavailable(Message.of(NO_ANSWER, seconds=PATIENCE_S)), at=self._world.clock())
        except MLabError as error:
            return Report(error=error, at=self._world.clock())
        return Report(tuple((finding, False) for finding in found), at=self._world.clock())

    async def repair(self, actor: str, *, patience_s: float = PATIENCE_S) -> Report | None:
        """Act on all that can be acted on, and keep who asked; None if it still goes on after ``patience_s``.

        Raises `LedgerUnavailable`, and nothing was done then.
        """
        entry = AuditEntry(self._world.clock(), actor, "reconcile", Message.of(ASKED, actor=actor))
        await self._world.writer.submit(lambda _: Outcome(None, (entry,)))
        task = asyncio.create_task(self.round(repair=True), name="repair")
        self._repairs.add(task)
        task.add_done_callback(self._repairs.discard)
        done, _ = await asyncio.wait({task}, timeout=patience_s)
        return task.result() if done else None

    async def _found_now(self) -> tuple[Finding, ...]:
        sight = await self._look()
        return self._compare(sight, None, await self._past(sight))

    async def settle(self, user: str, server: str) -> None:
        """Look at one server at once: somebody wants to start it, and the ledger says that it is in use."""
        async with self._lock:
            sight = await self._look_closely({(user, server)})
            for finding in self._compare(sight, {(user, server)}, await self._past(sight)):
                if finding.acting:
                    await self._act(finding, sight.running)

    async def supersede(self, user: str, server: str, launch_id: str) -> None:
        """The hub starts a server anew under another launch: give back an old one of which nothing runs (any more).

        While the hub brings up the new one, its view of the old one is gone; so the backend alone is asked here.
        """
        async with self._lock:
            now = self._world.clock()
            old = self._world.writer.projection.of_server(user, server)
            if old is None or old.launch_id == launch_id or old.launch_id in self._world.in_flight:
                return
            running = {one.launch_id: one for one in await self._world.backend.servers()}
            aged = replace(old, changed=float("-inf"), redeemed=None)
            backend = [running[old.launch_id]] if old.launch_id in running else []
            for finding in compare((), backend, (aged,), now):
                if finding.kind in ("release", "remove", "lost", "unreachable"):
                    await self._act(replace(finding, reservation=old), running)

    async def _rest(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        if await rest(self._wake, sleep(BUSY_S if self._is_busy() else CALM_S)):
            await sleep(1.0)  # what was just asked for needs a moment to happen

    def _is_busy(self) -> bool:
        if self.last is None or self.last.error is not None or any(one.acting for one, _ in self.last.findings):
            return True
        try:
            return any(_is_on_its_way(one) for one in self._world.writer.projection)
        except MLabError:
            return True

    async def _round(self, repair: bool) -> Report:
        sight = await self._look()
        past = await self._past(sight)
        found = self._compare(sight, None, past)
        for finding in found:
            self._world.metrics.findings.labels(finding.kind).inc()
        todo = [finding for finding in found if finding.acting or (repair and finding.repairable)]
        if not todo:
            return Report(tuple((finding, False) for finding in found))
        again = await self._look_closely({(finding.user, finding.server) for finding in todo})
        confirmed = set(self._compare(again, {(one.user, one.server) for one in todo}, past))
        to_act = [finding for finding in todo if finding in confirmed]
        acted = await asyncio.gather(*(self._act(finding, again.running) for finding in to_act))
        done = dict(zip(to_act, acted, strict=True))
        return Report(tuple((finding, done.get(finding, False)) for finding in found))

    def _compare(
        self, sight: _Sight, only: set[tuple[str, str]] | None, past: dict[str, Reservation]
    ) -> tuple[Finding, ...]:
        def wanted(user: str, server: str) -> bool:
            return only is None or (user, server) in only

        found = compare(
            [one for one in sight.hub if wanted(one.user, one.name)],
            [one for one in sight.backend if wanted(one.user, one.server_name)],
            [one for one in self._world.writer.projection if wanted(one.user, one.server)],
            sight.at,
            in_flight=self._world.in_flight,
            past=past,
        )
        # A stop that goes on being asked for is not given up.
        ending, stopping = self._world.queue.hands.ending, self._world.idle.stopping
        return tuple(
            one
            for one in found
            if one.kind != "resume" or not (one.launch_id in ending or stopping.is_ending(one.launch_id))
        )

    async def _look(self) -> _Sight:
        """Ask both sides. The ledger is read after them: a server that one of them has was reserved before."""
        at = self._world.clock()
        hub, backend = await asyncio.gather(self._world.hub.active_servers(), self._world.backend.servers())
        return _Sight(at, hub, backend)

    async def _look_closely(self, servers: Iterable[tuple[str, str]]) -> _Sight:
        """Ask both sides again, the hub for each user: its list may miss one who moved between two pages."""
        at = self._world.clock()
        at_hub: list[HubServer] = []
        for user in sorted({user for user, _ in servers}):
            try:
                at_hub.extend((await self._world.hub.user(user)).servers)
            except NotFound:
                log.debug("The hub has no user %s any more", user)
        return _Sight(at, tuple(at_hub), await self._world.backend.servers())

    async def _past(self, sight: _Sight) -> dict[str, Reservation]:
        projection = self._world.writer.projection
        strangers = [one.launch_id for one in sight.backend if projection.launch(one.launch_id) is None]
        known = [await asyncio.to_thread(self._world.ledger.reservation, launch_id) for launch_id in strangers]
        return {one.launch_id: one for one in known if one is not None}

    async def _act(self, finding: Finding, running: Collection[str]) -> bool:
        """Act on one finding; say whether it was done. What fails stays for the next round."""
        with about(user=finding.user, server=finding.server, launch_id=finding.launch_id):
            return await self._act_on(finding, running, Message(WORDS[finding.kind]))

    async def _act_on(self, finding: Finding, running: Collection[str], why: Message) -> bool:
        try:
            async with self._hands:
                done = await self._do(finding, running, why)
        except MLabError as error:
            log.warning("Not done: %s %s/%s: %s", finding.kind, finding.user, finding.server, error.log_text)
            return False
        if done:
            log.info("%s %s/%s (%s): %s", finding.kind, finding.user, finding.server, finding.launch_id, why)
        return done

    async def _do(self, finding: Finding, running: Collection[str], why: Message) -> bool:
        submit, now, one = self._world.writer.submit, self._world.clock(), finding.reservation
        if finding.kind in ("adopt", "orphan"):
            capacity = await self._world.capacity.get()
            found = await self._found(finding, capacity, now)
            return await submit(reservations.adopt(found, running, now, why, capacity)) is not None
        if finding.kind in ("remove", "unknown", "double"):
            return await self._remove(finding, why)
        assert one is not None
        if finding.kind == "ready":
            return await submit(reservations.note_ready(one, now)) is not None
        if finding.kind == "release":
            was_lost = one.state == "unknown" and one.failure is not None
            failure = Message.of(WAS_LOST, node=one.node) if was_lost else None
            release = reservations.release(one.launch_id, now, actor=ACTOR, why=why, failure=failure, only=one)
            return await submit(release) is not None
        if finding.kind == "move":
            return await self._move(finding, running, now)
        wanted: State = "held" if finding.kind == "resume" else "unknown"
        failure = finding.backend.lost if finding.kind == "unreachable" and finding.backend else None
        act = reservations.change(
            one, now, actor=ACTOR, act_name=finding.kind, why=failure or why, state=wanted, failure=failure
        )
        return await submit(act) is not None

    async def _move(self, finding: Finding, running: Collection[str], now: float) -> bool:
        """Let a launch hold GPUs where it runs. Those of which nothing runs yet may have to give way."""
        assert finding.backend is not None
        capacity = await self._world.capacity.get()
        act = moving.place(
            finding.launch_id,
            finding.user,
            finding.server,
            finding.backend.node,
            now,
            actor=ACTOR,
            capacity=capacity,
            placed=running,
        )
        await self._world.writer.submit(act)
        return True

    async def _remove(self, finding: Finding, why: Message) -> bool:
        submit, now, one = self._world.writer.submit, self._world.clock(), finding.reservation
        assert finding.backend is not None
        if one is not None and one.state != "stopping":
            act = reservations.change(one, now, actor=ACTOR, act_name="remove", why=why, state="stopping")
            one = await submit(act)
            if one is None:
                return False
        await self._world.writer.check()  # somebody else's service may decide on this server by now
        await self._world.backend.remove(finding.backend)
        if one is None:
            about = (finding.user, finding.server, finding.launch_id)
            entry = AuditEntry(self._world.clock(), ACTOR, "remove", why, *about)
            await submit(lambda _: Outcome(None, (entry,)))
        else:
            await submit(reservations.release(one.launch_id, self._world.clock(), actor=ACTOR, why=why, only=one))
        return True

    async def _found(self, finding: Finding, capacity: Capacity, now: float) -> Reservation:
        """Return the reservation for a server that has none."""
        server = finding.backend
        assert server is not None
        last = await asyncio.to_thread(self._world.ledger.reservation, server.launch_id)
        found = make_found(server, last, capacity, now)
        if finding.kind == "orphan":
            return found
        return replace(found, state="held", held=found.held or now, ready=found.ready or now)

    async def _housekeeping(self) -> None:
        now = self._world.clock()
        if self._world.writer.fault is not None:
            await self._world.writer.probe()
        if not 0 <= now - self._forgot_at < _HOUR_S:
            self._forgot_at = now
            self._world.writer.projection.forget(now - REMEMBER_S)
            await asyncio.to_thread(self._world.ledger.forget_answers, now - REMEMBER_S)


def _is_on_its_way(one: Reservation) -> bool:
    return one.state in ("pending", "stopping") or (one.state == "held" and one.ready is None)
