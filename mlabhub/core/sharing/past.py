"""What was used and asked for, halved again and again as time passes; how long things run.

Guarantees: values; the past after a scene depends on the past before it and on that scene alone, and costs a look at
what came and went. A past that is made of the list of runs that are over says the same of use as one that saw them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol, TypeVar

from mlabhub.core.sharing.lifetimes import Lifetimes
from mlabhub.core.sharing.model import Ask, Run, Scene, Waiter
from mlabhub.core.units import to_micro

K = TypeVar("K")
WEEK_S = 7 * 86400.0

Amounts = tuple[float, float, float]
"""GPUs, CPU and memory; the latter two in millionths."""

NOTHING: Amounts = (0.0, 0.0, 0.0)

Whose = tuple[str, Amounts | None]
"""A person, or everybody, and a kind of run: what it takes; None for all kinds."""


class Use(NamedTuple):
    """The decayed sum of what was used until ``at``, and what is used since."""

    at: float
    total: Amounts
    rate: Amounts

    def until(self, now: float, half_life_s: float) -> Amounts:
        """Return the sum at a time."""
        decay = math.log(2) / half_life_s
        kept = math.exp(-decay * max(0.0, now - self.at))
        gained = (1 - kept) / decay
        (gpus, cpu, memory), (more_gpus, more_cpu, more_memory) = self.total, self.rate
        return (gpus * kept + more_gpus * gained, cpu * kept + more_cpu * gained, memory * kept + more_memory * gained)

    def changed(self, now: float, half_life_s: float, by: Amounts, sign: int) -> Use:
        """Return it with more (1) or less (-1) used from ``now`` on."""
        gpus, cpu, memory = self.rate
        rate = (gpus + sign * by[0], cpu + sign * by[1], memory + sign * by[2])
        return Use(max(now, self.at), self.until(now, half_life_s), rate)


UNUSED = Use(-math.inf, NOTHING, NOTHING)


class OverRun(Protocol):
    """A run that is over, as the ledger keeps it: CPU in cores, memory in GiB."""

    @property
    def user(self) -> str:
        """Whose it was."""

    @property
    def group(self) -> str | None:
        """Which group paid."""

    @property
    def gpus(self) -> int:
        """How many GPUs it had."""

    @property
    def cpu(self) -> float:
        """Its cores."""

    @property
    def memory_gib(self) -> float:
        """Its memory."""

    @property
    def started(self) -> float:
        """When it started."""

    @property
    def ended(self) -> float:
        """When it ended."""

    @property
    def reclaimed(self) -> bool:
        """Whether it was taken back, and did not end by itself."""


@dataclass(frozen=True)
class Past:
    """What groups and people used, what groups asked for, and how long things ran, as of ``at``."""

    half_life_s: float = WEEK_S
    at: float = -math.inf
    groups: Mapping[str | None, Use] = field(default_factory=dict)
    people: Mapping[str, Use] = field(default_factory=dict)
    asked: Mapping[tuple[str | None, str | None], tuple[float, float]] = field(default_factory=dict)
    """GPUs asked for by group and type: when last, and the decayed number."""
    lifetimes: Lifetimes = field(default_factory=Lifetimes)
    typical: Mapping[Whose, tuple[float, float]] = field(default_factory=dict)
    """By person and kind, how many runs ended by themselves, those of late counting most, and how long these ran."""
    held: Mapping[str | None, Mapping[str, int]] = field(default_factory=dict)
    """What groups hold, in millionths by resource."""
    held_by: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """What people hold."""
    runs: Mapping[str, Run] = field(default_factory=dict)
    waiting: frozenset[str] = frozenset()
    promised: Mapping[str, str] = field(default_factory=dict)
    """Those who wait for whom others gave back just now, and on which machine."""

    @classmethod
    def of(cls, over: Iterable[OverRun], half_life_s: float = WEEK_S) -> Past:
        """Return the past that a list of runs is, which are over; what runs comes with the next scene."""
        groups: dict[str | None, Use] = {}
        people: dict[str, Use] = {}
        lifetimes = Lifetimes()
        typical: dict[Whose, tuple[float, float]] = {}
        for run in sorted(over, key=lambda one: one.ended):
            by = (float(run.gpus), float(to_micro(run.cpu)), float(to_micro(run.memory_gib)))
            _add_over(groups, run.group, run, by, half_life_s)
            _add_over(people, run.user, run, by, half_life_s)
            if run.gpus:
                lifetimes = lifetimes.ended(run.ended - run.started, by_itself=not run.reclaimed)
            if not run.reclaimed:
                _add_typical(typical, run.user, by, run.ended - run.started)
        return cls(half_life_s, groups=groups, people=people, lifetimes=lifetimes, typical=typical)

    def after(self, scene: Scene) -> Past:
        """Return the past as of a scene: what came and what went since the last one."""
        now = max(self.at, scene.now)
        runs = {run.id: run for run in scene.runs}
        waiting = frozenset(waiter.id for waiter in scene.waiters)
        came, went = runs.keys() - self.runs.keys(), self.runs.keys() - runs.keys()
        fresh = (waiting | came) - self.waiting - self.runs.keys()
        if not came and not went and waiting == self.waiting:
            return self if not runs else replace(self, runs=runs)
        gave = [self.runs[one] for one in sorted(went) if _gave_back(self.runs[one], waiting, now)]
        promised = {run.notice.waiter: run.machine for run in gave if run.notice is not None} or self.promised
        groups, people = dict(self.groups), dict(self.people)
        lifetimes, typical = self.lifetimes, dict(self.typical)
        held, held_by = dict(self.held), dict(self.held_by)
        for run in [self.runs[one] for one in sorted(went)]:
            _hold(held, held_by, run, -1)
            self._change(groups, people, run, now, -1)
            if run.ask.gpus:
                lifetimes = lifetimes.ended(now - run.started, by_itself=not _was_reclaimed(run, waiting))
            if not _was_reclaimed(run, waiting):
                _add_typical(typical, run.user, kind_of(run.ask), now - run.started)
        for run in [runs[one] for one in sorted(came)]:
            _hold(held, held_by, run, 1)
            self._change(groups, people, run, min(now, max(run.started, self.at)), 1)
        asked = self._asked_after(scene, fresh, now) if fresh else self.asked
        return Past(
            self.half_life_s,
            now,
            groups,
            people,
            asked,
            lifetimes,
            typical,
            held,
            held_by,
            runs,
            waiting,
            {waiter: machine for waiter, machine in promised.items() if waiter in waiting},
        )

    def average(self, uses: Use | None, now: float) -> Amounts:
        """Return what was used on the average, the last half-life counting most."""
        if uses is None:
            return NOTHING
        decay = math.log(2) / self.half_life_s
        gpus, cpu, memory = uses.until(now, self.half_life_s)
        return (gpus * decay, cpu * decay, memory * decay)

    def saw(self, runs: Sequence[Run]) -> bool:
        """Whether it is the past just after a scene with these runs, so that its sums are theirs."""
        return len(runs) == len(self.runs) and all(run.id in self.runs for run in runs)

    def length(self, user: str, ask: Ask | None = None) -> float:
        """Return how long runs of a person last, those of a kind or all, as a multiple of everybody's."""
        count, total = self.typical.get((EVERYBODY, None), (0.0, 0.0))
        usual = total / count if count and total else USUAL_S
        likely = self._likely((user, None), usual)
        if ask is not None:
            kind = kind_of(ask)
            likely *= self._likely((EVERYBODY, kind), usual) / usual
            likely = self._likely((user, kind), likely)
        return likely / usual

    def _likely(self, whose: Whose, before: float) -> float:
        """Return how long something is likely to run, if ``before`` is what was thought without having seen any."""
        count, total = self.typical.get(whose, (0.0, 0.0))
        return (total + BELIEF * before) / (count + BELIEF)

    def asked_per_s(self, group: str | None, gpu_type: str | None, now: float) -> float:
        """Return how many GPUs of a type a group asked for in a second, on the average of late; None: of any type."""
        at, sum_of = self.asked.get((group, gpu_type), (now, 0.0))
        return sum_of * math.exp(-max(0.0, now - at) / ASKED_S) / ASKED_S

    def _change(self, groups: dict[str | None, Use], people: dict[str, Use], run: Run, now: float, sign: int) -> None:
        by = (float(run.ask.gpus), float(run.ask.cpu), float(run.ask.memory))
        groups[run.group] = groups.get(run.group, UNUSED).changed(now, self.half_life_s, by, sign)
        people[run.user] = people.get(run.user, UNUSED).changed(now, self.half_life_s, by, sign)

    def _asked_after(
        self, scene: Scene, fresh: frozenset[str], now: float
    ) -> Mapping[tuple[str | None, str | None], tuple[float, float]]:
        asked = dict(self.asked)
        everybody: list[Waiter | Run] = [*scene.waiters, *scene.runs]
        for one in everybody:
            if one.id in fresh and one.ask.gpus:
                key = (one.group, one.ask.gpu_type)
                at, sum_of = asked.get(key, (now, 0.0))
                asked[key] = (now, sum_of * math.exp(-max(0.0, now - at) / ASKED_S) + one.ask.gpus)
        return asked


