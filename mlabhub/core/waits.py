"""When would there be room for those who wait, and for what somebody could ask for now.

Guarantees: pure and deterministic: the same scene gives the same ranges, whoever asks and in whatever order; a range is
ordered and never in the past; where nobody can tell, it is None and never a number. One `Outlook` is shared by all who
look at a scene: it goes only as far as it is asked to, and goes no way twice.

How it is computed. There are `SCENARIOS` scenarios. In each of them every run ends at a quantile of what is left of its
like (`durations`), all quantiles once over the scenarios, mixed by the run's id so that the runs' lengths are
independent of one another. In each, those who wait start in the rules' order on the machine where the least is left
over, run for a quantile of their own, and make room again. The range is from the tenth to the ninetieth of a hundred.

What is assumed:

- A run ends by its own limit, by the deadline of a notice that it was given, and before the maintenance of its machine.
  Without history it lasts until that limit; without a limit either, nobody can tell.
- Nobody else comes whom the rules put before those who wait; how far that is wrong on the whole is learned from
  earlier forecasts (`corrections`). The order stays; smaller ones go past a larger one unless
  the rules keep a machine for that one.
- What is closed and not by a maintenance stays so. Quotas change when it is planned that they do.
- Somebody who asks now comes after all who wait; who is owed it waits for no longer than the notice to borrowers,
  where there are any whom it can be taken from. Once a limit and, before it, room were found, the room is still there.
- With requests of several sizes a longer run may let somebody start earlier, as another one finds no room before it:
  the rules themselves have these anomalies of packing. With one size, more before somebody is never earlier.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from hashlib import blake2b

from mlabhub.core.corrections import NONE, UNKNOWN, Correction, Range
from mlabhub.core.durations import Kind, Lasting
from mlabhub.core.outlook.board import ENDING_S, Counter, Need, charges_of, is_owed, limits_for, make_board
from mlabhub.core.outlook.play import Play, first_within
from mlabhub.core.quotas import Quotas
from mlabhub.core.sharing.model import Ask, Round, Run, Scene

SCENARIOS = 13
"""A prime, so that every step through it comes to each once."""
EARLIEST, LATEST = 0.1, 0.9

_FINE = 256
_SPENT = tuple(
    tuple(-math.log1p(-(number + (part + 0.5) / _FINE) / SCENARIOS) for part in range(_FINE))
    for number in range(SCENARIOS)
)
"""Minus the logarithms of the shares that still run, by scenario, each part as often as any other."""


@dataclass(slots=True)
class Holder:
    """A person and the group that pays: what they hold, by limits; which runs and waiters count; how that changes."""

    names: tuple[str, str]
    usage: dict[Counter, int]
    runs: dict[int, list[tuple[Counter, int]]]
    waiting: list[int]
    changes: list[list[tuple[float, Counter, int]]] = field(default_factory=list)
    known: dict[object, list[float]] = field(default_factory=dict)


class Outlook:
    """How things may go on from a scene after a round was planned on it.

    ``longest`` is how many seconds servers of a profile last at most, ``quotas`` which are in force from when;
    ``correction`` is what earlier forecasts call for.
    """

    def __init__(
        self,
        scene: Scene,
        told: Round,
        lasting: Lasting,
        *,
        longest: Mapping[str, float] | None = None,
        quotas: Sequence[tuple[float, Quotas]] = (),
        correction: Correction = NONE,
    ):
        self.correction = correction
        self.now = scene.now
        self.has_history = False
        self._lasting = lasting
        self._longest = longest or {}
        self._board = make_board(scene, told, quotas)
        self._numbers = {one.id: number for number, one in enumerate(self._board.order)}
        self._ends = self._make_ends(told)
        lasts = self._make_lasts()
        self._plays = [Play(self._board, sorted(self._ends[s]), lasts[s]) for s in range(SCENARIOS)]
        self._asked: dict[object, Range] = {}
        self._owed: dict[object, float | None] = {}
        self._holders: dict[tuple[str, str | None], Holder] = {}

    @property
    def waiters(self) -> tuple[str, ...]:
        """Those who wait, next first."""
        return tuple(self._numbers)

    def wait_of(self, waiter: str) -> Range:
        """Return when one who waits probably starts; unknown for who does not wait."""
        return self.correction.apply(self.reckoned_of(waiter), self.now)

    def reckoned_of(self, waiter: str) -> Range:
        """Return the same before it is corrected."""
        number = self._numbers.get(waiter)
        if number is None:
            return UNKNOWN
        return _range([play.start_of(number) for play in self._plays], self.now)

    def wait_for(self, ask: Ask, user: str, group: str | None) -> Range:
        """Return when somebody who asks for it now would probably start."""
        return self.correction.apply(self.reckoned_for(ask, user, group), self.now)

    def reckoned_for(self, ask: Ask, user: str, group: str | None) -> Range:
        """Return the same before it is corrected."""
        owed_within = self.owed_within(ask, group)
        phases = [(at, limits_for(user, group, ask, quotas)) for at, quotas in self._board.bounds]
        limited = any(needs for _, needs in phases)
        who = (user, group) if limited else group if self._board.kept else None
        key = (ask.gpus, ask.gpu_type, ask.cpu, ask.memory, ask.profile, owed_within, who)
        if key not in self._asked:
            owed = is_owed(self._board.shares, group, ask)
            starts = [self._start(play, ask, owed) for play in self._plays]
            if owed_within is not None:
                starts = [min(start, self.now + owed_within) for start in starts]
            if limited:
                permitted = self._permitted(self._holder(user, group), phases)
                starts = [max(start, limit) for start, limit in zip(starts, permitted, strict=True)]
            self._asked[key] = _range(starts, self.now)
        return self._asked[key]

    def owed_within(self, ask: Ask, group: str | None) -> float | None:
        """Return in how many seconds a group gets back from borrowers what it may count on; None where it does not.

        That is where the group is owed the request, and those who borrow on one machine have what lacks there.
        """
        key = (ask.gpus, ask.gpu_type, group)
        if key not in self._owed:
            self._owed[key] = self._find_owed(ask, group)
        return self._owed[key]

    def _find_owed(self, ask: Ask, group: str | None) -> float | None:
        if not ask.gpus or not self._board.shares.owed(group, ask.vector()):
            return None
        found = []
        for (machine, gpu_type), runs in self._borrowers.items():
            spot = self._board.index.get(machine)
            if spot is None or ask.gpu_type not in (None, gpu_type):
                continue
            lacks, notice = ask.gpus - max(0, self._board.spots[spot].gpus.get(gpu_type, 0)), 0.0
            for run in runs:
                if lacks <= 0:
                    break
                lacks, notice = lacks - run.ask.gpus, max(notice, run.notice_s)
            if lacks <= 0:
                found.append(notice + ENDING_S)
        return min(found, default=None)

    @cached_property
    def _borrowers(self) -> dict[tuple[str, str], list[Run]]:
        """The runs that could be taken back, by machine and type, those first that are told shortest before."""
        found: dict[tuple[str, str], list[Run]] = {}
        for run in sorted(self._board.runs, key=lambda one: one.notice_s):
            gpu_type = run.ask.gpu_type
            may = run.reclaimable and not run.ending and run.notice is None and gpu_type is not None
            if may and run.ask.gpus and self._board.shares.beyond(run.group, run.ask.vector()):
                found.setdefault((run.machine, gpu_type or ""), []).append(run)
        return found

    def _start(self, play: Play, ask: Ask, owed: bool) -> float:
        room = play.first_room(ask)
        return room if owed else max(room, play.first_lent(ask))

    def _permitted(self, holder: Holder, phases: Sequence[tuple[float, Sequence[Need]]]) -> list[float]:
        """Return from when the limits of somebody who asks now permit it, after those who wait for the same."""
        if len(phases) == 1 and not holder.waiting:
            usage = holder.usage
            if all(usage.get(counter, 0) + amount <= bound for counter, amount, bound in phases[0][1]):
                return [self.now] * SCENARIOS
        if not holder.changes:
            holder.changes = [self._changes(holder, scenario) for scenario in range(SCENARIOS)]
        key = tuple(needs for _, needs in phases)
        if key not in holder.known:
            times = [first_within(phases, holder.usage, changes) for changes in holder.changes]
            holder.known[key] = [max(self.now, time) for time in times]
        return holder.known[key]

    def _holder(self, user: str, group: str | None) -> Holder:
        """Return what counts for a person and the group that pays."""
        known = self._holders.get((user, group))
        if known is not None:
            return known
        names, board = (f"g:{group}", f"u:{user}"), self._board
        usage: dict[Counter, int] = {}
        runs = sorted({number for name in names for number in self._runs_of.get(name, ())})
        waiting = [n for n, one in enumerate(board.order) if one.group == group or one.user == user]
        holder = self._holders[user, group] = Holder(names, usage, {}, waiting)
        for number in runs:
            run = board.runs[number]
            charges = [one for one in charges_of(run, run.ask.gpu_type) if one[0][0] in names]
            holder.runs[number] = charges
            for counter, amount in charges:
                usage[counter] = usage.get(counter, 0) + amount
        return holder

    @cached_property
    def _runs_of(self) -> dict[str, list[int]]:
        """The runs by group and by person."""
        found: dict[str, list[int]] = {}
        for number, run in enumerate(self._board.runs):
            found.setdefault(f"g:{run.group}", []).append(number)
            found.setdefault(f"u:{run.user}", []).append(number)
        return found

    def _changes(self, holder: Holder, scenario: int) -> list[tuple[float, Counter, int]]:
        """Return how what a person and a group hold will change in a scenario."""
        play, changes = self._plays[scenario], []
        for at, run in self._ends[scenario]:
            changes += [(at, counter, -amount) for counter, amount in holder.runs.get(run, ())]
        if holder.waiting:
            play.run_out()
        for number in holder.waiting:
            waiter, start = self._board.order[number], play.starts[number]
            if start < math.inf:
                for counter, amount in charges_of(waiter, waiter.ask.gpu_type):
                    if counter[0] in holder.names:
                        changes += [(start, counter, amount), (play.stops[number], counter, -amount)]
        return sorted(changes, key=lambda one: (one[0], -one[2]))

    def _make_ends(self, told: Round) -> list[list[tuple[float, int]]]:
        """Return the known ends of all runs in each scenario."""
        now = self.now
        ends: list[list[tuple[float, int]]] = [[] for _ in range(SCENARIOS)]
        deadlines = {one.run: one.deadline for one in told.notices}
        withdrawn, over = set(told.withdrawn), set(told.reclaims)
        for number, run in enumerate(self._board.runs):
            if run.ending or run.id in over:
                for one in ends:
                    one.append((now + ENDING_S, number))
                continue
            limit = deadlines.get(run.id, math.inf)
            if run.notice is not None and run.id not in withdrawn:
                limit = min(limit, run.notice.deadline)
            limit = self._limit_of(run, limit)
            step, offset, spent = mixed(run.id)
            left = self._left(run, max(0.0, now - run.started), spent)
            for one in ends:
                end = min(now + left[offset], limit)
                if end < math.inf:
                    one.append((max(end, now + ENDING_S), number))
                offset = (offset + step) % SCENARIOS
        return ends

    def _limit_of(self, run: Run, limit: float) -> float:
        if run.ends_by is not None:
            limit = min(limit, run.ends_by)
        spot = self._board.index.get(run.machine)
        closed = self._board.spots[spot].closed if spot is not None else ()
        return min(limit, closed[0][0]) if closed else limit

    def _left(self, run: Run, age: float, spent: Sequence[float]) -> Sequence[float]:
        curve = self._lasting.curve(Kind(run.user, run.group, run.ask.profile, run.ask.gpus > 0))
        if curve is None:
            return _FOR_EVER
        self.has_history = True
        return curve.remaining(age, spent)

    def _make_lasts(self) -> list[list[float]]:
        """Return how long those who wait will run in each scenario."""
        lasts: list[list[float]] = [[] for _ in range(SCENARIOS)]
        for waiter in self._board.order:
            curve = self._lasting.curve(Kind(waiter.user, waiter.group, waiter.ask.profile, waiter.ask.gpus > 0))
            step, offset, spent = mixed(waiter.id)
            whole = _FOR_EVER if curve is None else curve.remaining(0.0, spent)
            longest = self._longest.get(waiter.ask.profile, math.inf)
            for one in lasts:
                one.append(min(whole[offset], longest))
                offset = (offset + step) % SCENARIOS
        return lasts


_FOR_EVER = (math.inf,) * SCENARIOS


@lru_cache(8192)
def mixed(name: str) -> tuple[int, int, tuple[float, ...]]:
    """Return how to go through the scenarios, and what is spent in each: so that those of two names are independent."""
    mix = blake2b(name.encode(), digest_size=SCENARIOS + 2).digest()
    spent = tuple(_SPENT[number][part] for number, part in enumerate(mix[2:]))
    return 1 + mix[0] % (SCENARIOS - 1), mix[1] % SCENARIOS, spent


def _range(starts: Sequence[float], now: float) -> Range:
    ordered = sorted(starts)
    earliest, latest = _quantile(ordered, EARLIEST), _quantile(ordered, LATEST)
    return Range(None if earliest is None else max(earliest, now), None if latest is None else max(latest, now))


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    # Between what is right for one run (all quantiles are there) and for the first of many (a sample of so many).
    place = share * (len(ordered) + 0.5) - 0.75
    low = int(place)
    first, second = ordered[low], ordered[min(low + 1, len(ordered) - 1)]
    if first == second and first < math.inf:
        return first
    value = first + (second - first) * (place - low) if second < math.inf else math.inf
    return value if value < math.inf else None
