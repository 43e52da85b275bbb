"""One scenario: every run ends at a given time, those who wait start in their order as soon as there is room.

Guarantees: deterministic; no machine is ever beyond what it has and no group beyond its limit; it goes no further than
it is asked to; time never runs backwards.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Mapping, Sequence

from mlabhub.core.outlook.board import Board, Counter, Need, Spot, suits, types_of
from mlabhub.core.sharing.model import Ask

Room = tuple[float, int, int, int]
"""From a time on, a machine had so many GPUs of a type, CPU and memory to spare."""

_CLOSE, _OPEN, _QUOTAS, _AWAKE, _END = range(5)
"""What happens at the same time, in this order; runs end after it."""


class Play:
    """One scenario. ``ends`` are the runs' ends by number, soonest first; ``lasts`` how long each waiter will run."""

    def __init__(self, board: Board, ends: Sequence[tuple[float, int]], lasts: Sequence[float]):
        self._board = board
        self._ends = ends
        self._next = 0
        self._lasts = lasts
        self.now = board.now
        self._gpus = [dict(spot.gpus) for spot in board.spots]
        self._cpu = [spot.cpu for spot in board.spots]
        self._memory = [spot.memory for spot in board.spots]
        self._open = [spot.is_open for spot in board.spots]
        self._claims = {number: list(spot.claims) for number, spot in enumerate(board.spots) if spot.claims}
        self._claim_of = {waiter: spot for spot, claims in self._claims.items() for waiter, _ in claims}
        self._usage = dict(board.usage)
        self._needs = board.phases[0][1]
        self._queues: list[list[int]] = [[] for _ in board.shapes]
        for waiter, shape in enumerate(board.shape_of):
            self._queues[shape].append(waiter)
        self._left = len(board.order)
        self.starts: list[float] = [math.inf] * len(board.order)
        self.stops: list[float] = [math.inf] * len(board.order)
        self._placed: dict[int, tuple[str, str | None]] = {}
        self._fits: list[set[int]] = [set() for _ in board.shapes]
        self._shapes_on: list[list[int]] = [[] for _ in board.spots]
        for number, one in enumerate(board.shapes):
            for spot in one.spots:
                self._shapes_on[spot].append(number)
        self._dirty: set[int] = set()
        self._borrow = {board.shape_of[waiter] for waiter, reserved in enumerate(board.reserved) if reserved}
        self.rooms: dict[tuple[str | None, int], list[Room]] = {}
        self.lendable: dict[str, list[tuple[float, int]]] = {}
        self._free = self._all_free() if board.kept else {}
        self._events: list[tuple[float, int, int]] = list(self._coming())
        heapq.heapify(self._events)
        for spot in range(len(board.spots)):
            self._look_at(spot)
            self._note(spot)
        self._dirty.clear()  # who stays at this moment was decided by the round

    def start_of(self, waiter: int) -> float:
        """Return when a waiter starts, going on until then; `inf` if never, as far as is known."""
        while self.starts[waiter] == math.inf and self._step():
            pass
        return self.starts[waiter]

    def run_out(self) -> None:
        """Go on until all who wait have started, or nothing is known to happen any more."""
        while self._left and self._step():
            pass

    def first_room(self, ask: Ask) -> float:
        """Return when there is first room for a request that nobody who waits takes."""
        kinds = [number for number, sort in enumerate(self._board.sorts) if suits(sort, ask)]
        lists: dict[tuple[str | None, int], int] = {}
        while True:
            best = math.inf
            for key in self._keys(ask, kinds):
                rooms = self.rooms.get(key, ())
                for number in range(lists.get(key, 0), len(rooms)):
                    at, gpus, cpu, memory = rooms[number]
                    if gpus >= ask.gpus and cpu >= ask.cpu and memory >= ask.memory:
                        best = min(best, at)
                        break
                lists[key] = len(rooms)
            if best < math.inf or not self._step():
                return best

    def first_lent(self, ask: Ask) -> float:
        """Return when as many GPUs as a request takes are first beyond what is kept."""
        kept = self._board.kept
        types = self._board.types if ask.gpu_type is None else (ask.gpu_type,)
        if not ask.gpus or any(one not in kept for one in types):
            return self._board.now
        while True:
            found = [at for one in types for at, count in self.lendable.get(one, ()) if count >= ask.gpus]
            if found or not self._step():
                return min(found, default=math.inf)

    def _keys(self, ask: Ask, kinds: Sequence[int]) -> list[tuple[str | None, int]]:
        if not ask.gpus:
            return [(None, kind) for kind in kinds]
        types = (ask.gpu_type,) if ask.gpu_type is not None else {key for key, _ in self.rooms if key is not None}
        return [(gpu_type, kind) for gpu_type in types for kind in kinds]

    def _coming(self) -> Iterator[tuple[float, int, int]]:
        board = self._board
        for number, spot in enumerate(board.spots):
            for begin, until in spot.closed:
                if begin > board.now:
                    yield begin, _CLOSE, number
                if until < math.inf:
                    yield until, _OPEN, number
        for number, (at, _) in enumerate(board.phases):
            if at > board.now:
                yield at, _QUOTAS, number
        for number, waiter in enumerate(board.order):
            if waiter.not_before > board.now:
                yield waiter.not_before, _AWAKE, number

    def _all_free(self) -> dict[str, int]:
        free = dict.fromkeys(self._board.kept, 0)
        for gpus in self._gpus:
            for gpu_type in free:
                free[gpu_type] += max(0, gpus.get(gpu_type, 0))
        return free

    def _step(self) -> bool:
        """Let the next thing happen; False when nothing is known to happen any more."""
        ends, number = self._ends, self._next
        if number < len(ends) and (not self._events or ends[number][0] < self._events[0][0]):
            self._next = number + 1
            at, run = ends[number]
            one = self._board.runs[run]
            self.now = at
            self._give_back(one.machine, one.ask.gpu_type, one.ask, one.id)
            return True
        if not self._events:
            return False
        self.now, what, which = heapq.heappop(self._events)
        if what == _END:
            waiter = self._board.order[which]
            machine, gpu_type = self._placed[which]
            self._give_back(machine, gpu_type, waiter.ask, waiter.id)
        else:
            self._turn(what, which)
        return True

    def _turn(self, what: int, which: int) -> None:
        if what == _QUOTAS:
            self._needs = self._board.phases[which][1]
            self._dirty.update(number for number, queue in enumerate(self._queues) if queue)
        elif what == _AWAKE:
            self._dirty.add(self._board.shape_of[which])
        else:
            self._open[which] = what == _OPEN
            self._look_at(which)
        self._assign()
        if what == _OPEN:
            self._note(which)

    def _give_back(self, machine: str, gpu_type: str | None, ask: Ask, holder: str) -> None:
        board = self._board
        spot = board.index.get(machine)
        charges = board.charges.get(holder)
        if charges:
            for counter, amount in charges:
                self._usage[counter] -= amount
            self._dirty.update(number for number, queue in enumerate(self._queues) if queue)
        if spot is not None:
            if ask.gpus and gpu_type is not None:
                gpus = self._gpus[spot]
                gpus[gpu_type] = gpus.get(gpu_type, 0) + ask.gpus
                if gpu_type in self._free:
                    self._free[gpu_type] += ask.gpus
                    self._dirty |= self._borrow
            self._cpu[spot] += ask.cpu
            self._memory[spot] += ask.memory
            if self._left:
                self._look_at(spot)
        if self._left:
            self._assign()
        if spot is not None:
            self._note(spot)

    def _look_at(self, spot: int) -> None:
        """See anew which kinds of requests have room on a machine."""
        shapes, is_open = self._board.shapes, self._open[spot]
        for number in self._shapes_on[spot]:
            if not self._queues[number]:
                continue
            if is_open and self._has_room(spot, shapes[number].ask):
                self._fits[number].add(spot)
                self._dirty.add(number)
            else:
                self._fits[number].discard(spot)

    def _has_room(self, spot: int, ask: Ask) -> bool:
        if self._cpu[spot] < ask.cpu or self._memory[spot] < ask.memory:
            return False
        if not ask.gpus:
            return True
        gpus = self._gpus[spot]
        if ask.gpu_type is not None:
            return gpus.get(ask.gpu_type, 0) >= ask.gpus
        return max(gpus.values(), default=0) >= ask.gpus

    def _assign(self) -> None:
        """Start whoever can, in their order."""
        if self._claims:
            self._serve_claims()
        while self._dirty:
            first, its_shape = math.inf, -1
            for number in tuple(self._dirty):
                waiter = self._first_of(number) if self._fits[number] else None
                if waiter is None:
                    self._dirty.discard(number)
                elif waiter < first:
                    first, its_shape = waiter, number
            if its_shape < 0:
                return
            waiter = int(first)
            found = self._best(its_shape, self._board.order[waiter].ask, self._board.reserved[waiter])
            if found is None:
                self._dirty.discard(its_shape)
                continue
            spot, gpu_type = found
            self._queues[its_shape].remove(waiter)
            self._start(waiter, spot, gpu_type)

    def _serve_claims(self) -> None:
        for spot in tuple(self._claims):
            for waiter, claim in tuple(self._claims.get(spot, ())):
                ask, gpus = self._board.order[waiter].ask, self._gpus[spot]
                enough = not ask.gpus or gpus.get(claim.gpu_type or "", 0) + claim.gpus >= ask.gpus
                enough = enough and self._cpu[spot] + claim.cpu >= ask.cpu
                enough = enough and self._memory[spot] + claim.memory >= ask.memory
                if enough and self._open[spot] and self._may(waiter):
                    self._queues[self._board.shape_of[waiter]].remove(waiter)
                    self._start(waiter, spot, claim.gpu_type)

    def _let_go(self, waiter: int, spot: int) -> None:
        """Stop keeping room for one who starts, here or elsewhere."""
        claims = self._claims[spot]
        number = next(number for number, (one, _) in enumerate(claims) if one == waiter)
        claim = claims.pop(number)[1]
        if not claims:
            del self._claims[spot]
        if claim.gpu_type is not None:
            self._gpus[spot][claim.gpu_type] += claim.gpus
        self._cpu[spot] += claim.cpu
        self._memory[spot] += claim.memory

    def _first_of(self, shape: int) -> int | None:
        return next((waiter for waiter in self._queues[shape] if self._may(waiter)), None)

    def _may(self, waiter: int) -> bool:
        """Whether nothing but room keeps somebody waiting."""
        board = self._board
        one = board.order[waiter]
        if one.not_before > self.now:
            return False
        usage = self._usage
        for counter, amount, bound in self._needs[waiter]:
            if usage.get(counter, 0) + amount > bound:
                return False
        return not (board.reserved[waiter] and one.ask.gpus) or self._lends(one.ask.gpu_type, one.ask.gpus)

    def _lends(self, gpu_type: str | None, gpus: int) -> bool:
        """Whether so many GPUs are there beyond what is kept for owners."""
        if gpu_type is not None:
            kept = self._board.kept.get(gpu_type)
            return kept is None or self._free[gpu_type] - kept >= gpus
        types = self._board.types
        return any(self._lends(one, gpus) for one in types)

    def _best(self, shape: int, ask: Ask, borrows: bool) -> tuple[int, str | None] | None:
        """Return where a request leaves the least over: large holes stay. None where nothing is lent."""
        if not ask.gpus:
            return min(
                self._fits[shape], key=lambda spot: (sum(self._gpus[spot].values()), self._cpu[spot], spot)
            ), None
        found = (
            (self._gpus[spot][one], spot, one)
            for spot in self._fits[shape]
            for one in types_of(ask, self._gpus[spot])
            if self._gpus[spot].get(one, 0) >= ask.gpus and not (borrows and not self._lends(one, ask.gpus))
        )
        best = min(found, default=None)
        return None if best is None else best[1:]

    def _start(self, waiter: int, spot: int, gpu_type: str | None) -> None:
        board = self._board
        one = board.order[waiter]
        self.starts[waiter] = self.now
        self._left -= 1
        for counter, amount in board.charges.get(one.id, ()):
            self._usage[counter] = self._usage.get(counter, 0) + amount
        if one.ask.gpus and gpu_type is not None:
            self._gpus[spot][gpu_type] -= one.ask.gpus
            if gpu_type in self._free:
                self._free[gpu_type] -= one.ask.gpus
        self._cpu[spot] -= one.ask.cpu
        self._memory[spot] -= one.ask.memory
        kept_on = self._claim_of.pop(waiter, None)
        if kept_on is not None:
            self._let_go(waiter, kept_on)
            self._look_at(kept_on)
        self._placed[waiter] = (board.spots[spot].name, gpu_type)
        end = self.stops[waiter] = min(self.now + self._lasts[waiter], _closes(board.spots[spot], self.now))
        if end < math.inf:
            heapq.heappush(self._events, (end, _END, waiter))
        self._look_at(spot)

    def _note(self, spot: int) -> None:
        """Remember what a machine has to spare now, where it is more than what was seen before."""
        if not self._open[spot]:
            return
        cpu, memory, sort = self._cpu[spot], self._memory[spot], self._board.spots[spot].sort
        for gpu_type, count in (*self._gpus[spot].items(), (None, 0)):
            rooms = self.rooms.setdefault((gpu_type, sort), [])
            for _, gpus, cpus, gib in reversed(rooms):
                if gpus >= count and cpus >= cpu and gib >= memory:
                    break
            else:
                rooms.append((self.now, count, cpu, memory))
        for gpu_type, free in self._free.items():
            left, known = free - self._board.kept[gpu_type], self.lendable.setdefault(gpu_type, [])
            if not known or left > known[-1][1]:
                known.append((self.now, left))


def _closes(spot: Spot, now: float) -> float:
    return next((begin for begin, _ in spot.closed if begin > now), math.inf)


Changes = Sequence[tuple[float, Counter, int]]


def first_within(
    phases: Sequence[tuple[float, Sequence[Need]]], usage: Mapping[Counter, int], changes: Changes
) -> float:
    """Return from when all limits permit something; ``changes`` of the usage are by time, as are the phases' limits."""
    usage, number = dict(usage), 0
    times = sorted({at for at, _ in phases} | {at for at, _, _ in changes if at < math.inf})
    for time in times:
        while number < len(changes) and changes[number][0] <= time:
            _, counter, amount = changes[number]
            usage[counter] = usage.get(counter, 0) + amount
            number += 1
        needs = [needs for at, needs in phases if at <= time][-1]
        if all(usage.get(counter, 0) + amount <= bound for counter, amount, bound in needs):
            return time
    return math.inf
