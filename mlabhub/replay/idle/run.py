"""Run a policy over recorded samples.

Guarantees: a warning counts as delivered in the moment it is due. Lines that come more seldom than each minute speak
for all the time since the one before, up to a quarter of an hour, so a hole is what is longer than that. After a stop
the policy takes no interest in a server until it was seen at work again; after its end the same name is a new server.
What `Totals` calls busy does not depend on the policy: whether a GPU was at work in the last `RECENT_S` by the
thresholds of `default`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import tzinfo
from typing import Any

from mlabhub.core.idle.fold import BUSY, IDLE, Thresholds, fold_of
from mlabhub.core.idle.gaps import Gaps
from mlabhub.core.idle.patience import Patient
from mlabhub.core.idle.policy import LEAST_WINDOW_S, Policy
from mlabhub.core.idle.state import State
from mlabhub.core.idle.verdict import Kind, Verdict, assess
from mlabhub.core.idle.words import say
from mlabhub.messages import Message
from mlabhub.replay.idle.order import hole_for
from mlabhub.replay.idle.reader import Launch, Recording

RECENT_S = 600.0
REFERENCE = Thresholds()
AT_ONCE = 100_000
"""Rows between two words on how far it is."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision: ``warn``, ``stop`` or ``keep``."""

    t: float
    server: str
    action: str
    reason: Message

    def to_dict(self) -> dict[str, Any]:
        """Return it as a line says it."""
        return {"t": self.t, "server": self.server, "action": self.action, "reason": str(self.reason)}


@dataclass(slots=True)
class Totals:
    """What came of it. ``wanted_again`` are stops after which the GPU was seen at work again."""

    servers: int = 0
    samples: int = 0
    gpu_hours_held: float = 0.0
    gpu_hours_idle: float = 0.0
    gpu_hours_unknown: float = 0.0
    gpu_hours_reclaimed: float = 0.0
    warnings: int = 0
    withdrawn: int = 0
    stops: int = 0
    wanted_again: int = 0
    stops_of_a_busy_server: int = 0

    @classmethod
    def of(cls, parts: Collection[Totals]) -> Totals:
        """Return the sum of several; what adding up makes of the last digits is left out."""
        return cls(**{one.name: cls._sum(getattr(part, one.name) for part in parts) for one in fields(cls)})

    @staticmethod
    def _sum(values: Iterable[float]) -> Any:
        found = list(values)
        return round(math.fsum(found), 9) if any(isinstance(one, float) for one in found) else sum(found)

    def to_dict(self) -> dict[str, Any]:
        """Return them as one object."""
        return {key: round(value, 3) for key, value in asdict(self).items()}


@dataclass
class Outcome:
    """Decisions in order of time, and what they come to: in all, and for each of the recording's launches."""

    decisions: list[Decision]
    totals: Totals
    by_launch: list[Totals]


@dataclass(slots=True)
class _Seat:
    """Where a launch stands in the replay."""

    launch: Launch
    patient: Patient
    policy: Policy
    reference: Thresholds
    state: State = field(default_factory=State)
    gone: bool = False
    t: float = -math.inf
    totals: Totals = field(default_factory=Totals)


def _seat(launch: Launch, policy: Policy, patient: Patient) -> _Seat:
    launch.samples.seen = 0  # a recording may be replayed again
    launch.samples.folds.clear()
    with_gpu = replace(policy.with_gpu, thresholds=_for_tick(policy.with_gpu.thresholds, launch.tick))
    without_gpu = replace(policy.without_gpu, thresholds=_for_tick(policy.without_gpu.thresholds, launch.tick))
    adapted = replace(policy, with_gpu=with_gpu, without_gpu=without_gpu)
    return _Seat(launch, patient, adapted, _for_tick(REFERENCE, launch.tick))


def _for_tick(thresholds: Thresholds, tick: float) -> Thresholds:
    return replace(thresholds, hole_s=hole_for(tick, thresholds.hole_s))


def run(
    recording: Recording,
    policy: Policy | Sequence[Policy],
    *,
    zone: tzinfo | None = None,
    told: Callable[[float], None] | None = None,
) -> Outcome:
    """Replay all rows under one policy, or one for each launch, which learns from those launches that it holds for.

    ``told`` is called now and again with the share of the rows that is done.
    """
    policies = [policy] * len(recording.launches) if isinstance(policy, Policy) else policy
    return _Run(recording, policies, zone).outcome(told or (lambda share: None))


