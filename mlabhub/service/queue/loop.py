"""When rounds are made, and what the last one left.

Guarantees: one round at a time; what a round decides is durable before anything follows from it; while hub, backend or
ledger do not answer nothing is decided, and nothing that runs is touched; nothing is lost or done twice wherever the
service dies.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mlabhub.core.admission import Decision, Standing
from mlabhub.core.capacity import Capacity
from mlabhub.core.profiles import Catalog, LaunchRequest
from mlabhub.core.sharing.model import Round, Scene
from mlabhub.core.sharing.policy import Policy
from mlabhub.core.sharing.rounds import plan_round
from mlabhub.core.waiting import Waiting
from mlabhub.errors import MLabError
from mlabhub.ledger import Reservation
from mlabhub.service.decisions import START_DEADLINE_S
from mlabhub.service.projection import Projection
from mlabhub.service.queue import checks
from mlabhub.service.queue.care import Care
from mlabhub.service.queue.checks import Checked
from mlabhub.service.queue.deadlines import Deadlines
from mlabhub.service.queue.hands import Hands
from mlabhub.service.queue.memory import Memory
from mlabhub.service.queue.outcomes import Settled
from mlabhub.service.queue.restraint import Restraint
from mlabhub.service.queue.rounds import Made, Planned, awaited, carry_out
from mlabhub.service.queue.scene import Facts, Known, order_of, request_of, room_of, scene_of, waiting_of
from mlabhub.service.queue.stillness import Stood
from mlabhub.service.queue.telling import Teller
from mlabhub.service.queue.turn import others_first, turn_of
from mlabhub.service.writer import Act, Outcome

if TYPE_CHECKING:
    from mlabhub.service.world import World

log = logging.getLogger(__name__)
CALM_S = 30.0
BUSY_S = 5.0
"""How often it is looked while somebody waits: what there is may change without a word."""
MOST_UNKNOWN = 3
"""In how many rounds somebody's turn is kept of whom it cannot be known whether they may start; then others have it."""
SOONEST_S = 0.05
MOST_AT_ONCE = 32
MOST_LOOKS = 20
"""How often a round is planned anew at most, as those who would start are looked at, `MOST_AT_ONCE` at a time."""