def _hold(
    held: dict[str | None, Mapping[str, int]], held_by: dict[str, Mapping[str, int]], run: Run, sign: int
) -> None:
    vector = run.ask.vector()
    held[run.group] = added(held.get(run.group, {}), vector, sign)
    held_by[run.user] = added(held_by.get(run.user, {}), vector, sign)


def added(sums: Mapping[str, int], vector: Mapping[str, int], sign: int = 1) -> dict[str, int]:
    """Return sums with a vector more (1) or less (-1)."""
    total = dict(sums)
    for resource, amount in vector.items():
        total[resource] = total.get(resource, 0) + sign * amount
    return total


def kind_of(ask: Ask) -> Amounts:
    """Return what makes two requests one kind."""
    return float(ask.gpus), float(ask.cpu), float(ask.memory)


def _add_typical(typical: dict[Whose, tuple[float, float]], user: str, kind: Amounts, seconds: float) -> None:
    """Count one more that ended, for its person and for everybody, with its kind and with all."""
    for key in ((user, kind), (user, None), (EVERYBODY, kind), (EVERYBODY, None)):
        count, total = typical.get(key, (0.0, 0.0))
        typical[key] = (count * LATE + 1.0, total * LATE + seconds)


EVERYBODY = ""
LATE = 0.97
BELIEF = 3.0
"""How many runs that is worth which is thought without having seen any."""
USUAL_S = 3600.0

ASKED_S = 86400.0
"""Over how long it is counted how often owners ask."""


def _add_over(uses: dict[K, Use], key: K, run: OverRun, by: Amounts, half_life_s: float) -> None:
    use = uses.get(key, UNUSED)
    alone = Use(run.started, NOTHING, by).until(run.ended, half_life_s)
    gpus, cpu, memory = use.until(run.ended, half_life_s)
    uses[key] = Use(max(use.at, run.ended), (gpus + alone[0], cpu + alone[1], memory + alone[2]), NOTHING)


def _was_reclaimed(run: Run, waiting: frozenset[str]) -> bool:
    """Whether a run that is gone was taken back, and did not end by itself while it could have been."""
    return run.notice is not None and (run.ending or run.id in waiting)


def _gave_back(run: Run, waiting: frozenset[str], now: float) -> bool:
    """Whether a run that is gone left its place to the one for whom it was told to give back, in whichever way."""
    return run.notice is not None and (run.notice.deadline <= now or _was_reclaimed(run, waiting))