class _Run:
    def __init__(self, recording: Recording, policies: Sequence[Policy], zone: tzinfo | None) -> None:
        self.zone, self.rows = zone, recording.rows
        gaps = {one: Gaps((one.with_gpu.window_s or LEAST_WINDOW_S) + one.grace_s) for one in set(policies)}
        self.seats = [
            _seat(launch, one, Patient(gaps[one], launch.server))
            for launch, one in zip(recording.launches, policies, strict=True)
        ]
        self.decisions: list[Decision] = []

    def outcome(self, told: Callable[[float], None]) -> Outcome:
        """Replay, and return what came of it."""
        for first in range(0, len(self.rows), AT_ONCE):
            for number in self.rows[first : first + AT_ONCE]:
                self._row(self.seats[number])
            told(min(1.0, (first + AT_ONCE) / len(self.rows)))
        self.decisions.sort(key=lambda decision: decision.t)
        for seat in self.seats:
            seat.totals.servers, seat.totals.samples = 1, len(seat.launch.samples)
        by_launch = [seat.totals for seat in self.seats]
        return Outcome(self.decisions, Totals.of(by_launch), by_launch)

    def _row(self, seat: _Seat) -> None:
        samples = seat.launch.samples
        samples.seen += 1
        now = samples.t[samples.seen - 1]
        reference = fold_of(samples, seat.reference)
        self._count(seat, now, reference.status)
        self._learn(seat)
        if now < reference.t:
            return  # a row that came late: it is known from now on, but it is not now
        if seat.gone:
            if reference.status != BUSY:
                return
            seat.gone, seat.state = False, State(started=now)
            seat.totals.wanted_again += 1
        verdict = assess(samples, seat.state, seat.policy, now, patience=seat.patient, zone=self.zone)
        if verdict.warn or verdict.withdraw or verdict.kind is Kind.STOP:
            ground = self._ground(seat, now)
            for action in self._act(seat, verdict):
                said = say(verdict, samples, seat.policy, ground)
                self.decisions.append(Decision(now, seat.launch.server, action, said))

    def _learn(self, seat: _Seat) -> None:
        samples = seat.launch.samples
        fold = fold_of(samples, seat.policy.rule(samples.gpus).thresholds)
        seat.patient.harvest(fold, samples.gpus)
        if samples.seen == len(samples) and seat.launch.ended:
            seat.patient.ended(fold, samples.gpus)

    def _ground(self, seat: _Seat, now: float) -> Message | None:
        if not seat.policy.learns:
            return None
        samples = seat.launch.samples
        return seat.patient.ground(fold_of(samples, seat.policy.rule(samples.gpus).thresholds), now)

    def _act(self, seat: _Seat, verdict: Verdict) -> Iterator[str]:
        if verdict.withdraw:
            seat.state = seat.state.withdrawn()
            seat.totals.withdrawn += 1
            yield "keep"
        elif verdict.warn:
            seat.state = seat.state.delivered(verdict.at)
            seat.totals.warnings += 1
            yield "warn"
        elif seat.policy.action != "nothing":
            seat.gone = True
            seat.totals.stops += 1
            reference = fold_of(seat.launch.samples, seat.reference)
            seat.totals.stops_of_a_busy_server += verdict.at - reference.busy_t <= RECENT_S
            yield "stop"

    def _count(self, seat: _Seat, now: float, status: int) -> None:
        """Count the time since the row before; a row says how it was since then."""
        if seat.t != -math.inf and now > seat.t:
            passed = now - seat.t
            spent = passed / 3600.0 * seat.launch.samples.gpus
            totals = seat.totals
            totals.gpu_hours_held += spent
            if status == IDLE and passed <= seat.reference.hole_s:
                totals.gpu_hours_idle += spent
            elif status != BUSY:
                totals.gpu_hours_unknown += spent
            if seat.gone and status != BUSY:
                totals.gpu_hours_reclaimed += spent
        seat.t = max(seat.t, now)