class QueueLoop:
    """Makes rounds. ``last`` is what the last one came to, ``error`` why it could not be made, if so."""

    def __init__(self, world: World):
        self._world = world
        self._lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self._deadlines = Deadlines(world.clock, world.monotonic)
        self._teller = Teller(world)
        self._restraint = Restraint(world.ledger, world.monotonic)
        self.hands = Hands(world, self._settled)
        self._care = Care(world, self.hands, self._deadlines, self._teller)
        self._memory = Memory()
        self._known: dict[str, Known] = {}
        self._unknown: dict[str, int] = {}
        self._waiting: tuple[int, Round, tuple[Waiting, ...]] | None = None
        self._left: tuple[Round, Standing] | None = None
        self._room: tuple[Capacity, tuple[object, ...]] | None = None
        self._seen: tuple[object, ...] = ()
        self._stood: Stood | None = None
        self._resumed = False
        self._stir = 0
        self.policy = Policy()
        self.last = Round()
        self.error: MLabError | None = None

    def wake(self) -> None:
        """Make a round soon."""
        self._stood = None
        self._wake.set()

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Make rounds for ever: when woken, when the ledger changed, and whenever something is due."""
        try:
            while True:
                self._wake.clear()
                try:
                    await self._round(unless_still=True)
                except MLabError as error:
                    log.warning("No round of the queue: %s", error.log_text)
                except Exception:
                    log.exception("A round of the queue failed; the next one is in %s s", BUSY_S)
                await self._rest(sleep)
        finally:
            await self.hands.close()

    async def round_now(self) -> Round:
        """Make a round, and wait until what follows from it at the hub was asked for. Raises an `MLabError`."""
        await self._round()
        await self.hands.finish()
        return self.last

    async def settle(self) -> None:
        """Make a round first if something ended since the last one and somebody waits: theirs is the turn."""
        projection = self._world.writer.projection
        if not any(one.state == "waiting" for one in projection.queue.values()):
            return
        if not self.is_settled(projection, await self._world.capacity.get()):
            try:
                await self._round(unless_settled=True)
            except MLabError:
                raise
            except Exception:  # whoever asks is not to pay for a fault of ours: `turn` lets nobody by
                log.exception("A round of the queue failed before a launch was decided on")

    def is_settled(self, projection: Projection, capacity: Capacity) -> bool:
        """Whether nothing ended, and nothing else left more room, since the last round."""
        return self._seen == self._sight(projection, self._world.catalog(), capacity)

    def begin(self, one: Reservation) -> None:
        """Ask the hub to start a launch whose reservation was made from an entry of the queue; do not wait for it."""
        self.hands.start(one)

    def turn(self, capacity: Capacity) -> Callable[[Projection, LaunchRequest, str], Decision | Standing]:
        """Return what `decisions.Ground` asks first: whether somebody who waits comes before a launch.

        Where nothing ended since the last round, what that one left says so; else a whole round in which it takes part.
        """
        now = self._world.clock()

        def ask(projection: Projection, request: LaunchRequest, launch_id: str) -> Decision | Standing:
            if self.is_settled(projection, capacity) or not _somebody_waits(projection, launch_id):
                return self.standing(launch_id)
            catalog, facts = self._world.catalog(), self._facts(projection, skipped=launch_id)
            try:
                scene = scene_of(projection, catalog, capacity, facts, now, self._known)
                return turn_of(projection, request, launch_id, catalog, capacity, scene, self._plan)
            except Exception:
                log.exception("Whose turn it is could not be worked out; those who wait go first")
                return others_first()

        return ask

    def standing(self, launch_id: str = "") -> Standing:
        """Return what the last round left to others than those who wait; ``launch_id`` is not among these."""
        projection = self._world.writer.projection
        if not _somebody_waits(projection, launch_id):
            return Standing(kept=self.last.kept)
        left = self._standing()
        return left.without(launch_id) if launch_id in projection.queue else left

    def _standing(self) -> Standing:
        if self._left is None or self._left[0] is not self.last:
            self._left = (self.last, Standing.after(self.last))
        return self._left[1]

    def waiting(self) -> tuple[Waiting, ...]:
        """Return those who wait, as soft caps count them."""
        projection = self._world.writer.projection
        key = (projection.queued, self.last)
        if self._waiting is None or self._waiting[0] != key[0] or self._waiting[1] is not key[1]:
            found = (waiting_of(entry, self.blocked_of(entry.launch_id)) for entry in projection.queue.values())
            self._waiting = (*key, tuple(one for one in found if one is not None))
        return self._waiting[2]

    def order(self) -> tuple[str, ...]:
        """Return the entries that wait, next first: by the last round, those that came since then at the end."""
        return order_of(self._world.writer.projection.queue, self.last.order)

    def position_of(self, launch_id: str) -> int | None:
        """Return the position of an entry that waits, from 1."""
        order = self.order()
        return order.index(launch_id) + 1 if launch_id in order else None

    def blocked_of(self, launch_id: str) -> str | None:
        """Return in a word what an entry waits for, as `Round.blocked` has it; None before its first round."""
        return self.last.blocked.get(launch_id)

    # -- a round

    async def _round(self, *, unless_settled: bool = False, unless_still: bool = False) -> None:
        async with self._lock:
            try:
                capacity = await self._world.capacity.get()
                if unless_settled and self.is_settled(self._world.writer.projection, capacity):
                    return
                await self._make(capacity, unless_still)
                self.error = None
            except MLabError as error:
                self.error = error
                raise

    async def _make(self, capacity: Capacity, unless_still: bool) -> None:
        world = self._world
        await world.writer.check()
        await world.census.ensure()
        await self._resume()
        self._stir = world.writer.projection.stir
        await self._care.tend(world.catalog())
        self.hands.remind()
        self._forget()
        catalog = world.catalog()
        seen = self._sight(world.writer.projection, catalog, capacity)
        if unless_still and self._is_still(catalog, seen):
            return
        self._stood = None
        planned = await self._look(catalog, capacity, world.clock())
        if not self._is_trivial(planned):
            made = await world.writer.submit(self._carry_out(planned, world.clock()))
            self._follow(made)
            await self._restraint.note(made.in_vain)
            planned = replace(planned, round=made.round)
            if made.left_over:
                self.wake()
        self._note(planned, seen)
        if not self._unknown and not self._wake.is_set():
            self._stood = Stood(planned.version, catalog, seen, planned.scene.now, world.monotonic())
        await self._refuse_hopeless(planned)
        await self._care.look_again(catalog, capacity)

    def _is_still(self, catalog: Catalog, seen: tuple[object, ...]) -> bool:
        if self._stood is None or self.error is not None or self.hands.ending:
            return False
        world = self._world
        return self._stood.still(world.writer.projection, catalog, seen, world.clock(), world.monotonic())

    async def _refuse_hopeless(self, planned: Planned) -> None:
        """Refuse those who wait for what no quota can hold any more, now or by a change that is made already."""
        for launch_id, why in planned.round.blocked.items():
            entry = self._world.writer.projection.queue.get(launch_id)
            if why in ("limit", "cap") and entry is not None and entry.state == "waiting":
                told = self._world.catalog.hopeless(request_of(entry))
                if told is not None:
                    await self._settle(Checked(entry, refusal=told))

    def _carry_out(self, planned: Planned, now: float) -> Act[Made]:
        """Return what makes a round durable, by the quotas that are in force when its turn comes."""

        def act(projection: Projection) -> Outcome[Made]:
            renewed = replace(planned, catalog=self._world.catalog.renewed(planned.catalog))
            return carry_out(renewed, self._plan, now, self._world.make_launch_id, START_DEADLINE_S)(projection)

        return act

    async def _look(self, catalog: Catalog, capacity: Capacity, now: float) -> Planned:
        """Plan until all was looked at that would start, or for which others are to give back; refuse what may not."""
        checked: dict[str, Checked] = {}
        for _ in range(MOST_LOOKS):
            planned = self._planned(catalog, capacity, checked, now)
            queue = self._world.writer.projection.queue
            starting = [start.waiter for start in planned.round.starts]
            wanted = dict.fromkeys([*starting, *awaited(self._world.writer.projection, planned.round)])
            entries = [queue[one] for one in wanted if one in queue]
            todo = [one for one in entries if not (one.launch_id in checked and checked[one.launch_id].fits(one))]
            if not todo:
                return planned
            looks = (checks.check(self._world, entry, catalog, capacity) for entry in todo[:MOST_AT_ONCE])
            found = await asyncio.gather(*looks)
            for one in found:
                launch_id = one.entry.launch_id
                settles = not one.unknown or launch_id in starting  # who has no turn yet loses none
                checked[launch_id] = await self._settle(one) if settles else one
            if all(one.unknown for one in found):
                return planned  # nobody answers: what is theirs stays theirs, until the next round
        return self._planned(catalog, capacity, checked, now)

    def _planned(self, catalog: Catalog, capacity: Capacity, checked: dict[str, Checked], now: float) -> Planned:
        projection = self._world.writer.projection
        facts = self._facts(projection)
        scene = scene_of(projection, catalog, capacity, facts, now, self._known)
        return Planned(catalog, capacity, facts, checked, projection.version, self._plan(scene), scene)

    async def _settle(self, checked: Checked) -> Checked:
        """Keep what looking at an entry came to."""
        launch_id = checked.entry.launch_id
        tries = self._unknown.pop(launch_id, 0) + 1
        if checked.unknown and tries < MOST_UNKNOWN:
            self._unknown[launch_id] = tries
        if checked.ready or (checked.unknown and tries < MOST_UNKNOWN):
            return checked
        entry = await self._world.writer.submit(checks.settle(checked, self._world.clock()))
        if entry is None:
            return checked
        if entry.state == "refused":
            self._teller.refused(entry)
        return replace(checked, entry=entry)

    def _is_trivial(self, planned: Planned) -> bool:
        """Whether nothing follows from a round, so that there is nothing to keep."""
        plan = planned.round
        return not (plan.starts or plan.notices or plan.withdrawn or plan.reclaims)

    def _follow(self, made: Made) -> None:
        """Do what is durable now."""
        for launch, notice in made.told:
            self._deadlines.begin(launch.launch_id, notice.at, notice.deadline - notice.at)
        for one, _, _ in made.started:
            self.hands.start(one)
        for one, _ in made.reclaimed:
            self.hands.stop(one)
        self._teller.made(made)

    def _note(self, planned: Planned, seen: tuple[object, ...]) -> None:
        """Keep what the round left, and tell whoever follows if that is something else than before."""
        self._memory.keep(planned.scene)
        made, before = planned.round, self.last
        self.last, self._seen = made, seen
        if (made.order, made.blocked) != (before.order, before.blocked):
            self._world.changes.note()

    async def _resume(self) -> None:
        """Take up, once after each start, what the service before this one left undone."""
        if self._resumed:
            return
        days = self._world.catalog().quotas.half_life_days
        self._memory = await asyncio.to_thread(Memory.read, self._world.ledger, self._world.clock(), days)
        for one in list(self._world.writer.projection):
            if one.state == "stopping":
                self.hands.stop(one)
        self._resumed = True

    # -- what rounds stand on

    def _plan(self, scene: Scene) -> Round:
        return plan_round(scene, self._memory.after(scene), self.policy)

    def _facts(self, projection: Projection, *, skipped: str | None = None) -> Facts:
        """Return what the ledger does not say: what is left of notices by a steady clock."""
        now = self._world.clock()
        deadlines = {
            notice.launch_id: now + self._deadlines.left(notice.launch_id, notice.at, notice.deadline)
            for notice in projection.notices.values()
        }
        return Facts(deadlines=deadlines, skipped=skipped, restrained=self._restraint.people())

    def _sight(self, projection: Projection, catalog: Catalog, capacity: Capacity) -> tuple[object, ...]:
        """Return what is another one whenever somebody who waits may start who could not before."""
        if self._room is None or self._room[0] is not capacity:
            self._room = (capacity, room_of(capacity))
        return (projection.freed, self._room[1], catalog.quotas)

    def _forget(self) -> None:
        projection = self._world.writer.projection
        told = [(notice.launch_id, notice.at) for notice in projection.notices.values()]
        claims = [(f"claim {one.launch_id}", one.changed) for one in projection.queue.values()]
        self._deadlines.keep({*told, *claims})

    def _settled(self, settled: Settled | None) -> None:
        self._teller.settled(settled)
        self.wake()

    # -- when

    async def _rest(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Wait until something is due, somebody wakes it, or something happened that a round has to follow."""
        pause = asyncio.ensure_future(sleep(max(SOONEST_S, self._pause())))
        woken = asyncio.ensure_future(self._wake.wait())
        try:
            while not (pause.done() or woken.done() or self._is_stirred()):
                waits: set[asyncio.Future[Any]] = {pause, woken, self._world.changes.next()}
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if not pause.done():
                await sleep(SOONEST_S)  # what happens together is followed together
        finally:
            pause.cancel()
            woken.cancel()

    def _is_stirred(self) -> bool:
        try:
            projection = self._world.writer.projection
        except MLabError:
            return False
        return bool(projection.queue or projection.notices) and projection.stir != self._stir

    def _pause(self) -> float:
        try:
            projection = self._world.writer.projection
            busy = self.error is not None or projection.queue or projection.notices or self.hands.ending
            calm = BUSY_S if busy else CALM_S
            later = [one.not_before - self._world.clock() for one in projection.queue.values()]
            soon = [one for one in later if one > 0]
            return min(calm, self._care.due_in(self._world.catalog()), *soon)
        except MLabError:
            return BUSY_S


def _somebody_waits(projection: Projection, but: str) -> bool:
    return any(one.state == "waiting" and one.launch_id != but for one in projection.queue.values())
