"""Somebody is waiting: who could be asked to give back what they seem not to use.

Guarantees: nobody is asked who is using theirs, or of whom nobody can tell; nobody within an hour after they were asked
before; nobody who was told to give back already, and not the person who waits. Those who are asked for one request
hold, together with what is free, all that it needs on one node, or what their own group is beyond its limit by; none of
them could be left out. Of several ways the one that asks the fewest, and those whose servers were unused longest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mlabhub.core.sharing.coming import add_up, covers
from mlabhub.core.sharing.model import Claim, Round, Run, Scene, Waiter
from mlabhub.core.sharing.places import Room, Rooms
from mlabhub.core.sharing.reclaims import without_needless
from mlabhub.core.units import to_micro

ONCE_S = 3600.0
"""A person is asked at most once in this time."""
AGAIN_S = 900.0
"""For one request others are asked after this time at the earliest."""
PATIENCE_S = 60.0
"""Nobody is asked for a request that has only just come."""
MOST = 5
"""People asked at one time."""
MOST_WAITERS = 20
"""Requests that are looked at, next first."""

HELPED_BY_ROOM = frozenset({"room", "claimed", "reserve"})
LIMIT = "limit"


@dataclass(frozen=True)
class Asking:
    """Ask the holder of ``run``, unused since ``idle_since``, for ``waiter``."""

    run: str
    user: str
    waiter: str
    idle_since: float


@dataclass(frozen=True)
class Asked:
    """When people were asked last, by name, and for whom, by the request that waits."""

    users: Mapping[str, float]
    waiters: Mapping[str, float]


def plan_askings(scene: Scene, last: Round, asked: Asked, idle_s: float) -> tuple[Asking, ...]:
    """Return who is to be asked now. ``last`` is the round that ``scene`` came to.

    A run's ``idle_since`` says since when it is unused, None where nobody can tell.
    """
    now, site = scene.now, _Site(scene, last, _unused(scene, asked, idle_s))
    askings: list[Asking] = []
    users: set[str] = set()
    waiters = {waiter.id: waiter for waiter in scene.waiters}
    for waiter_id in last.order[:MOST_WAITERS]:
        waiter = waiters.get(waiter_id)
        if waiter is None or now - waiter.since < PATIENCE_S or _lately(asked.waiters.get(waiter_id), now, AGAIN_S):
            continue
        chosen = site.choose(waiter, last.blocked.get(waiter_id))
        if len(users | {run.user for run in chosen}) > MOST:
            continue
        # A person is asked once, by whatever of theirs is needed for that one request.
        users |= {run.user for run in chosen}
        site.leave_out({run.user for run in chosen})
        askings += [Asking(run.id, run.user, waiter.id, _since(run)) for run in chosen]
    return tuple(askings)


def _unused(scene: Scene, asked: Asked, idle_s: float) -> Iterator[Run]:
    for run in scene.runs:
        if run.idle_since is None or scene.now - run.idle_since < idle_s or run.ending or run.notice is not None:
            continue
        if not _lately(asked.users.get(run.user), scene.now, ONCE_S):
            yield run


def _lately(at: float | None, now: float, seconds: float) -> bool:
    """Whether that was within some time; also if the clock was put back since."""
    return at is not None and abs(now - at) < seconds


class _Site:
    """What is free beyond what is promised, and who could be asked, by machine."""

    def __init__(self, scene: Scene, last: Round, unused: Iterable[Run]) -> None:
        self._scene = scene
        self._rooms = Rooms(scene.machines, scene.now, 0.0)
        self._claims: dict[str, list[Claim]] = {}
        self._unused: dict[str, list[Run]] = {}
        for claim in last.claims:
            self._claims.setdefault(claim.waiter, []).append(claim)
            self._keep(claim, 1)
        for run in unused:
            self._unused.setdefault(run.machine, []).append(run)

    def leave_out(self, users: Collection[str]) -> None:
        """Ask these no more."""
        if users:
            self._unused = {name: [run for run in runs if run.user not in users] for name, runs in self._unused.items()}

    def choose(self, waiter: Waiter, blocked: str | None) -> list[Run]:
        """Return whose giving back lets a request start; nobody where that does not help, or nobody is needed."""
        if blocked == LIMIT:
            return _within_group(self._scene, waiter, [run for runs in self._unused.values() for run in runs])
        if blocked not in HELPED_BY_ROOM:
            return []
        own = self._claims.get(waiter.id, ())
        for claim in own:
            self._keep(claim, -1)
        try:
            return self._on_a_machine(waiter)
        finally:
            for claim in own:
                self._keep(claim, 1)

    def _on_a_machine(self, waiter: Waiter) -> list[Run]:
        ways = []
        for gpu_type in self._rooms.types_of(waiter.ask):
            for room in self._rooms.possible(waiter, gpu_type):
                here = [run for run in self._unused.get(room.machine.name, ()) if run.user != waiter.user]
                chosen = _fewest(room, gpu_type, waiter, here) if here else []
                if chosen:
                    ways.append(
                        (len({run.user for run in chosen}), max(map(_since, chosen)), room.machine.name, chosen)
                    )
        return min(ways, key=lambda way: way[:3])[3] if ways else []

    def _keep(self, claim: Claim, sign: int) -> None:
        room = self._rooms.by_name.get(claim.machine)
        if room is not None:
            room.cpu -= sign * claim.cpu
            room.memory -= sign * claim.memory
            if claim.gpu_type in room.gpus:
                room.gpus[claim.gpu_type] -= sign * claim.gpus


def _fewest(room: Room, gpu_type: str | None, waiter: Waiter, here: Sequence[Run]) -> list[Run]:
    """Return whom to ask on one machine: nobody if all together would not do, or if there is room without them."""

    def enough(runs: Sequence[Run]) -> bool:
        return covers(room, gpu_type, waiter.ask, add_up(gpu_type, runs))

    if not enough(here):
        return []
    # The most recently used are left out first.
    return without_needless(here, {run.id: _since(run) for run in here}, enough)


def _within_group(scene: Scene, waiter: Waiter, candidates: Sequence[Run]) -> list[Run]:
    """Return whom of the group to ask so that it is within its limit with the request."""
    limit = {key: to_micro(amount) for key, amount in scene.quotas.group_limit(waiter.group).items()}
    used: dict[str, int] = dict(waiter.ask.vector())
    for run in scene.runs:
        if run.group == waiter.group:
            for key, amount in run.ask.vector().items():
                used[key] = used.get(key, 0) + amount
    beyond = {key: used[key] - amount for key, amount in limit.items() if used.get(key, 0) > amount}

    def enough(runs: Sequence[Run]) -> bool:
        return all(sum(run.ask.vector().get(key, 0) for run in runs) >= amount for key, amount in beyond.items())

    own = [run for run in candidates if run.group == waiter.group and run.user != waiter.user]
    if not beyond or not enough(own):
        return []
    return without_needless(own, {run.id: _since(run) for run in own}, enough)


def _since(run: Run) -> float:
    return run.idle_since or 0.0
